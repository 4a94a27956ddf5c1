//! Companies and how each reaches its vendors.

use actors::ids::{CompanyId, PhoneNumber};
use actors::ports::{FirstSpeaker, TwilioAccount, UltravoxAccount, Vendor};
use jiff::Timestamp;
use secrecy::SecretString;
use sqlx::FromRow;

use super::Store;
use super::error::StoreError;
use super::pools::{in_transaction, on_pool};
use super::rows::{Medium, Row};
use crate::secrets::Place;

/// What to store of a company. Whatever is `None` stays as it is, or takes its default when the
/// company is new.
#[derive(Clone, Debug, Default)]
pub struct CompanySettings {
    /// What people call it.
    pub name: Option<String>,
    /// Its phone side.
    pub twilio: Option<TwilioSettings>,
    /// Its agent side.
    pub ultravox: Option<UltravoxSettings>,
}

/// What to store of a company's Twilio configuration.
#[derive(Clone, Debug, Default)]
pub struct TwilioSettings {
    /// Account, token and number, which belong together. Needed the first time.
    pub account: Option<TwilioAccount>,
    /// Calls a second.
    pub max_cps: Option<f64>,
    /// Who takes a call when no agent can.
    pub fallback_number: Option<PhoneNumber>,
    /// Beginnings of the numbers that may be called.
    pub allowed_prefixes: Option<Vec<String>>,
}

/// What to store of a company's Ultravox configuration.
#[derive(Clone, Debug, Default)]
pub struct UltravoxSettings {
    /// Needed the first time.
    pub api_key: Option<SecretString>,
    /// An endpoint of the company's own.
    pub api_url: Option<String>,
    /// What the agent is told about its task.
    pub system_prompt: Option<String>,
    /// Ultravox's model name.
    pub model: Option<String>,
    /// Ultravox's voice name or id.
    pub voice: Option<String>,
    /// Who opens the conversation.
    pub first_speaker: Option<FirstSpeaker>,
    /// Who carries the audio.
    pub medium: Option<Medium>,
}

/// A company's Ultravox configuration. `Debug` hides the key.
#[derive(Clone, Debug)]
pub struct UltravoxConfig {
    /// Key and endpoint.
    pub account: UltravoxAccount,
    /// What the agent is told about its task.
    pub system_prompt: String,
    /// Ultravox's model name.
    pub model: String,
    /// Ultravox's voice name or id.
    pub voice: String,
    /// Who opens the conversation.
    pub first_speaker: FirstSpeaker,
    /// Who carries the audio.
    pub medium: Medium,
}

#[derive(FromRow)]
struct RawTwilio {
    account_sid: String,
    auth_token: String,
    phone_number: String,
}

#[derive(FromRow)]
struct RawUltravox {
    apikey: String,
    apiurl: Option<String>,
    system_prompt: String,
    model: String,
    voice: String,
    firstspeaker: String,
    medium: String,
}

/// Also locks the company, so that two nodes that start at once refresh it one after the other.
const UPSERT_COMPANY: &str = "INSERT INTO companies (id, name, created_at) VALUES ($1, $2, $3) \
     ON CONFLICT (id) DO UPDATE SET name = coalesce($4, companies.name)";

const UPDATE_TWILIO: &str = "UPDATE twilio_config SET account_sid = coalesce($2, account_sid), \
     auth_token = coalesce($3, auth_token), phone_number = coalesce($4, phone_number), \
     max_cps = coalesce($5, max_cps), fallback_number = coalesce($6, fallback_number), \
     allowed_prefixes = coalesce($7, allowed_prefixes) WHERE company_id = $1";
const INSERT_TWILIO: &str = "INSERT INTO twilio_config (company_id, account_sid, auth_token, \
     phone_number, max_cps, fallback_number, allowed_prefixes) VALUES ($1, $2, $3, $4, $5, $6, $7)";

const UPDATE_ULTRAVOX: &str = "UPDATE ultravox_config SET apikey = coalesce($2, apikey), \
     apiurl = coalesce($3, apiurl), system_prompt = coalesce($4, system_prompt), \
     model = coalesce($5, model), voice = coalesce($6, voice), \
     firstspeaker = coalesce($7, firstspeaker), medium = coalesce($8, medium) \
     WHERE company_id = $1";
const INSERT_ULTRAVOX: &str = "INSERT INTO ultravox_config (company_id, apikey, apiurl, \
     system_prompt, model, voice, firstspeaker, medium) VALUES ($1, $2, $3, coalesce($4, ''), \
     coalesce($5, 'fixie-ai/ultravox'), coalesce($6, 'terrence'), \
     coalesce($7, 'FIRST_SPEAKER_USER'), coalesce($8, 'serverWebSocket'))";

