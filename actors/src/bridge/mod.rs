//! Joins one phone stream to one voice agent.
//!
//! Audio is forwarded as it comes, every frame and in order, and the agent hears one second of
//! audio a second even when the phone sends none. When the agent is interrupted, audio the phone
//! has not played yet is dropped on both sides of the wire, so the agent never talks over a
//! person. When the agent leaves, what it said last is played to its end before the call is over.
//!
//! Nothing here does I/O or reads a clock: the owner of the two sockets feeds events to
//! [`Bridge::handle`], then sends what [`poll_to_phone`](Bridge::poll_to_phone) and
//! [`poll_to_agent`](Bridge::poll_to_agent) write for as long as the sockets take it, tells the
//! call's owner every [`Notice`], and sleeps until [`next_deadline`](Bridge::next_deadline). Audio
//! is coded where it is written, so that a frame is copied once on its way and nothing is allocated.

mod downlink;
mod fifo;
mod flood;
mod io;
#[cfg(test)]
mod tests;
mod transcript;
mod uplink;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use secrecy::ExposeSecret as _;
use subtle::ConstantTimeEq;

use crate::audio::SAMPLES_PER_MS;
use crate::call::{EndReason, Speaker};
use crate::protocol::{twilio, ultravox};

pub use downlink::DownlinkCounts;
use downlink::{Downlink, Echo, ToPhone as Outgoing};
use flood::FloodGuard;
pub use io::{Admission, Counts, Input, Notice, TOKEN_PARAMETER, ToAgent, ToPhone};
use transcript::Transcripts;
use uplink::Uplink;
pub use uplink::UplinkCounts;

/// How long Twilio may take from the upgrade to `start`. It sends both at once.
const START_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the agent's socket may take to be joined.
const JOIN_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the agent's last words may still play after it has left.
const GOODBYE_LIMIT: Duration = Duration::from_secs(10);
/// Keys pressed within this time of each other reach the agent as one text.
const DIGITS_PAUSE: Duration = Duration::from_millis(600);
/// Most keys in one text.
const DIGITS_MOST: usize = 64;
/// Control messages waiting for an agent that reads nothing. They are never dropped; more than
/// this and the agent counts as lost.
const AGENT_TEXTS_MOST: usize = 256;
/// Silence of the agent after which its next audio counts as a new turn.
const TURN_PAUSE: Duration = Duration::from_millis(200);
/// How often the agent's socket is probed.
const PROBE_EVERY: Duration = Duration::from_secs(15);
/// How long the agent's socket may say nothing at all, not even answer a probe.
const AGENT_SILENCE_LIMIT: Duration = Duration::from_secs(45);

#[derive(Debug)]
enum Agent {
    Joining { until: Instant },
    Joined { heard_from: Instant, probe_at: Instant },
    Gone,
}

#[derive(Debug)]
enum Phase {
    /// The socket is up; nothing is known of it yet.
    AwaitingStart {
        until: Instant,
    },
    Live,
    /// The agent has left; its last words are still playing.
    Goodbye {
        until: Instant,
        then: EndReason,
    },
    Over(EndReason),
}

/// One phone stream joined to one voice agent.
#[derive(Debug)]
pub struct Bridge {
    admission: Admission,
    phase: Phase,
    agent: Agent,
    writer: Option<twilio::Writer>,
    uplink: Option<Uplink>,
    downlink: Downlink,
    transcripts: Transcripts,
    agent_texts: VecDeque<String>,
    digits: String,
    digits_due: Option<Instant>,
    /// Until when the audio sent to the phone plays, to tell a new turn from the same.
    audible_until: Option<Instant>,
    /// The person's words that the agent has answered, by the time they ended.
    answered_voice: Option<Instant>,
    has_spoken: bool,
    /// The person wants no more calls, and that has been told.
    is_unwanted: bool,
    probe_due: bool,
    phone_flood: FloodGuard,
    agent_flood: FloodGuard,
    notices: VecDeque<Notice>,
}

