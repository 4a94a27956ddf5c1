//! A call's timeline, line by line, as people read it.

use actors::call::{CallEvent, Speaker};
use jiff::Timestamp;

use crate::store::EventRow;

/// Remembers what was shown.
#[derive(Default)]
pub(super) struct Timeline {
    began: Option<Timestamp>,
    shown: i64,
}

impl Timeline {
    /// The lines that were not shown yet.
    pub(super) fn new_lines(&mut self, events: &[EventRow]) -> Vec<String> {
        let fresh = events.iter().filter(|event| event.seq > self.shown);
        let lines = fresh
            .filter_map(|event| {
                let began = *self.began.get_or_insert(event.at);
                let after = event.at.duration_since(began).as_secs_f64();
                describe(&event.event).map(|(who, what)| format!("{after:6.2} s  {who:<7} {what}"))
            })
            .collect();
        self.shown = events.last().map_or(self.shown, |event| event.seq);
        lines
    }
}

/// Who or what, and what happened; `None` for what would only confuse.
fn describe(event: &CallEvent) -> Option<(&'static str, String)> {
    Some(match event {
        CallEvent::Initiated => ("call", "initiated: the intention is stored".into()),
        CallEvent::AgentReady { .. } => ("call", "Ultravox has made an agent ready".into()),
        CallEvent::Placed { .. } => ("call", "Twilio has accepted the call".into()),
        CallEvent::Ringing => ("call", "the phone rings".into()),
        CallEvent::Answered => ("call", "answered".into()),
        CallEvent::AnsweredBy { answered_by } => ("call", format!("answered by: {answered_by}")),
        CallEvent::StreamStarted { .. } => ("call", "Twilio's media stream is up".into()),
        CallEvent::AgentJoined => ("call", "the agent has joined".into()),
        CallEvent::FirstAgentAudio { after_answer_ms } => {
            ("call", format!("first words of the agent, {after_answer_ms} ms after the answer"))
        }
        CallEvent::Transcript { speaker: Speaker::Phone, text } => ("caller", format!("“{text}”")),
        CallEvent::Transcript { speaker: Speaker::Agent, text } => ("agent", format!("“{text}”")),
        CallEvent::Interrupted { dropped_ms, heard_ms } => (
            "call",
            format!(
                "the caller interrupts: the agent falls silent (heard {heard_ms} ms of this turn, \
                 {dropped_ms} ms not sent yet)"
            ),
        ),
        CallEvent::Dtmf { digit } => ("caller", format!("presses {digit}")),
        CallEvent::DoNotCall => ("caller", "does not want to be called any more".into()),
        CallEvent::AgentLeft { code: Some(1000 | 1005), .. } => ("agent", "hangs up".into()),
        CallEvent::AgentLeft { reason, .. } => ("agent", format!("is lost: {reason}")),
        CallEvent::StreamReport { error: Some(error), .. } => ("call", error.clone()),
        CallEvent::StreamReport { .. } => return None,
        CallEvent::Ended { status, reason, .. } => ("call", format!("{status}: {reason}")),
    })
}
