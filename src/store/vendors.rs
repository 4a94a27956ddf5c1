//! How a company reaches its vendors: what a call needs, secrets and all.

use actors::ids::CompanyId;
use actors::ports::{FirstSpeaker, TwilioAccount, UltravoxAccount};
use sqlx::FromRow;

use super::Store;
use super::error::StoreError;
use super::pools::on_pool;
use super::rows::{Medium, Row};
use crate::secrets::Place;

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

/// Whose vendors can be asked how they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Configured {
    /// The first company that has both configurations.
    pub company: Option<CompanyId>,
    /// Whether any company has a Twilio configuration.
    pub any_twilio: bool,
    /// Whether any company has an Ultravox configuration.
    pub any_ultravox: bool,
}

impl Configured {
    /// Nobody is configured for anything.
    pub const NONE: Configured =
        Configured { company: None, any_twilio: false, any_ultravox: false };
}

const CONFIGURED: &str = "SELECT (SELECT min(twilio_config.company_id) FROM twilio_config \
     JOIN ultravox_config ON ultravox_config.company_id = twilio_config.company_id), \
     (SELECT min(company_id) FROM twilio_config), (SELECT min(company_id) FROM ultravox_config)";

impl Store {
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
            first_speaker: read_first_speaker(&row, &raw.firstspeaker)?,
            medium: read_medium(&row, &raw.medium)?,
        }))
    }

    /// Beginnings of the numbers that a company may call; `None` when it may call every number.
    pub async fn allowed_prefixes(
        &self,
        company: CompanyId,
    ) -> Result<Option<Vec<String>>, StoreError> {
        let json: Option<Option<String>> = on_pool!(self.reader, |db| {
            let query = sqlx::query_scalar(
                "SELECT allowed_prefixes FROM twilio_config WHERE company_id = $1",
            );
            Ok(query.bind(company.0).fetch_optional(db).await?)
        })?;
        let id = company.to_string();
        let row = Row { kind: "Twilio configuration of company", id: &id };
        json.flatten().map(|json| read_prefixes(&row, &json)).transpose()
    }

    /// Which companies, if any, can reach their vendors.
    pub async fn first_configured(&self) -> Result<Configured, StoreError> {
        let (both, twilio, ultravox): (Option<i64>, Option<i64>, Option<i64>) =
            on_pool!(self.reader, |db| Ok(sqlx::query_as(CONFIGURED).fetch_one(db).await?))?;
        Ok(Configured {
            company: both.map(CompanyId),
            any_twilio: twilio.is_some(),
            any_ultravox: ultravox.is_some(),
        })
    }
}

pub(super) fn read_first_speaker(row: &Row<'_>, word: &str) -> Result<FirstSpeaker, StoreError> {
    match word {
        "FIRST_SPEAKER_USER" => Ok(FirstSpeaker::User),
        "FIRST_SPEAKER_AGENT" => Ok(FirstSpeaker::Agent),
        other => Err(row.unreadable("firstspeaker", format!("{other:?}"))),
    }
}

pub(super) fn read_medium(row: &Row<'_>, word: &str) -> Result<Medium, StoreError> {
    match word {
        "serverWebSocket" => Ok(Medium::ServerWebSocket),
        "twilio" => Ok(Medium::Twilio),
        other => Err(row.unreadable("medium", format!("{other:?}"))),
    }
}

pub(super) fn read_prefixes(row: &Row<'_>, json: &str) -> Result<Vec<String>, StoreError> {
    serde_json::from_str(json).map_err(|error| row.unreadable("allowed_prefixes", error))
}

pub(super) fn first_speaker_word(speaker: FirstSpeaker) -> &'static str {
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
