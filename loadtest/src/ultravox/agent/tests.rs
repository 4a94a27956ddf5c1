//! Scripts of what happens to an agent, and what it does about it; no sockets, no waiting.

use super::*;
use crate::{
    audio::{Clip, Tone, pcm_bytes},
    ultravox::{options::UltravoxOptions, script::Line},
};

const FRAME: Duration = Duration::from_millis(20);

/// An agent on a clock of its own.
struct Played {
    now: Instant,
    agent: Agent,
    events: Vec<AgentEvent>,
    texts: Vec<Value>,
    said: Vec<Said>,
    audio: Vec<u8>,
    audio_at_clear: Option<usize>,
    violations: Vec<String>,
    closed: Option<(u16, EndReason)>,
}

impl Played {
    fn with(script: AgentScript, request: Value) -> Self {
        Played::with_options(script, request, &UltravoxOptions::default())
    }

    fn with_options(script: AgentScript, request: Value, options: &UltravoxOptions) -> Self {
        let now = Instant::now();
        let settings = CallSettings::of("a-call", &request, options);
        let mut played = Played {
            now,
            agent: Agent::new(now, script, settings),
            events: Vec::new(),
            texts: Vec::new(),
            said: Vec::new(),
            audio: Vec::new(),
            audio_at_clear: None,
            violations: Vec::new(),
            closed: None,
        };
        played.feed(Input::Joined);
        played
    }

    fn agent_first(script: AgentScript) -> Self {
        Played::with(script, big_buffer(json!({"agent": {}})))
    }

    fn user_first(script: AgentScript) -> Self {
        Played::with(script, big_buffer(json!({"user": {}})))
    }

    fn feed(&mut self, input: Input) {
        self.agent.handle(self.now, input);
        while let Some(action) = self.agent.poll_action() {
            match action {
                Action::Text(text) => {
                    let text: Value = serde_json::from_str(&text).expect("the agent sends JSON");
                    if text["type"] == "playback_clear_buffer" {
                        self.audio_at_clear = Some(self.audio.len());
                    }
                    self.texts.push(text);
                }
                Action::Audio(pcm) => self.audio.extend_from_slice(&pcm),
                Action::Close { code, end, .. } => self.closed = Some((code, end)),
                Action::Note(event) => self.events.push(event),
                Action::Said(said) => self.said.push(said),
                Action::Violation(what) => self.violations.push(what),
            }
        }
    }

    /// Lets time pass while the user's microphone carries `samples`.
    fn hear(&mut self, samples: &[i16]) {
        for frame in samples.chunks(160) {
            let end = self.now + FRAME;
            while let Some(due) = self.agent.next_deadline().filter(|due| *due < end) {
                self.now = due.max(self.now);
                self.feed(Input::Tick);
            }
            self.now = end;
            self.feed(Input::Audio(pcm_bytes(frame).into()));
        }
    }

    fn quiet_ms(&mut self, ms: usize) {
        self.hear(&vec![0; ms * 8]);
    }

    fn message(&mut self, message: Value) {
        self.feed(Input::Message(message));
    }

    fn texts_of(&self, kind: &str) -> Vec<&Value> {
        self.texts.iter().filter(|text| text["type"] == kind).collect()
    }

    fn agent_said(&self) -> Vec<&str> {
        self.said.iter().filter(|said| said.by_agent).map(|said| said.text.as_str()).collect()
    }
}

fn big_buffer(first: Value) -> Value {
    json!({
        "firstSpeakerSettings": first,
        "medium": {"serverWebSocket": {"inputSampleRate": 8000, "clientBufferSizeMs": 30000}},
    })
}

fn two_lines() -> AgentScript {
    AgentScript::conversation([Line::tone(Tone::LOW, 2_000), Line::tone(Tone::HIGH, 1_000)])
}