impl Bridge {
    /// A bridge for a stream whose upgrade was accepted now, and an agent that is being joined.
    pub fn new(now: Instant, admission: Admission) -> Self {
        Bridge {
            admission,
            phase: Phase::AwaitingStart { until: now + START_TIMEOUT },
            agent: Agent::Joining { until: now + JOIN_TIMEOUT },
            writer: None,
            uplink: None,
            downlink: Downlink::new(),
            transcripts: Transcripts::default(),
            agent_texts: VecDeque::new(),
            digits: String::new(),
            digits_due: None,
            audible_until: None,
            answered_voice: None,
            has_spoken: false,
            is_unwanted: false,
            probe_due: false,
            phone_flood: FloodGuard::new(now),
            agent_flood: FloodGuard::new(now),
            notices: VecDeque::new(),
        }
    }

    /// Takes one input. Nothing has an effect once the bridge is [over](Self::over).
    pub fn handle(&mut self, now: Instant, input: Input<'_>) {
        if self.over().is_some() {
            return;
        }
        match input {
            Input::PhoneText(text) => self.phone_text(now, text),
            Input::PhoneBinary => self.ignore(now, Speaker::Phone, "binary"),
            Input::PhoneClosed => self.end(EndReason::PhoneLost),
            Input::PhoneViolation => self.end(EndReason::ProtocolError),
            Input::AgentJoined => self.agent_joined(now),
            Input::AgentUnreachable { cause } => {
                self.agent = Agent::Gone;
                self.notices.push_back(Notice::AgentLeft { code: None, reason: cause });
                self.end(EndReason::AgentUnreachable);
            }
            Input::AgentAudio(pcm) => self.agent_audio(now, pcm),
            Input::AgentText(text) => self.agent_text(now, text),
            Input::AgentAlive => self.agent_alive(now),
            Input::AgentClosed { code, reason } => self.agent_closed(now, code, reason),
            Input::End(reason) => self.end(reason),
            Input::Tick => {}
        }
        self.tick(now);
    }

    /// Appends the next text frame for Twilio's socket to `text`. Ask only when it can be sent: what
    /// is not asked for is still dropped when the person interrupts.
    pub fn poll_to_phone(&mut self, now: Instant, text: &mut Vec<u8>) -> Option<ToPhone> {
        let writer = self.writer.as_ref()?;
        match self.downlink.pop()? {
            Outgoing::Clear => writer.clear(text),
            Outgoing::Mark { generation, position_ms } => {
                writer.mark(format_args!("g{generation}:{position_ms}"), text);
            }
            Outgoing::Audio { mulaw, since } => {
                writer.media(mulaw, text);
                let bytes = mulaw.len();
                self.note_audible(now, bytes);
                let frames = (bytes / crate::audio::FRAME_SAMPLES) as u64;
                return Some(ToPhone { since: Some(since), frames });
            }
        }
        Some(ToPhone { since: None, frames: 0 })
    }

    /// Appends what the next frame for the agent's socket holds to `payload`. Ask only when it can
    /// be sent: what is not asked for gives way to newer audio after a second.
    pub fn poll_to_agent(&mut self, payload: &mut Vec<u8>) -> Option<ToAgent> {
        let Agent::Joined { .. } = self.agent else { return None };
        if let Some(text) = self.agent_texts.pop_front() {
            payload.extend_from_slice(text.as_bytes());
            return Some(ToAgent::Text);
        }
        if std::mem::take(&mut self.probe_due) {
            return Some(ToAgent::Probe);
        }
        let since = self.uplink.as_mut()?.pop(payload)?.since;
        Some(ToAgent::Audio { since })
    }

    /// The next thing to tell the call's owner.
    pub fn poll_notice(&mut self) -> Option<Notice> {
        self.notices.pop_front()
    }

    /// Whether the agent's socket should be read. False while the phone's takes too little.
    pub fn wants_agent(&self) -> bool {
        self.downlink.has_room()
    }

