//! Making and changing companies: what they are called, how they reach their vendors,
//! and who answers their numbers.

use std::collections::BTreeMap;

use actors::ids::{AccountSid, AgentId, CompanyId, PhoneNumber};
use actors::ports::{FirstSpeaker, TwilioAccount, Vendor};
use jiff::Timestamp;
use secrecy::SecretString;

use super::error::StoreError;
use super::pools::in_transaction;
use super::rows::Medium;
use super::vendors::{api_key_of, auth_token_of, first_speaker_word};
use super::{NumberRoute, Store};

/// What to store of a company. Whatever is `None` stays as it is, or takes its default when the
/// company is new; `Some(None)` clears what need not be there.
#[derive(Clone, Debug, Default)]
pub struct CompanySettings {
    /// What people call it.
    pub name: Option<String>,
    /// Who answers its numbers where the number names nobody.
    pub inbound_agent: Option<Option<AgentId>>,
    /// All the numbers that reach it besides the one it calls from.
    pub numbers: Option<Vec<NumberRoute>>,
    /// Its phone side.
    pub twilio: Option<TwilioSettings>,
    /// Its agent side.
    pub ultravox: Option<UltravoxSettings>,
}

/// What to change of a company.
pub type CompanyPatch = CompanySettings;

/// What to store of a company's Twilio configuration. `Debug` hides the token.
#[derive(Clone, Debug, Default)]
pub struct TwilioSettings {
    /// Needed the first time.
    pub account_sid: Option<AccountSid>,
    /// Needed the first time.
    pub auth_token: Option<SecretString>,
    /// The number it calls from. Needed the first time.
    pub phone_number: Option<PhoneNumber>,
    /// Calls a second; without it the service's default.
    pub max_cps: Option<Option<f64>>,
    /// Who takes a call when no agent can.
    pub fallback_number: Option<Option<PhoneNumber>>,
    /// Beginnings of the numbers that may be called; without it every number may be.
    pub allowed_prefixes: Option<Option<Vec<String>>>,
}

impl From<TwilioAccount> for TwilioSettings {
    /// Account, token and number, which belong together.
    fn from(account: TwilioAccount) -> Self {
        TwilioSettings {
            account_sid: Some(account.account_sid),
            auth_token: Some(account.auth_token),
            phone_number: Some(account.phone_number),
            ..TwilioSettings::default()
        }
    }
}

