//! The calls of the past: what a service has in its database after some months.
//!
//! Plain functions from a call's number to its rows, the same at every run. Of twenty companies the
//! first has two calls in five, and the second, which nobody calls, three in ten. Most calls were
//! answered, a few agents take most of them, and a person is called a few times.

use std::fmt::Write as _;

use actors::call::{CallEvent, CallStatus, EndReason, Speaker};
use actors::ids::CallId;
use callspan::store::CallCursor;
use jiff::Timestamp;
use uuid::Builder;

/// Rows of one statement.
pub(super) const ROWS_AT_ONCE: u32 = 500;

/// Events that are kept of a company.
const EVENTS: u32 = 1_000;
const COMPANIES: u32 = 20;
const AGENTS_OF_COMPANY: u32 = 100;
const PEOPLE: u32 = 20_000;
/// What the past spans: 90 days.
const SPAN_MS: i64 = 90 * 24 * 3_600 * 1_000;
/// Different calls, people and places in lists that are asked for.
const ASKED_FOR: u32 = 64;

/// What requests may name.
pub(crate) struct Known {
    /// An agent of company 1 with many calls.
    pub(crate) agent: String,
    /// Calls of company 1, by Twilio's id.
    pub(crate) sids: Vec<String>,
    /// Places near the end of company 1's list.
    pub(crate) cursors: Vec<String>,
    /// Numbers that company 1 called, without the plus.
    pub(crate) people: Vec<String>,
}

/// The number of a person, by the person's number.
pub(crate) fn number_of_person(person: u32) -> String {
    format!("+1212{:07}", 5_000_000 + person % PEOPLE)
}

/// All of the past.
pub(super) struct History {
    calls: u32,
    now: Timestamp,
    /// The agent that Ultravox knows; it is company 1's first.
    agent: String,
}

impl History {
    pub(super) fn new(calls: u32, agent: &str) -> Self {
        History { calls, now: Timestamp::now(), agent: agent.to_owned() }
    }

    pub(super) fn known(&self) -> Known {
        let of_first =
            || (0..self.calls).map(|number| self.call(number)).filter(|c| c.company == 1);
        let count = of_first().count();
        let step = (count / usize::try_from(ASKED_FOR).unwrap_or(1)).max(1);
        // The oldest come first, and lists begin with the newest.
        let deep = of_first().take((count / 10).max(1));
        let deep = deep.step_by((step / 10).max(1));
        Known {
            agent: self.agent.clone(),
            sids: of_first().step_by(step).map(|call| call.sid()).collect(),
            cursors: deep
                .map(|call| CallCursor { created_at: call.at, id: call.id }.to_string())
                .collect(),
            people: of_first()
                .step_by(step)
                .map(|call| number_of_person(call.person).trim_start_matches('+').to_owned())
                .collect(),
        }
    }

    /// SQL for either engine, a few hundred rows a statement. No value in it comes from outside.
    pub(super) fn statements(&self) -> impl Iterator<Item = String> {
        let first = [self.companies(), self.agents()];
        let calls = (0..self.calls).step_by(usize::try_from(ROWS_AT_ONCE).unwrap_or(1));
        let calls = calls.flat_map(|from| {
            let until = (from + ROWS_AT_ONCE).min(self.calls);
            let some: Vec<PastCall> = (from..until).map(|number| self.call(number)).collect();
            [calls_of(&some), timelines_of(&some)]
        });
        let last = "INSERT INTO totals (company_id, name, count) \
             SELECT company_id, CASE status WHEN 'completed' THEN 'calls_successful' \
             ELSE 'calls_failed' END, count(*) FROM calls GROUP BY 1, 2";
        first.into_iter().chain(calls).chain([self.events(), last.to_owned()])
    }

    fn companies(&self) -> String {
        let row = |company| format!("({company}, 'Company {company}', 0)");
        insert("companies (id, name, created_at)", (2..=COMPANIES).map(row))
    }

