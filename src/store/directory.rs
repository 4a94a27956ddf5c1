//! Companies as people see them: lists without a secret in them, and whom a number reaches.

use actors::ids::{AccountSid, AgentId, CompanyId, PhoneNumber};
use actors::ports::FirstSpeaker;
use jiff::Timestamp;
use sqlx::FromRow;

use super::Store;
use super::error::StoreError;
use super::pools::on_pool;
use super::rows::{Medium, Row};
use super::vendors::{read_first_speaker, read_medium, read_prefixes};

/// A number that reaches a company besides the one it calls from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NumberRoute {
    /// The number.
    pub number: PhoneNumber,
    /// Who answers it; `None` leaves it to the company's agent for inbound calls.
    pub agent: Option<AgentId>,
}

/// A stored company, without its secrets.
#[derive(Clone, Debug, PartialEq)]
pub struct CompanyRow {
    /// Its number.
    pub id: CompanyId,
    /// What people call it.
    pub name: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// Who answers its numbers where the number names nobody.
    pub inbound_agent: Option<AgentId>,
    /// The numbers that reach it besides the one it calls from, in their order.
    pub numbers: Vec<NumberRoute>,
    /// Its phone side.
    pub twilio: Option<TwilioView>,
    /// Its agent side.
    pub ultravox: Option<UltravoxView>,
}

/// A Twilio configuration without its token.
#[derive(Clone, Debug, PartialEq)]
pub struct TwilioView {
    /// Whose calls are billed.
    pub account_sid: AccountSid,
    /// The number it calls from.
    pub phone_number: PhoneNumber,
    /// Calls a second; `None` for the service's default.
    pub max_cps: Option<f64>,
    /// Who takes a call when no agent can.
    pub fallback_number: Option<PhoneNumber>,
    /// Beginnings of the numbers that may be called; `None` when every number may be.
    pub allowed_prefixes: Option<Vec<String>>,
}

/// An Ultravox configuration without its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UltravoxView {
    /// An endpoint of the company's own; `None` for the service's default.
    pub apiurl: Option<String>,
    /// What the agent is told about its task.
    pub system_prompt: String,
    /// Ultravox's model name.
    pub model: String,
    /// Ultravox's voice name or id.
    pub voice: String,
    /// Who opens the conversation.
    pub firstspeaker: FirstSpeaker,
    /// Who carries the audio.
    pub medium: Medium,
}

/// Whom a called number reaches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InboundRoute {
    /// Whose number it is.
    pub company: CompanyId,
    /// Who answers; `None` when the company's configuration says all.
    pub agent: Option<AgentId>,
}

/// A company beside its two configurations, each of which is there or null as a whole.
#[derive(FromRow)]
struct RawCompany {
    id: i64,
    name: String,
    created_at: i64,
    inbound_agent_id: Option<String>,
    account_sid: Option<String>,
    phone_number: Option<String>,
    max_cps: Option<f64>,
    fallback_number: Option<String>,
    allowed_prefixes: Option<String>,
    apiurl: Option<String>,
    system_prompt: Option<String>,
    model: Option<String>,
    voice: Option<String>,
    firstspeaker: Option<String>,
    medium: Option<String>,
}

impl RawCompany {
    fn read(self) -> Result<CompanyRow, StoreError> {
        let id = self.id.to_string();
        let row = Row { kind: "company", id: &id };
        let number = |column, raw: &str| row.parse::<PhoneNumber>(column, raw);
        let prefixes = self.allowed_prefixes.map(|json| read_prefixes(&row, &json)).transpose()?;
        let fallback =
            self.fallback_number.map(|raw| number("fallback_number", &raw)).transpose()?;
        let twilio = match (self.account_sid, self.phone_number) {
            (Some(sid), Some(phone_number)) => Some(TwilioView {
                account_sid: row.parse("account_sid", &sid)?,
                phone_number: number("phone_number", &phone_number)?,
                max_cps: self.max_cps,
                fallback_number: fallback,
                allowed_prefixes: prefixes,
            }),
            _ => None,
        };
        let ultravox = match (self.firstspeaker, self.medium) {
            (Some(first_speaker), Some(medium)) => Some(UltravoxView {
                apiurl: self.apiurl.filter(|url| !url.is_empty()),
                system_prompt: self.system_prompt.unwrap_or_default(),
                model: self.model.unwrap_or_default(),
                voice: self.voice.unwrap_or_default(),
                firstspeaker: read_first_speaker(&row, &first_speaker)?,
                medium: read_medium(&row, &medium)?,
            }),
            _ => None,
        };
        Ok(CompanyRow {
            id: CompanyId(self.id),
            name: self.name,
            created_at: row.time("created_at", self.created_at)?,
            inbound_agent: read_agent(&row, "inbound_agent_id", self.inbound_agent_id)?,
            numbers: Vec::new(),
            twilio,
            ultravox,
        })
    }
}