#[test]
fn the_whole_demo_is_talked_through() {
    let mut call = Played::user_first(AgentScript::demo());
    call.quiet_ms(500);
    call.hear(&Clip::CALLER_HELLO.samples());
    call.quiet_ms(6_500);
    call.hear(&Clip::CALLER_YES.samples());
    call.quiet_ms(4_000);
    call.hear(&Clip::CALLER_INTERRUPTS.samples());
    call.quiet_ms(5_500);
    call.hear(&Clip::CALLER_GOODBYE.samples());
    call.quiet_ms(4_000);

    assert_eq!(call.closed, Some((1000, EndReason::AgentHangup)));
    let user: Vec<_> =
        call.said.iter().filter(|said| !said.by_agent).map(|said| said.text.as_str()).collect();
    let caller = Clip::all().iter().filter(|clip| clip.name().starts_with("caller"));
    assert_eq!(user, caller.map(Clip::text).collect::<Vec<_>>());
    let agent = call.agent_said();
    assert_eq!(agent.len(), 4, "{agent:?}");
    let details = format!("{} {}", Clip::AGENT_DETAILS.text(), Clip::AGENT_MORE_DETAILS.text());
    assert!(details.starts_with(agent[1]) && agent[1].len() < details.len(), "{}", agent[1]);
    assert_eq!(agent[3], Clip::AGENT_GOODBYE.text());
    assert_eq!(call.texts_of("playback_clear_buffer").len(), 1);
    assert_eq!(call.violations, [""; 0]);
}

#[test]
fn an_interrupted_agent_falls_silent_at_once() {
    let mut call = Played::agent_first(two_lines());
    call.quiet_ms(1_000);
    call.hear(&Tone::LOW.samples(100));
    assert_eq!(call.texts_of("playback_clear_buffer").len(), 1);
    let silent_from = call.audio.len();
    call.hear(&Tone::LOW.samples(1_000));
    assert_eq!(call.audio.len(), silent_from);
    assert_eq!(call.audio_at_clear, Some(silent_from));

    // Then the user falls silent, and the next line begins.
    call.quiet_ms(700);
    assert!(call.audio.len() > silent_from);
    assert_eq!(call.agent_said().len(), 1);
}

#[test]
fn a_short_noise_does_not_interrupt() {
    let mut call = Played::agent_first(two_lines());
    call.quiet_ms(1_000);
    call.hear(&Tone::LOW.samples(80));
    call.quiet_ms(500);
    assert!(call.texts_of("playback_clear_buffer").is_empty());
}

#[test]
fn what_was_played_before_is_not_interrupted_any_more() {
    let mut call = Played::agent_first(two_lines());
    // Sent in 400 ms, played for 2 s.
    call.quiet_ms(2_100);
    call.hear(&Tone::LOW.samples(300));
    assert!(call.texts_of("playback_clear_buffer").is_empty());
    assert_eq!(call.agent_said(), ["a tone of 400 Hz"]);
}

#[test]
fn a_user_who_is_to_speak_first_is_waited_for() {
    let mut call = Played::user_first(two_lines());
    call.quiet_ms(3_000);
    assert!(call.audio.is_empty());
    call.hear(&Clip::CALLER_HELLO.samples());
    call.quiet_ms(700);
    assert!(!call.audio.is_empty());
}

#[test]
fn the_fallback_greets_a_silent_user() {
    let first = json!({"user": {"fallback": {"delay": "2s"}}});
    let mut call = Played::with(two_lines(), big_buffer(first));
    call.quiet_ms(1_900);
    assert!(call.audio.is_empty());
    call.quiet_ms(600);
    assert!(!call.audio.is_empty());
}

#[test]
fn every_byte_of_a_line_is_sent_and_its_words_add_up() {
    let mut call = Played::agent_first(AgentScript::conversation([Clip::AGENT_GREETING.into()]));
    call.quiet_ms(6_000);
    assert_eq!(call.audio, Clip::AGENT_GREETING.pcm());
    let entries = call.texts_of("transcript");
    let deltas: String = entries.iter().filter_map(|entry| entry["delta"].as_str()).collect();
    assert_eq!(deltas, Clip::AGENT_GREETING.text());
    let last = entries.last().expect("a final entry");
    assert_eq!((&last["final"], &last["text"]), (&json!(true), &json!(deltas)));
    assert_eq!(call.closed, Some((1000, EndReason::AgentHangup)));
}