    /// When to call [`handle`](Self::handle) with [`Input::Tick`] if nothing happens before.
    pub fn next_deadline(&self) -> Option<Instant> {
        let phase = match &self.phase {
            Phase::AwaitingStart { until } | Phase::Goodbye { until, .. } => Some(*until),
            Phase::Live => None,
            Phase::Over(_) => return None,
        };
        let agent = match self.agent {
            Agent::Joining { until } => Some(until),
            Agent::Joined { heard_from, probe_at } => {
                Some(probe_at.min(heard_from + AGENT_SILENCE_LIMIT))
            }
            Agent::Gone => None,
        };
        let uplink = match self.agent {
            Agent::Joined { .. } => self.uplink.as_ref().map(Uplink::next_deadline),
            _ => None,
        };
        [phase, agent, uplink, self.digits_due, self.downlink.next_deadline()]
            .into_iter()
            .flatten()
            .min()
    }

    /// Why the bridge is over, once it is. Both sockets are then to be closed, after what
    /// `poll_to_agent` and `poll_to_phone` still give.
    pub fn over(&self) -> Option<EndReason> {
        match self.phase {
            Phase::Over(reason) => Some(reason),
            _ => None,
        }
    }

    /// What became of all audio so far.
    pub fn counts(&self) -> Counts {
        Counts {
            uplink: self.uplink.as_ref().map(|uplink| uplink.counts).unwrap_or_default(),
            downlink: self.downlink.counts,
        }
    }

    fn phone_text(&mut self, now: Instant, text: &str) {
        if !self.phone_flood.allows_frame(now) {
            return self.end(EndReason::ProtocolError);
        }
        let event = match twilio::Event::parse(text) {
            Ok(event) => event,
            Err(_) => return self.ignore(now, Speaker::Phone, "malformed"),
        };
        match event {
            twilio::Event::Connected => {}
            twilio::Event::Unknown => self.ignore(now, Speaker::Phone, "unknown"),
            twilio::Event::Start(start) => self.stream_start(now, &start),
            _ if self.writer.is_none() => self.ignore(now, Speaker::Phone, "before_start"),
            twilio::Event::Media(media) => self.phone_audio(now, &media),
            twilio::Event::Mark { name } => self.mark_echo(now, &name),
            twilio::Event::Dtmf { digit } => self.key_pressed(now, digit),
            twilio::Event::Stop => self.end(EndReason::PhoneHungUp),
        }
    }

    fn stream_start(&mut self, now: Instant, start: &twilio::Start) {
        let Phase::AwaitingStart { .. } = self.phase else {
            return self.ignore(now, Speaker::Phone, "second_start");
        };
        let shown = start.custom_parameters.get(TOKEN_PARAMETER).map_or("", String::as_str);
        let expected = self.admission.token.expose_secret();
        let has_token = bool::from(shown.as_bytes().ct_eq(expected.as_bytes()));
        if !has_token || start.call_sid != self.admission.call_sid || !start.is_phone_audio {
            return self.end(EndReason::StreamRejected);
        }
        self.writer = Some(twilio::Writer::new(&start.stream_sid));
        self.uplink = Some(Uplink::new(now));
        self.notices.push_back(Notice::StreamStarted(start.stream_sid.clone()));
        if let Phase::AwaitingStart { .. } = self.phase {
            self.phase = Phase::Live;
        }
    }

    fn phone_audio(&mut self, now: Instant, media: &twilio::Media<'_>) {
        if !media.is_inbound || matches!(self.agent, Agent::Gone) {
            return;
        }
        // Twilio sends 160 bytes at a time; other sizes are legal and take the slower way.
        let mut frame = [0; 256];
        let Some(uplink) = &mut self.uplink else { return };
        match media.decode(&mut frame) {
            Ok(mulaw) if mulaw.is_empty() => {}
            Ok(mulaw) => uplink.audio(now, &mulaw, media.timestamp_ms),
            Err(_) => self.ignore(now, Speaker::Phone, "malformed"),
        }
    }