/// The columns of [`RawCompany`].
macro_rules! company_query {
    ($rest:literal) => {
        concat!(
            "SELECT companies.id, name, created_at, inbound_agent_id, account_sid, phone_number, \
             max_cps, fallback_number, allowed_prefixes, apiurl, system_prompt, model, voice, \
             firstspeaker, medium FROM companies \
             LEFT JOIN twilio_config ON twilio_config.company_id = companies.id \
             LEFT JOIN ultravox_config ON ultravox_config.company_id = companies.id ",
            $rest
        )
    };
}

const BY_ID: &str = company_query!("WHERE companies.id = $1");
const PAGE: &str = company_query!("WHERE companies.id > $1 ORDER BY companies.id LIMIT $2");
const NUMBERS: &str = "SELECT company_id, number, agent_id FROM phone_numbers \
     WHERE company_id BETWEEN $1 AND $2 ORDER BY company_id, number";
const NAME: &str = "SELECT name FROM companies WHERE id = $1";

/// A number that was given to a company wins over one that a company calls from, which several may
/// share.
const ROUTE: &str = "SELECT 0 AS place, companies.id AS company, \
     coalesce(agent_id, inbound_agent_id) AS agent FROM phone_numbers \
     JOIN companies ON companies.id = company_id WHERE number = $1 \
     UNION ALL SELECT 1, companies.id, inbound_agent_id FROM twilio_config \
     JOIN companies ON companies.id = company_id WHERE phone_number = $1 \
     ORDER BY place, company LIMIT 1";

#[cfg(test)]
pub(super) const ALL: &[&str] = &[BY_ID, PAGE, NUMBERS, NAME, ROUTE];

impl Store {
    /// A page of companies, by their numbers, after the one that is named.
    pub async fn companies(
        &self,
        after: Option<CompanyId>,
        limit: u32,
    ) -> Result<Vec<CompanyRow>, StoreError> {
        let raw: Vec<RawCompany> = on_pool!(self.reader, |db| {
            let query = sqlx::query_as(PAGE).bind(after.map_or(i64::MIN, |company| company.0));
            Ok(query.bind(i64::from(limit)).fetch_all(db).await?)
        })?;
        self.with_numbers(raw).await
    }

    /// One company.
    pub async fn company(&self, id: CompanyId) -> Result<Option<CompanyRow>, StoreError> {
        let raw: Vec<RawCompany> = on_pool!(self.reader, |db| {
            Ok(sqlx::query_as(BY_ID).bind(id.0).fetch_all(db).await?)
        })?;
        Ok(self.with_numbers(raw).await?.pop())
    }

    /// What people call a company; `None` when there is none.
    pub async fn company_name(&self, id: CompanyId) -> Result<Option<String>, StoreError> {
        on_pool!(self.reader, |db| {
            Ok(sqlx::query_scalar(NAME).bind(id.0).fetch_optional(db).await?)
        })
    }

    /// Whom a called number reaches: the company it was given to, else the first that calls from
    /// it.
    pub async fn company_of_number(
        &self,
        number: &str,
    ) -> Result<Option<InboundRoute>, StoreError> {
        // PostgreSQL has no texts with a zero in them, so nobody has such a number.
        if number.contains('\0') {
            return Ok(None);
        }
        let found: Option<(i32, i64, Option<String>)> = on_pool!(self.reader, |db| {
            Ok(sqlx::query_as(ROUTE).bind(number).fetch_optional(db).await?)
        })?;
        let Some((_, company, agent)) = found else { return Ok(None) };
        let id = company.to_string();
        let row = Row { kind: "company", id: &id };
        let agent = read_agent(&row, "agent_id", agent)?;
        Ok(Some(InboundRoute { company: CompanyId(company), agent }))
    }

    /// Reads companies in the order of their numbers, and adds what reaches them.
    async fn with_numbers(&self, raw: Vec<RawCompany>) -> Result<Vec<CompanyRow>, StoreError> {
        let (Some(first), Some(last)) = (raw.first(), raw.last()) else { return Ok(Vec::new()) };
        let (first, last) = (first.id, last.id);
        let numbers: Vec<(i64, String, Option<String>)> = on_pool!(self.reader, |db| {
            Ok(sqlx::query_as(NUMBERS).bind(first).bind(last).fetch_all(db).await?)
        })?;
        let rows: Result<Vec<CompanyRow>, _> = raw.into_iter().map(RawCompany::read).collect();
        let mut rows = rows?;
        for (company, number, agent) in numbers {
            let id = company.to_string();
            let row = Row { kind: "phone number of company", id: &id };
            let number = row.parse("number", &number)?;
            let agent = read_agent(&row, "agent_id", agent)?;
            // A company that was made since the first query is not among them.
            if let Ok(index) = rows.binary_search_by_key(&company, |row| row.id.0) {
                rows[index].numbers.push(NumberRoute { number, agent });
            }
        }
        Ok(rows)
    }
}

fn read_agent(
    row: &Row<'_>,
    column: &'static str,
    raw: Option<String>,
) -> Result<Option<AgentId>, StoreError> {
    raw.map(|raw| row.parse(column, &raw)).transpose()
}