/// What to store of a company's Ultravox configuration. `Debug` hides the key.
#[derive(Clone, Debug, Default)]
pub struct UltravoxSettings {
    /// Needed the first time.
    pub api_key: Option<SecretString>,
    /// An endpoint of the company's own; without it the service's default.
    pub api_url: Option<Option<String>>,
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

/// Which company a write is about.
#[derive(Clone, Copy)]
enum Target {
    /// This one, made if need be.
    Upsert(CompanyId),
    /// This one, if it is there.
    Update(CompanyId),
    /// A new one.
    Insert,
}

/// Also locks the company, so that two nodes that start at once refresh it one after the other.
/// `$2` is the name of a new one, `$4` the name that was given.
const UPSERT_COMPANY: &str = "INSERT INTO companies (id, name, created_at) VALUES ($1, $2, $3) \
     ON CONFLICT (id) DO UPDATE SET name = coalesce($4, companies.name) RETURNING id";
const UPDATE_COMPANY: &str =
    "UPDATE companies SET name = coalesce($2, name) WHERE id = $1 RETURNING id";
/// Gives no number twice: a late request of a removed company would count for the next one, which
/// is why a removed one leaves a row in `totals`. Inserts nothing when somebody else was faster.
const INSERT_COMPANY: &str = "INSERT INTO companies (id, name, created_at) \
     SELECT coalesce(max(used.id), 0) + 1, \
     coalesce($1, 'Company ' || CAST(coalesce(max(used.id), 0) + 1 AS TEXT)), $2 \
     FROM (SELECT max(id) AS id FROM companies UNION ALL SELECT max(company_id) FROM totals) \
     AS used WHERE true ON CONFLICT (id) DO NOTHING RETURNING id";
const SET_INBOUND_AGENT: &str = "UPDATE companies SET inbound_agent_id = $2 WHERE id = $1";

const CLEAR_NUMBERS: &str = "DELETE FROM phone_numbers WHERE company_id = $1";
const INSERT_NUMBER: &str = "INSERT INTO phone_numbers (company_id, number, agent_id) \
     VALUES ($1, $2, $3) ON CONFLICT (number) DO NOTHING";

/// `$8` to `$10` say whether the three before them were given.
const UPDATE_TWILIO: &str = "UPDATE twilio_config SET account_sid = coalesce($2, account_sid), \
     auth_token = coalesce($3, auth_token), phone_number = coalesce($4, phone_number), \
     max_cps = CASE WHEN $8 THEN $5 ELSE max_cps END, \
     fallback_number = CASE WHEN $9 THEN $6 ELSE fallback_number END, \
     allowed_prefixes = CASE WHEN $10 THEN $7 ELSE allowed_prefixes END WHERE company_id = $1";
const INSERT_TWILIO: &str = "INSERT INTO twilio_config (company_id, account_sid, auth_token, \
     phone_number, max_cps, fallback_number, allowed_prefixes) VALUES ($1, $2, $3, $4, \
     CASE WHEN $8 THEN $5 END, CASE WHEN $9 THEN $6 END, CASE WHEN $10 THEN $7 END)";

/// `$9` says whether the URL was given.
const UPDATE_ULTRAVOX: &str = "UPDATE ultravox_config SET apikey = coalesce($2, apikey), \
     apiurl = CASE WHEN $9 THEN $3 ELSE apiurl END, \
     system_prompt = coalesce($4, system_prompt), model = coalesce($5, model), \
     voice = coalesce($6, voice), firstspeaker = coalesce($7, firstspeaker), \
     medium = coalesce($8, medium) WHERE company_id = $1";
const INSERT_ULTRAVOX: &str = "INSERT INTO ultravox_config (company_id, apikey, apiurl, \
     system_prompt, model, voice, firstspeaker, medium) VALUES ($1, $2, \
     CASE WHEN $9 THEN $3 END, coalesce($4, ''), coalesce($5, 'fixie-ai/ultravox'), \
     coalesce($6, 'terrence'), coalesce($7, 'FIRST_SPEAKER_USER'), \
     coalesce($8, 'serverWebSocket'))";

impl Store {
    /// Makes a company, or changes the fields of it that are given; all of it or nothing.
    pub async fn upsert_company(
        &self,
        company: CompanyId,
        settings: &CompanySettings,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.write_company(Target::Upsert(company), settings, now).await.map(drop)
    }

    /// Makes a company with the next number; all of it or nothing.
    pub async fn insert_company(
        &self,
        settings: &CompanySettings,
        now: Timestamp,
    ) -> Result<CompanyId, StoreError> {
        loop {
            // There is none only when somebody else took the number; then there is a next one.
            if let Some(company) = self.write_company(Target::Insert, settings, now).await? {
                return Ok(company);
            }
        }
    }

    /// Changes the fields of a company that are given, all of them or none. False when there is no
    /// such company.
    pub async fn update_company(
        &self,
        company: CompanyId,
        patch: &CompanyPatch,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let written = self.write_company(Target::Update(company), patch, now).await?;
        Ok(written.is_some())
    }