impl Store {
    /// Makes a company, or changes the fields of it that are given; all of it or nothing.
    pub async fn upsert_company(
        &self,
        company: CompanyId,
        settings: &CompanySettings,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let name = settings.name.as_deref();
        let default_name = format!("Company {company}");
        in_transaction!(self, |tx| {
            sqlx::query(UPSERT_COMPANY)
                .bind(company.0)
                .bind(name.unwrap_or(&default_name))
                .bind(now.as_millisecond())
                .bind(name)
                .execute(&mut *tx)
                .await?;
            if let Some(twilio) = &settings.twilio {
                let texts = self.twilio_texts(company, twilio);
                let insert = twilio.account.is_some().then_some(INSERT_TWILIO);
                let mut done = false;
                for sql in [Some(UPDATE_TWILIO), insert].into_iter().flatten() {
                    if !done {
                        let query = sqlx::query(sql).bind(company.0);
                        let query = query.bind(&texts.sid).bind(&texts.token).bind(&texts.number);
                        let query = query.bind(twilio.max_cps).bind(&texts.fallback);
                        let query = query.bind(&texts.prefixes).execute(&mut *tx).await?;
                        done = query.rows_affected() == 1;
                    }
                }
                if !done {
                    let needed = "the account SID, the auth token and the phone number";
                    Err(StoreError::Incomplete { company, vendor: Vendor::Twilio, needed })?;
                }
            }
            if let Some(ultravox) = &settings.ultravox {
                let key = ultravox
                    .api_key
                    .as_ref()
                    .map(|key| self.sealer.seal(&api_key_of(company), key));
                let insert = key.is_some().then_some(INSERT_ULTRAVOX);
                let mut done = false;
                for sql in [Some(UPDATE_ULTRAVOX), insert].into_iter().flatten() {
                    if !done {
                        let query = sqlx::query(sql).bind(company.0).bind(&key);
                        let query = query.bind(&ultravox.api_url).bind(&ultravox.system_prompt);
                        let query = query.bind(&ultravox.model).bind(&ultravox.voice);
                        let query = query.bind(ultravox.first_speaker.map(first_speaker_word));
                        let query = query.bind(ultravox.medium.map(Medium::as_str));
                        done = query.execute(&mut *tx).await?.rows_affected() == 1;
                    }
                }
                if !done {
                    let needed = "the API key";
                    Err(StoreError::Incomplete { company, vendor: Vendor::Ultravox, needed })?;
                }
            }
        })
    }

    /// How to reach Twilio for a company; `None` when it has no Twilio configuration.
    pub async fn twilio_account(
        &self,
        company: CompanyId,
    ) -> Result<Option<TwilioAccount>, StoreError> {
        let raw: Option<RawTwilio> = on_pool!(self.reader, |db| {
            let query = sqlx::query_as(
                "SELECT account_sid, auth_token, phone_number FROM twilio_config \
                 WHERE company_id = $1",
            );
            Ok(query.bind(company.0).fetch_optional(db).await?)
        })?;
        let Some(raw) = raw else { return Ok(None) };
        let id = company.to_string();
        let row = Row { kind: "Twilio configuration of company", id: &id };
        Ok(Some(TwilioAccount {
            account_sid: row.parse("account_sid", &raw.account_sid)?,
            auth_token: self.sealer.open(&auth_token_of(company), &raw.auth_token)?,
            phone_number: row.parse("phone_number", &raw.phone_number)?,
        }))
    }

    /// How a company's agents are made; `None` when it has no Ultravox configuration.
    pub async fn ultravox_config(
        &self,
        company: CompanyId,
    ) -> Result<Option<UltravoxConfig>, StoreError> {
        let raw: Option<RawUltravox> = on_pool!(self.reader, |db| {
            let query = sqlx::query_as(
                "SELECT apikey, apiurl, system_prompt, model, voice, firstspeaker, medium \
                 FROM ultravox_config WHERE company_id = $1",
            );
            Ok(query.bind(company.0).fetch_optional(db).await?)
        })?;
        let Some(raw) = raw else { return Ok(None) };
        let id = company.to_string();
        let row = Row { kind: "Ultravox configuration of company", id: &id };
        Ok(Some(UltravoxConfig {
            account: UltravoxAccount {
                api_key: self.sealer.open(&api_key_of(company), &raw.apikey)?,
                api_url: raw.apiurl.filter(|url| !url.is_empty()),
            },
            system_prompt: raw.system_prompt,
            model: raw.model,
            voice: raw.voice,
            first_speaker: match raw.firstspeaker.as_str() {
                "FIRST_SPEAKER_USER" => FirstSpeaker::User,
                "FIRST_SPEAKER_AGENT" => FirstSpeaker::Agent,
                other => return Err(row.unreadable("firstspeaker", format!("{other:?}"))),
            },
            medium: match raw.medium.as_str() {
                "serverWebSocket" => Medium::ServerWebSocket,
                "twilio" => Medium::Twilio,
                other => return Err(row.unreadable("medium", format!("{other:?}"))),
            },
        }))
    }

    fn twilio_texts(&self, company: CompanyId, twilio: &TwilioSettings) -> TwilioTexts {
        let account = twilio.account.as_ref();
        TwilioTexts {
            sid: account.map(|account| account.account_sid.to_string()),
            token: account
                .map(|account| self.sealer.seal(&auth_token_of(company), &account.auth_token)),
            number: account.map(|account| account.phone_number.as_str().to_owned()),
            fallback: twilio.fallback_number.as_ref().map(|number| number.as_str().to_owned()),
            prefixes: twilio.allowed_prefixes.as_ref().map(|prefixes| {
                serde_json::to_string(prefixes).expect("a list of strings is plain data")
            }),
        }
    }
}

struct TwilioTexts {
    sid: Option<String>,
    token: Option<String>,
    number: Option<String>,
    fallback: Option<String>,
    prefixes: Option<String>,
}

fn first_speaker_word(speaker: FirstSpeaker) -> &'static str {
    match speaker {
        FirstSpeaker::User => "FIRST_SPEAKER_USER",
        FirstSpeaker::Agent => "FIRST_SPEAKER_AGENT",
    }
}

pub(super) fn auth_token_of(company: impl std::fmt::Display) -> Place {
    Place::new("twilio_config", "auth_token", company)
}

pub(super) fn api_key_of(company: impl std::fmt::Display) -> Place {
    Place::new("ultravox_config", "apikey", company)
}