    fn agents(&self) -> String {
        let columns = "agents (id, company_id, ultravox_agent_id, name, prompt, voice, language, \
             template_variables, status, created_at, updated_at)";
        let agents = (1..=COMPANIES).flat_map(|company| {
            // Company 1's first was made by the service.
            let first = u32::from(company == 1);
            (first..AGENTS_OF_COMPANY).map(move |number| (company, number))
        });
        let row = |(company, number): (u32, u32)| {
            let id = self.agent_of(company, number);
            let prompt = "Be polite and professional. ".repeat(20);
            format!(
                "('{id}', {company}, '{id}', 'Agent {number}', '{prompt}', 'default', 'en', '{{}}', \
                 'active', {number}, {number})"
            )
        };
        insert(columns, agents.map(row))
    }

    fn agent_of(&self, company: u32, number: u32) -> String {
        match (company, number) {
            (1, 0) => self.agent.clone(),
            _ => format!("agent_{company}_{number}"),
        }
    }

    fn call(&self, number: u32) -> PastCall {
        let dice = Dice(number);
        let age_ms = SPAN_MS / i64::from(self.calls) * i64::from(self.calls - number);
        let at = self.now.as_millisecond() - age_ms;
        let company = match dice.throw(1, 10) {
            0..4 => 1,
            4..7 => 2,
            _ => 3 + dice.throw(2, COMPANIES - 2),
        };
        let (status, reason) = match dice.throw(3, 100) {
            0..78 => (CallStatus::Completed, EndReason::PhoneHungUp),
            78..86 => (CallStatus::Busy, EndReason::Busy),
            86..96 => (CallStatus::NoAnswer, EndReason::NoAnswer),
            96..99 => (CallStatus::Failed, EndReason::PhoneFailed),
            _ => (CallStatus::Canceled, EndReason::Canceled),
        };
        // A few agents take most calls.
        let favourite = dice.throw(4, AGENTS_OF_COMPANY).min(dice.throw(5, AGENTS_OF_COMPANY));
        let mut random = [0; 10];
        random[..4].copy_from_slice(&number.to_be_bytes());
        let id = Builder::from_unix_timestamp_millis(at.unsigned_abs(), &random).into_uuid();
        PastCall {
            number,
            id: id.to_string().parse().expect("a UUID is a call id"),
            company,
            at: Timestamp::from_millisecond(at).expect("of this century"),
            is_inbound: company != 2 && dice.throw(6, 100) < 15,
            person: dice.throw(7, PEOPLE),
            agent: (dice.throw(8, 10) > 0).then(|| self.agent_of(company, favourite)),
            status,
            reason,
            lasted_ms: 5_000 + dice.throw(9, 300_000),
        }
    }

    /// The newest, as many as are kept, of company 1.
    fn events(&self) -> String {
        let rows = (0..EVENTS).map(|number| {
            let call = self.call(self.calls.saturating_sub(EVENTS - number));
            let at = call.at.as_millisecond();
            let kind = match number % 3 {
                0 => "call_initiated",
                1 => "call_answered",
                _ => "call_completed",
            };
            format!("(1, {at}, '{kind}', {}, '{}', '{}')", call.agent_sql(), call.sid(), call.id)
        });
        insert("events (company_id, at, kind, agent_id, call_sid, call_id)", rows)
    }
}

/// Numbers that look thrown, the same for the same call.
struct Dice(u32);

impl Dice {
    /// Less than `sides`; another number for another `purpose`.
    fn throw(&self, purpose: u32, sides: u32) -> u32 {
        // The finalizer of MurmurHash3: every bit of its argument changes half of the result.
        let mut hash = self.0.wrapping_add(purpose.wrapping_mul(0x9e37_79b9));
        hash = (hash ^ hash >> 16).wrapping_mul(0x85eb_ca6b);
        hash = (hash ^ hash >> 13).wrapping_mul(0xc2b2_ae35);
        (hash ^ hash >> 16) % sides
    }
}