    /// `None` when the target is not to be had.
    async fn write_company(
        &self,
        target: Target,
        settings: &CompanySettings,
        now: Timestamp,
    ) -> Result<Option<CompanyId>, StoreError> {
        let name = settings.name.as_deref();
        in_transaction!(self, |tx| {
            let query = match target {
                Target::Upsert(company) => sqlx::query_scalar(UPSERT_COMPANY)
                    .bind(company.0)
                    .bind(name.map_or_else(|| format!("Company {company}"), str::to_owned))
                    .bind(now.as_millisecond())
                    .bind(name),
                Target::Update(company) => {
                    sqlx::query_scalar(UPDATE_COMPANY).bind(company.0).bind(name)
                }
                Target::Insert => {
                    sqlx::query_scalar(INSERT_COMPANY).bind(name).bind(now.as_millisecond())
                }
            };
            let id: Option<i64> = query.fetch_optional(&mut *tx).await?;
            let company = id.map(CompanyId);
            if let Some(company) = company {
                if let Some(agent) = &settings.inbound_agent {
                    let query = sqlx::query(SET_INBOUND_AGENT).bind(company.0);
                    query.bind(agent.as_ref().map(AgentId::as_str)).execute(&mut *tx).await?;
                }
                if let Some(numbers) = &settings.numbers {
                    // In order, so that two companies that want the same ones do not block each
                    // other; one that is named twice counts as it was named last.
                    let numbers: BTreeMap<&str, &NumberRoute> =
                        numbers.iter().map(|route| (route.number.as_str(), route)).collect();
                    sqlx::query(CLEAR_NUMBERS).bind(company.0).execute(&mut *tx).await?;
                    for (number, route) in numbers {
                        let query = sqlx::query(INSERT_NUMBER).bind(company.0).bind(number);
                        let query = query.bind(route.agent.as_ref().map(AgentId::as_str));
                        if query.execute(&mut *tx).await?.rows_affected() == 0 {
                            let number = route.number.clone();
                            Err(StoreError::NumberTaken { number })?;
                        }
                    }
                }
                if let Some(twilio) = &settings.twilio {
                    let texts = self.twilio_texts(company, twilio);
                    let is_whole =
                        texts.sid.is_some() && texts.token.is_some() && texts.number.is_some();
                    let insert = is_whole.then_some(INSERT_TWILIO);
                    let mut done = false;
                    for sql in [Some(UPDATE_TWILIO), insert].into_iter().flatten() {
                        if !done {
                            let query = sqlx::query(sql).bind(company.0).bind(&texts.sid);
                            let query = query.bind(&texts.token).bind(&texts.number);
                            let query = query.bind(twilio.max_cps.flatten());
                            let query = query.bind(&texts.fallback).bind(&texts.prefixes);
                            let query = query.bind(twilio.max_cps.is_some());
                            let query = query.bind(twilio.fallback_number.is_some());
                            let query = query.bind(twilio.allowed_prefixes.is_some());
                            done = query.execute(&mut *tx).await?.rows_affected() == 1;
                        }
                    }
                    if !done {
                        let needed = "the account SID, the auth token and the phone number";
                        Err(StoreError::Incomplete { company, vendor: Vendor::Twilio, needed })?;
                    }
                }
                if let Some(ultravox) = &settings.ultravox {
                    let key = ultravox.api_key.as_ref();
                    let key = key.map(|key| self.sealer.seal(&api_key_of(company), key));
                    let insert = key.is_some().then_some(INSERT_ULTRAVOX);
                    let mut done = false;
                    for sql in [Some(UPDATE_ULTRAVOX), insert].into_iter().flatten() {
                        if !done {
                            let query = sqlx::query(sql).bind(company.0).bind(&key);
                            let query =
                                query.bind(ultravox.api_url.as_ref().and_then(|u| u.as_ref()));
                            let query = query.bind(&ultravox.system_prompt);
                            let query = query.bind(&ultravox.model).bind(&ultravox.voice);
                            let query = query.bind(ultravox.first_speaker.map(first_speaker_word));
                            let query = query.bind(ultravox.medium.map(Medium::as_str));
                            let query = query.bind(ultravox.api_url.is_some());
                            done = query.execute(&mut *tx).await?.rows_affected() == 1;
                        }
                    }
                    if !done {
                        let needed = "the API key";
                        Err(StoreError::Incomplete { company, vendor: Vendor::Ultravox, needed })?;
                    }
                }
            }
            company
        })
    }

    fn twilio_texts(&self, company: CompanyId, twilio: &TwilioSettings) -> TwilioTexts {
        let token = twilio.auth_token.as_ref();
        let prefixes = twilio.allowed_prefixes.as_ref().and_then(|prefixes| prefixes.as_ref());
        let fallback = twilio.fallback_number.as_ref().and_then(|number| number.as_ref());
        TwilioTexts {
            sid: twilio.account_sid.as_ref().map(|sid| sid.to_string()),
            token: token.map(|token| self.sealer.seal(&auth_token_of(company), token)),
            number: twilio.phone_number.as_ref().map(|number| number.as_str().to_owned()),
            fallback: fallback.map(|number| number.as_str().to_owned()),
            prefixes: prefixes.map(|prefixes| {
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