    fn mark_echo(&mut self, now: Instant, name: &str) {
        match self.downlink.echo(name) {
            Echo::Heard => self.end_if_played_out(),
            Echo::Cleared { since: Some(since) } => {
                let after = now.saturating_duration_since(since);
                self.notices.push_back(Notice::Silenced { after });
            }
            Echo::Cleared { since: None } => {}
            Echo::Unknown => self.ignore(now, Speaker::Phone, "unknown_mark"),
        }
    }

    fn key_pressed(&mut self, now: Instant, digit: char) {
        self.notices.push_back(Notice::Dtmf(digit));
        self.digits.push(digit);
        self.digits_due = Some(now + DIGITS_PAUSE);
        if self.digits.len() >= DIGITS_MOST {
            self.send_digits();
        }
    }

    fn send_digits(&mut self) {
        self.digits_due = None;
        let text = format!("DTMF received: {}", std::mem::take(&mut self.digits));
        let urgency = ultravox::Urgency::Immediate;
        self.tell_agent(&ultravox::Command::UserTextMessage { text: &text, urgency });
    }

    fn tell_agent(&mut self, command: &ultravox::Command<'_>) {
        if self.agent_texts.len() >= AGENT_TEXTS_MOST {
            return self.end(EndReason::AgentLost);
        }
        self.agent_texts.push_back(command.to_json());
    }

    fn agent_joined(&mut self, now: Instant) {
        self.agent = Agent::Joined { heard_from: now, probe_at: now + PROBE_EVERY };
        self.notices.push_back(Notice::AgentJoined);
    }

    fn agent_alive(&mut self, now: Instant) {
        if let Agent::Joined { heard_from, .. } = &mut self.agent {
            *heard_from = now;
        }
    }

    fn agent_audio(&mut self, now: Instant, pcm: &[u8]) {
        self.agent_alive(now);
        if !self.agent_flood.allows_frame(now) {
            return self.end(EndReason::ProtocolError);
        }
        if !pcm.is_empty() {
            self.downlink.audio(now, pcm);
        }
    }

    fn agent_text(&mut self, now: Instant, text: &str) {
        self.agent_alive(now);
        if !self.agent_flood.allows_frame(now) {
            return self.end(EndReason::ProtocolError);
        }
        let Ok(event) = serde_json::from_str::<ultravox::Event>(text) else {
            return self.ignore(now, Speaker::Agent, "malformed");
        };
        match event {
            ultravox::Event::PlaybackClearBuffer => {
                let (dropped_ms, heard_ms) = self.downlink.interrupt(now);
                self.audible_until = None;
                self.notices.push_back(Notice::Interrupted { dropped_ms, heard_ms });
            }
            ultravox::Event::Transcript { role, text, delta, is_final, ordinal } => {
                let done = self.transcripts.take(role, text, delta.as_deref(), is_final, ordinal);
                if let Some((speaker, text)) = done {
                    self.notices.push_back(Notice::Transcript(speaker, text));
                }
            }
            ultravox::Event::ClientToolInvocation { tool_name, invocation_id } => {
                self.tool_invoked(&tool_name, &invocation_id);
            }
            ultravox::Event::UserStoppedSpeaking | ultravox::Event::Other => {}
        }
    }

    /// Answers the agent, whose conversation stands still until then.
    fn tool_invoked(&mut self, tool: &str, invocation_id: &str) {
        if tool != ultravox::DO_NOT_CALL_TOOL {
            let error_message = &format!("there is no tool named {tool}");
            let error_type = "undefined";
            return self.tell_agent(&ultravox::Command::ClientToolError {
                invocation_id,
                error_type,
                error_message,
            });
        }
        let result = "The number is on the list of those that are not called any more.";
        self.tell_agent(&ultravox::Command::ClientToolResult { invocation_id, result });
        if !std::mem::replace(&mut self.is_unwanted, true) {
            self.notices.push_back(Notice::DoNotCall);
        }
    }