struct PastCall {
    number: u32,
    id: CallId,
    company: u32,
    at: Timestamp,
    is_inbound: bool,
    person: u32,
    agent: Option<String>,
    status: CallStatus,
    reason: EndReason,
    lasted_ms: u32,
}

impl PastCall {
    fn sid(&self) -> String {
        format!("CA{:032x}", self.number)
    }

    fn agent_sql(&self) -> String {
        self.agent.as_ref().map_or("NULL".to_owned(), |agent| format!("'{agent}'"))
    }

    fn row(&self) -> String {
        let ours = format!("+1501{:07}", 7_000_000 + self.company);
        let person = number_of_person(self.person);
        let (direction, to, from) = match self.is_inbound {
            true => ("inbound", &ours, &person),
            false => ("outbound", &person, &ours),
        };
        let at = self.at.as_millisecond();
        let (ended, lasted) = (at + 8_000 + i64::from(self.lasted_ms), self.lasted_ms);
        let (answered, duration) = match self.status {
            CallStatus::Completed => ((at + 8_000).to_string(), lasted.to_string()),
            _ => ("NULL".to_owned(), "NULL".to_owned()),
        };
        format!(
            "('{id}', {company}, '00000000-0000-7000-8000-000000000000', '{direction}', '{to}', '{from}', {agent}, \
             '{sid}', 'MZ{number:032x}', 'uv-{number}', '{status}', '{reason}', {at}, {answered}, \
             {ended}, {duration}, {ended}, 1)",
            id = self.id,
            company = self.company,
            agent = self.agent_sql(),
            sid = self.sid(),
            number = self.number,
            status = self.status,
            reason = self.reason.as_str(),
        )
    }

    fn timeline(&self) -> Vec<CallEvent> {
        let call_sid = self.sid().parse().expect("CA and 32 hex digits");
        let mut lines = vec![CallEvent::Initiated, CallEvent::Placed { call_sid }];
        lines.push(CallEvent::Ringing);
        if self.status == CallStatus::Completed {
            lines.extend([CallEvent::Answered, CallEvent::AgentJoined]);
            lines.push(CallEvent::FirstAgentAudio { after_answer_ms: 800 });
            for speaker in [Speaker::Agent, Speaker::Phone, Speaker::Agent] {
                let text = "Hello, this is about your appointment tomorrow.".to_owned();
                lines.push(CallEvent::Transcript { speaker, text });
            }
        }
        lines.push(CallEvent::Ended { status: self.status, reason: self.reason, detail: None });
        lines
    }
}

fn calls_of(calls: &[PastCall]) -> String {
    let columns = "calls (id, company_id, node_id, direction, to_number, from_number, agent_id, \
         call_sid, stream_sid, ultravox_call_id, status, end_reason, created_at, answered_at, \
         ended_at, duration_ms, updated_at, tallied)";
    insert(columns, calls.iter().map(PastCall::row))
}

fn timelines_of(calls: &[PastCall]) -> String {
    let rows = calls.iter().flat_map(|call| {
        let at = call.at.as_millisecond();
        call.timeline().into_iter().zip(1..).map(move |(event, seq)| {
            let event = serde_json::to_value(event).expect("an event is plain data");
            let kind = event["kind"].as_str().unwrap_or_default();
            format!("('{}', {seq}, {}, '{kind}', '{event}')", call.id, at + 2_000 * seq)
        })
    });
    insert("call_events (call_id, seq, at, kind, detail)", rows)
}

fn insert(columns: &str, rows: impl Iterator<Item = String>) -> String {
    let mut sql = format!("INSERT INTO {columns} VALUES ");
    for (number, row) in rows.enumerate() {
        let comma = if number == 0 { "" } else { ", " };
        write!(sql, "{comma}{row}").expect("a String takes everything");
    }
    sql
}