#[test]
fn a_hasty_agent_leaves_before_its_goodbye_was_played() {
    let options = UltravoxOptions { hang_up: HangUpWhen::Sent, ..UltravoxOptions::default() };
    let line = Line::tone(Tone::LOW, 2_000);
    let script = AgentScript::conversation([line.clone()]);
    let mut call = Played::with_options(script, big_buffer(json!({"agent": {}})), &options);
    call.quiet_ms(500);
    assert_eq!(call.closed, Some((1000, EndReason::AgentHangup)));
    assert_eq!(call.audio, line.pcm);
    assert_eq!(call.agent_said(), [line.text]);
}

#[test]
fn a_frozen_conversation_waits_for_its_tool() {
    let turn = Turn::of(Line::tone(Tone::LOW, 100)).then_invoke("look_up", json!({"n": 1}));
    let after = Turn::of(Line::tone(Tone::HIGH, 100));
    let mut call = Played::agent_first(AgentScript::Conversation(vec![turn, after]));
    call.quiet_ms(1_000);
    let invocation = call.texts_of("client_tool_invocation")[0]["invocationId"].clone();
    let before = call.audio.len();
    call.hear(&Clip::CALLER_YES.samples()[..8_000]);
    call.quiet_ms(500);
    assert_eq!(call.audio.len(), before);
    let result = json!({"type": "client_tool_result", "invocationId": invocation, "result": "{}"});
    call.message(result.clone());
    call.quiet_ms(500);
    assert!(call.audio.len() > before);
    assert_eq!(call.violations, [""; 0]);

    call.message(result);
    assert_eq!(call.violations.len(), 1);
}

#[test]
fn a_tool_nobody_answers_is_a_violation() {
    let mut call = Played::user_first(AgentScript::Manual);
    let (invocation, tool) = ("1".into(), "look_up".into());
    let command = Command::Invoke { invocation, tool, parameters: json!({}) };
    call.feed(Input::Command(command));
    call.quiet_ms(3_000);
    assert_eq!(call.violations.len(), 1);
}

#[test]
fn messages_of_the_client_are_obeyed() {
    let mut call = Played::user_first(AgentScript::Silent);
    call.message(json!({"type": "ping", "timestamp": 1.5}));
    assert_eq!(call.texts_of("pong")[0]["timestamp"], 1.5);
    call.message(json!({"type": "forced_agent_message", "content": "Please hold."}));
    call.quiet_ms(2_000);
    assert_eq!(call.agent_said(), ["Please hold."]);
    call.message(json!({"type": "user_text_message", "text": "Five", "urgency": "later"}));
    assert_eq!((call.said[1].medium, call.said[1].by_agent), ("text", false));
    call.message(json!({"type": "hang_up", "message": "Goodbye now."}));
    assert_eq!(call.closed, None);
    call.quiet_ms(2_000);
    assert_eq!(call.closed, Some((1000, EndReason::AgentHangup)));
    assert_eq!(call.agent_said(), ["Please hold.", "Goodbye now."]);
}

#[test]
fn a_call_ends_at_its_maximum_and_without_media() {
    let mut call = Played::with(AgentScript::Silent, json!({"maxDuration": "3s"}));
    call.quiet_ms(3_100);
    assert_eq!(call.closed, Some((1000, EndReason::Timeout)));

    let medium = json!({"serverWebSocket": {"inputSampleRate": 8000, "mediaIdleTimeout": "1s"}});
    let mut call = Played::with(AgentScript::Silent, json!({"medium": medium}));
    call.now += Duration::from_secs(9);
    call.feed(Input::Tick);
    assert_eq!(call.closed, None);
    call.now += Duration::from_secs(1);
    call.feed(Input::Tick);
    assert_eq!(call.closed, Some((1008, EndReason::ConnectionError)));
}

#[test]
fn messages_are_sent_only_when_enabled() {
    let medium = json!({"serverWebSocket": {"inputSampleRate": 8000, "dataMessages": {
        "state": false, "userStartedSpeaking": true, "userStoppedSpeaking": true,
    }}});
    let mut call = Played::with(AgentScript::Silent, json!({"medium": medium}));
    call.hear(&Clip::CALLER_HELLO.samples());
    call.quiet_ms(500);
    assert!(call.texts_of("state").is_empty());
    assert_eq!(call.texts_of("user_started_speaking").len(), 1);
    assert_eq!(call.texts_of("user_stopped_speaking").len(), 1);
}