    fn agent_closed(&mut self, now: Instant, code: Option<u16>, reason: String) {
        let was_joined = match std::mem::replace(&mut self.agent, Agent::Gone) {
            Agent::Joining { .. } => false,
            Agent::Joined { .. } => true,
            Agent::Gone => return,
        };
        self.notices.push_back(Notice::AgentLeft { code, reason });
        // Ultravox ends a call with 1000, or without a code (1005); everything else is a failure.
        let then = match code {
            Some(1000 | 1005) if was_joined => EndReason::AgentHungUp,
            _ => EndReason::AgentLost,
        };
        self.downlink.finish(now);
        self.phase = Phase::Goodbye { until: now + GOODBYE_LIMIT, then };
        if self.writer.is_none() {
            // Nobody was let in who could hear a goodbye.
            self.end(then);
        }
        self.end_if_played_out();
    }

    fn end_if_played_out(&mut self) {
        if let Phase::Goodbye { then, .. } = self.phase
            && self.downlink.is_played_out()
        {
            self.end(then);
        }
    }

    fn note_audible(&mut self, now: Instant, bytes: usize) {
        if !std::mem::replace(&mut self.has_spoken, true) {
            self.notices.push_back(Notice::FirstAgentAudio);
        }
        let is_new_turn = self.audible_until.is_none_or(|until| until + TURN_PAUSE < now);
        let voice = self.uplink.as_ref().and_then(Uplink::last_voice);
        if let Some(voice) = voice.filter(|_| is_new_turn && voice > self.answered_voice) {
            let after = now.saturating_duration_since(voice);
            self.notices.push_back(Notice::AgentResponded { after });
            self.answered_voice = Some(voice);
        }
        let from = self.audible_until.map_or(now, |until| until.max(now));
        let length = Duration::from_millis((bytes / SAMPLES_PER_MS) as u64);
        self.audible_until = Some(from + length);
    }

    fn ignore(&mut self, now: Instant, from: Speaker, why: &'static str) {
        let flood = match from {
            Speaker::Phone => &mut self.phone_flood,
            Speaker::Agent => &mut self.agent_flood,
        };
        let allowed = flood.allows_bad_frame(now);
        self.notices.push_back(Notice::Ignored { from, why });
        if !allowed {
            self.end(EndReason::ProtocolError);
        }
    }

    fn end(&mut self, reason: EndReason) {
        if !matches!(self.phase, Phase::Over(_)) {
            self.phase = Phase::Over(reason);
        }
    }

    fn tick(&mut self, now: Instant) {
        match self.phase {
            Phase::AwaitingStart { until } if until <= now => self.end(EndReason::StreamMissing),
            Phase::Goodbye { until, then } if until <= now => self.end(then),
            _ => {}
        }
        match &mut self.agent {
            Agent::Joining { until } if *until <= now => {
                self.agent = Agent::Gone;
                let reason = "the agent's socket was not joined in time".to_owned();
                self.notices.push_back(Notice::AgentLeft { code: None, reason });
                self.end(EndReason::AgentUnreachable);
            }
            Agent::Joined { heard_from, probe_at } => {
                if !self.downlink.has_room() {
                    // It is we who do not listen.
                    *heard_from = now;
                }
                if *heard_from + AGENT_SILENCE_LIMIT <= now {
                    let reason = "the agent's socket fell silent".to_owned();
                    return self.agent_closed(now, None, reason);
                }
                if *probe_at <= now {
                    *probe_at = now + PROBE_EVERY;
                    self.probe_due = true;
                }
                if let Some(uplink) = &mut self.uplink {
                    uplink.tick(now);
                }
            }
            _ => {}
        }
        if self.digits_due.is_some_and(|at| at <= now) {
            self.send_digits();
        }
        self.downlink.tick(now);
    }
}
