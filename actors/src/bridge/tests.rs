//! Small scripts of a call: what each side sends, and what reaches the other.

#![expect(clippy::disallowed_methods, reason = "a script begins now and then keeps its own time")]

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use insta::assert_snapshot;

use super::*;
use crate::audio::{FRAME_MS, FRAME_PCM_BYTES, FRAME_SAMPLES, MULAW_SILENCE, decode, encode};

const CALL: &str = "CA00000000000000000000000000000001";
const STREAM: &str = "MZ00000000000000000000000000000001";
const TOKEN: &str = "one-time-token";

struct BridgeTest {
    bridge: Bridge,
    now: Instant,
    timestamp_ms: u64,
}

impl BridgeTest {
    fn upgraded() -> Self {
        let now = Instant::now();
        let admission =
            Admission { token: TOKEN.to_owned().into(), call_sid: CALL.parse().expect("valid") };
        BridgeTest { bridge: Bridge::new(now, admission), now, timestamp_ms: 155 }
    }

    fn live() -> Self {
        let mut call = BridgeTest::upgraded();
        call.phone_starts(CALL, TOKEN);
        call.give(Input::AgentJoined);
        call.actions();
        call
    }

    fn give(&mut self, input: Input<'_>) {
        self.bridge.handle(self.now, input);
    }

    fn phone_starts(&mut self, call: &str, token: &str) {
        let text = format!(
            r#"{{"event":"start","sequenceNumber":"1","start":{{"accountSid":"AC1","streamSid":"{STREAM}","callSid":"{call}","tracks":["inbound"],"mediaFormat":{{"encoding":"audio/x-mulaw","sampleRate":8000,"channels":1}},"customParameters":{{"token":"{token}"}}}},"streamSid":"{STREAM}"}}"#
        );
        self.give(Input::PhoneText(r#"{"event":"connected","protocol":"Call","version":"1.0.0"}"#));
        self.give(Input::PhoneText(&text));
    }

    /// One frame from the phone, without moving the clock.
    fn phone_frame(&mut self, mulaw: &[u8]) {
        let text = format!(
            r#"{{"event":"media","media":{{"track":"inbound","timestamp":"{}","payload":"{}"}}}}"#,
            self.timestamp_ms,
            STANDARD.encode(mulaw)
        );
        self.timestamp_ms += FRAME_MS;
        self.give(Input::PhoneText(&text));
    }

    fn phone_speaks_ms(&mut self, ms: u64) {
        for _ in 0..ms / FRAME_MS {
            self.phone_frame(&[encode(8_000); FRAME_SAMPLES]);
            self.advance_ms(FRAME_MS);
        }
    }

    fn phone_marks(&mut self, name: &str) {
        let text = format!(r#"{{"event":"mark","mark":{{"name":"{name}"}}}}"#);
        self.give(Input::PhoneText(&text));
    }

    fn agent_speaks_ms(&mut self, ms: u64) {
        for _ in 0..ms / FRAME_MS {
            self.give(Input::AgentAudio(&[0x10; FRAME_PCM_BYTES]));
        }
    }

    fn interrupt(&mut self) {
        self.give(Input::AgentText(r#"{"type":"playback_clear_buffer"}"#));
    }

    /// Lets time pass as a punctual owner would: ticking at every deadline.
    fn advance_ms(&mut self, ms: u64) {
        let until = self.now + Duration::from_millis(ms);
        while let Some(deadline) = self.bridge.next_deadline().filter(|&at| at <= until) {
            self.now = self.now.max(deadline);
            self.give(Input::Tick);
        }
        self.now = until;
        self.give(Input::Tick);
    }

    /// The next frame for the phone, and its text.
    fn next_to_phone(&mut self) -> Option<(ToPhone, Vec<u8>)> {
        let mut text = Vec::new();
        let frame = self.bridge.poll_to_phone(self.now, &mut text)?;
        Some((frame, text))
    }

    /// The next frame for the agent, and what it holds.
    fn next_to_agent(&mut self) -> Option<(ToAgent, Vec<u8>)> {
        let mut payload = Vec::new();
        let frame = self.bridge.poll_to_agent(&mut payload)?;
        Some((frame, payload))
    }

    /// Everything the bridge wants done, one line each; runs of audio are summed up.
    fn actions(&mut self) -> String {
        let mut lines: Vec<String> = Vec::new();
        let mut audio_ms = 0;
        let flush = |lines: &mut Vec<String>, audio_ms: &mut u64, to: &str| {
            if *audio_ms > 0 {
                lines.push(format!("to {to}: {audio_ms} ms of audio"));
            }
            *audio_ms = 0;
        };
        while let Some((frame, text)) = self.next_to_phone() {
            if frame.frames > 0 {
                audio_ms += frame.frames * FRAME_MS;
                continue;
            }
            flush(&mut lines, &mut audio_ms, "phone");
            let json: serde_json::Value = serde_json::from_slice(&text).expect("json");
            let name = json["mark"]["name"].as_str().unwrap_or("");
            lines.push(format!("to phone: {} {name}", json["event"].as_str().expect("event")));
        }
        flush(&mut lines, &mut audio_ms, "phone");
        let mut silence = 0;
        while let Some((frame, payload)) = self.next_to_agent() {
            match frame {
                ToAgent::Audio { since } => {
                    audio_ms += payload.len() as u64 / 16;
                    silence += u32::from(since.is_none());
                }
                ToAgent::Text => {
                    let text = String::from_utf8(payload).expect("text");
                    lines.push(format!("to agent: {text}"));
                }
                ToAgent::Probe => lines.push("to agent: probe".into()),
            }
        }
        flush(&mut lines, &mut audio_ms, "agent");
        if silence > 0 {
            write!(lines.last_mut().expect("audio"), ", {silence} frames of it made up")
                .expect("writing to a string");
        }
        while let Some(notice) = self.bridge.poll_notice() {
            lines.push(format!("notice: {notice:?}"));
        }
        if let Some(reason) = self.bridge.over() {
            lines.push(format!("over: {reason}"));
        }
        lines.iter().map(|line| line.trim_end()).collect::<Vec<_>>().join("\n")
    }

    fn pcm_for_agent(&mut self) -> Vec<u8> {
        let mut all = Vec::new();
        while let Some((frame, payload)) = self.next_to_agent() {
            if let ToAgent::Audio { .. } = frame {
                all.extend(payload);
            }
        }
        all
    }

    fn mulaw_for_phone(&mut self) -> Vec<u8> {
        let mut all = Vec::new();
        while let Some((frame, text)) = self.next_to_phone() {
            if frame.frames > 0 {
                let json: serde_json::Value = serde_json::from_slice(&text).expect("json");
                let payload = json["media"]["payload"].as_str().expect("payload");
                all.extend(STANDARD.decode(payload).expect("base64"));
            }
        }
        all
    }
}

#[test]
fn a_stream_with_the_right_token_goes_live() {
    let mut call = BridgeTest::upgraded();
    call.phone_starts(CALL, TOKEN);
    call.give(Input::AgentJoined);
    assert_snapshot!(call.actions(), @r#"
    notice: StreamStarted(StreamSid("MZ00000000000000000000000000000001"))
    notice: AgentJoined
    "#);
}

#[test]
fn a_stream_that_shows_no_or_another_token_or_call_is_rejected() {
    for (call_sid, token) in
        [(CALL, ""), (CALL, "guess"), ("CA00000000000000000000000000000002", TOKEN)]
    {
        let mut call = BridgeTest::upgraded();
        call.phone_starts(call_sid, token);
        assert_eq!(call.actions(), "over: stream_rejected", "{call_sid} {token}");
    }
}

#[test]
fn a_stream_that_never_starts_ends_after_ten_seconds() {
    let mut call = BridgeTest::upgraded();
    call.give(Input::AgentJoined);
    call.advance_ms(9_999);
    assert_eq!(call.bridge.over(), None);
    call.advance_ms(1);
    assert_eq!(call.bridge.over(), Some(EndReason::StreamMissing));
}

#[test]
fn all_codes_pass_bit_exact_both_ways() {
    let mut call = BridgeTest::live();
    let codes: Vec<u8> = (0..=255).chain(0..64).collect();
    for frame in codes.chunks(FRAME_SAMPLES) {
        call.phone_frame(frame);
    }
    let pcm: Vec<u8> = codes.iter().flat_map(|&code| decode(code).to_le_bytes()).collect();
    assert_eq!(call.pcm_for_agent(), pcm);

    call.give(Input::AgentAudio(&pcm));
    let expected: Vec<u8> =
        codes.iter().map(|&code| if code == 0x7F { MULAW_SILENCE } else { code }).collect();
    assert_eq!(call.mulaw_for_phone(), expected);
}

#[test]
fn agent_audio_of_any_size_leaves_in_whole_frames() {
    let mut call = BridgeTest::live();
    let samples: Vec<i16> = (0..1_000).map(|n| n * 30).collect();
    let pcm: Vec<u8> = samples.iter().flat_map(|sample| sample.to_le_bytes()).collect();
    let mut heard = Vec::new();
    for piece in pcm.chunks(333) {
        call.give(Input::AgentAudio(piece));
        let audio = call.mulaw_for_phone();
        assert_eq!(audio.len() % FRAME_SAMPLES, 0);
        heard.extend(audio);
    }
    call.advance_ms(100);
    heard.extend(call.mulaw_for_phone());
    let expected: Vec<u8> = samples.iter().map(|&sample| encode(sample)).collect();
    assert_eq!(heard[..1_000], expected);
    assert_eq!(heard[1_000..], [MULAW_SILENCE; 120], "the last frame is filled with silence");
}

#[test]
fn the_rest_of_a_frame_counts_as_having_come_when_it_was_filled_up() {
    let mut call = BridgeTest::live();
    for _ in 0..3 {
        call.give(Input::AgentAudio(&[0x10; 270]));
        call.advance_ms(5);
    }
    let (whole, _) = call.next_to_phone().expect("two frames");
    assert_eq!((whole.frames, whole.since), (2, Some(call.now - Duration::from_millis(15))));
    assert!(call.next_to_phone().is_none());
    call.advance_ms(100);
    let (rest, _) = call.next_to_phone().expect("the rest");
    assert_eq!((rest.frames, rest.since), (1, Some(call.now - Duration::from_millis(5))));
}

#[test]
fn an_interrupted_agent_falls_silent_at_once() {
    let mut call = BridgeTest::live();
    call.agent_speaks_ms(400);
    call.actions(); // whatever was sent before the interruption

    call.interrupt();
    call.advance_ms(60);
    assert_snapshot!(call.actions(), @"
    to phone: clear
    notice: Interrupted { dropped_ms: 0, heard_ms: 0 }
    ");
}

#[test]
fn audio_after_an_interruption_belongs_to_the_next_turn() {
    let mut call = BridgeTest::live();
    call.agent_speaks_ms(5_000);
    let (sent, _) = call.next_to_phone().expect("audio");
    assert_eq!(sent.frames, 10);
    call.interrupt();
    call.agent_speaks_ms(600);
    assert_snapshot!(call.actions(), @"
    to phone: clear
    to phone: 600 ms of audio
    to phone: mark g1:600
    notice: FirstAgentAudio
    notice: Interrupted { dropped_ms: 4800, heard_ms: 0 }
    ");
}

#[test]
fn what_was_heard_counts_from_the_beginning_of_the_turn() {
    let mut call = BridgeTest::live();
    call.agent_speaks_ms(1_000);
    call.advance_ms(200);
    call.actions();
    call.phone_marks("g0:1000");
    call.agent_speaks_ms(1_000);
    call.actions();
    call.phone_marks("g0:1500");
    call.interrupt();
    assert!(call.actions().contains("Interrupted { dropped_ms: 0, heard_ms: 500 }"));
}

#[test]
fn echoes_of_a_cleared_turn_are_not_playback() {
    let mut call = BridgeTest::live();
    call.agent_speaks_ms(1_200);
    call.actions();
    call.phone_marks("g0:600");
    call.interrupt();
    call.advance_ms(40);
    call.phone_marks("g0:1200");
    call.phone_marks("g0:1200");
    call.phone_marks("someone else's");
    let actions = call.actions();
    let notices: Vec<&str> = actions.lines().filter(|line| line.starts_with("notice")).collect();
    assert_eq!(
        notices,
        [
            "notice: Interrupted { dropped_ms: 0, heard_ms: 600 }",
            "notice: Silenced { after: 40ms }",
            "notice: Ignored { from: Phone, why: \"unknown_mark\" }",
        ]
    );
}

#[test]
fn a_goodbye_is_played_to_its_end() {
    let mut call = BridgeTest::live();
    call.agent_speaks_ms(1_000);
    call.give(Input::AgentClosed { code: Some(1000), reason: String::new() });
    assert_snapshot!(call.actions(), @r#"
    to phone: 600 ms of audio
    to phone: mark g0:600
    to phone: 400 ms of audio
    to phone: mark g0:1000
    notice: AgentLeft { code: Some(1000), reason: "" }
    notice: FirstAgentAudio
    "#);
    call.phone_marks("g0:600");
    assert_eq!(call.bridge.over(), None);
    call.phone_marks("g0:1000");
    assert_eq!(call.bridge.over(), Some(EndReason::AgentHungUp));
}

#[test]
fn a_goodbye_that_is_never_confirmed_ends_after_ten_seconds() {
    let mut call = BridgeTest::live();
    call.agent_speaks_ms(1_000);
    call.give(Input::AgentClosed { code: Some(1000), reason: String::new() });
    call.actions();
    call.advance_ms(9_999);
    assert_eq!(call.bridge.over(), None);
    call.advance_ms(1);
    assert_eq!(call.bridge.over(), Some(EndReason::AgentHungUp));
}

#[test]
fn a_person_may_hang_up_during_the_goodbye() {
    let mut call = BridgeTest::live();
    call.agent_speaks_ms(1_000);
    call.give(Input::AgentClosed { code: Some(1000), reason: String::new() });
    call.give(Input::PhoneText(r#"{"event":"stop","stop":{}}"#));
    assert_eq!(call.bridge.over(), Some(EndReason::PhoneHungUp));
}

#[test]
fn every_way_to_lose_a_side_has_its_reason() {
    let closed = |code| Input::AgentClosed { code, reason: String::new() };
    for (input, reason) in [
        (Input::PhoneText(r#"{"event":"stop"}"#), EndReason::PhoneHungUp),
        (Input::PhoneClosed, EndReason::PhoneLost),
        (Input::PhoneViolation, EndReason::ProtocolError),
        (closed(Some(1000)), EndReason::AgentHungUp),
        (closed(Some(1005)), EndReason::AgentHungUp),
        (closed(Some(1008)), EndReason::AgentLost),
        (closed(Some(4404)), EndReason::AgentLost),
        (closed(None), EndReason::AgentLost),
        (Input::AgentUnreachable { cause: String::new() }, EndReason::AgentUnreachable),
        (Input::End(EndReason::ShutDown), EndReason::ShutDown),
    ] {
        let mut call = BridgeTest::live();
        call.give(input);
        assert_eq!(call.bridge.over(), Some(reason));
        call.give(Input::AgentAudio(&[0; 320]));
        call.advance_ms(60_000);
        assert_eq!(call.bridge.over(), Some(reason), "the first reason stands");
        assert_eq!(call.bridge.next_deadline(), None);
    }
}

#[test]
fn gaps_in_the_timestamps_are_filled_with_silence() {
    let mut call = BridgeTest::live();
    call.phone_speaks_ms(100);
    call.timestamp_ms += 400;
    call.phone_frame(&[encode(8_000); FRAME_SAMPLES]);
    assert_snapshot!(call.actions(), @"to agent: 520 ms of audio, 20 frames of it made up");
}

#[test]
fn wobbling_timestamps_are_no_gap() {
    let mut call = BridgeTest::live();
    for wobble in [0, 9, 3, 8, 1, 5, 0, 9] {
        let exact = call.timestamp_ms;
        call.timestamp_ms += wobble;
        call.phone_frame(&[encode(8_000); FRAME_SAMPLES]);
        call.timestamp_ms = exact + FRAME_MS;
        call.advance_ms(FRAME_MS);
    }
    assert_snapshot!(call.actions(), @"to agent: 160 ms of audio");
}

#[test]
fn a_phone_that_sends_nothing_is_heard_as_silence_second_for_second() {
    let mut call = BridgeTest::live();
    call.phone_speaks_ms(100);
    let mut made_up = 0;
    for _ in 0..600 {
        call.advance_ms(100);
        call.give(Input::AgentAlive);
        made_up += call.pcm_for_agent().len();
    }
    let ms = made_up / 16;
    assert!((59_900..=60_120).contains(&ms), "{ms} ms of audio in 60,020 ms");
}

#[test]
fn frames_a_stall_held_back_are_delivered_and_the_silence_is_taken_back() {
    let mut call = BridgeTest::live();
    call.phone_speaks_ms(100);
    call.advance_ms(480);
    let mut so_far = call.pcm_for_agent();
    // The 24 frames of the stall come at once, speech, with timestamps as if nothing happened.
    for _ in 0..24 {
        call.phone_frame(&[encode(8_000); FRAME_SAMPLES]);
    }
    so_far.extend(call.pcm_for_agent());
    let loud = so_far.chunks_exact(2).filter(|sample| sample[1] != 0).count();
    assert_eq!(loud, 29 * FRAME_SAMPLES, "not one frame of speech is lost");

    // Then the person is quiet for a second.
    for _ in 0..50 {
        call.phone_frame(&[MULAW_SILENCE; FRAME_SAMPLES]);
        call.advance_ms(FRAME_MS);
    }
    let in_all_ms = (so_far.len() + call.pcm_for_agent().len()) / 16;
    assert_eq!(in_all_ms, 100 + 480 + 1_000, "one second a second again");
}

#[test]
fn a_phone_whose_clock_stood_still_loses_no_word_afterwards() {
    let mut call = BridgeTest::live();
    call.phone_speaks_ms(100);
    call.advance_ms(4_000);
    // Speech and then quiet, in real time, with timestamps as if nothing had happened.
    call.phone_speaks_ms(1_000);
    for _ in 0..50 {
        call.phone_frame(&[MULAW_SILENCE; FRAME_SAMPLES]);
        call.advance_ms(FRAME_MS);
    }
    let heard = call.pcm_for_agent();
    let counts = call.bridge.counts().uplink;
    assert!(counts.dropped_late <= 1, "{counts:?}");
    let in_all_ms = heard.len() as u64 / 16 + 20 * counts.dropped_slow;
    assert_eq!(in_all_ms, 100 + 4_000 + 1_000 + 1_000);
}

#[test]
fn long_pieces_of_audio_are_waited_for() {
    let mut call = BridgeTest::live();
    for _ in 0..20 {
        let text = format!(
            r#"{{"event":"media","media":{{"track":"inbound","timestamp":"{}","payload":"{}"}}}}"#,
            call.timestamp_ms,
            STANDARD.encode([encode(8_000); 10 * FRAME_SAMPLES])
        );
        call.timestamp_ms += 200;
        call.give(Input::PhoneText(&text));
        call.advance_ms(200);
    }
    assert_eq!(call.bridge.counts().uplink.silence_frames, 0);
}

#[test]
fn a_process_that_stood_still_loses_no_word() {
    let mut call = BridgeTest::live();
    call.phone_speaks_ms(100);
    // Everything stops for a second and a half; then the timer is noticed before the sockets.
    call.now += Duration::from_millis(1_500);
    call.give(Input::Tick);
    let mut heard = call.pcm_for_agent();
    for _ in 0..75 {
        call.phone_frame(&[encode(8_000); FRAME_SAMPLES]);
        heard.extend(call.pcm_for_agent());
    }
    assert_eq!(heard.len() / FRAME_PCM_BYTES, 5 + 75);
    assert_eq!(call.bridge.counts().uplink.silence_frames, 0);
}

#[test]
fn a_process_that_stood_still_makes_up_for_what_the_phone_did_not_send() {
    let mut call = BridgeTest::live();
    call.phone_speaks_ms(100);
    call.now += Duration::from_millis(500);
    call.give(Input::Tick);
    assert_eq!(call.bridge.counts().uplink.silence_frames, 0, "the phone gets another chance");
    call.advance_ms(100);
    let made_up = call.bridge.counts().uplink.silence_frames;
    assert!((29..=31).contains(&made_up), "{made_up} frames of silence in 600 ms");
}

#[test]
fn an_agent_that_does_not_read_gets_the_newest_second() {
    let mut call = BridgeTest::live();
    for n in 0..80 {
        call.phone_frame(&[n; FRAME_SAMPLES]);
        call.advance_ms(FRAME_MS);
    }
    let heard = call.pcm_for_agent();
    assert_eq!(heard.len(), uplink::QUEUE_FRAMES * FRAME_PCM_BYTES);
    assert_eq!(heard[..2], decode(30).to_le_bytes());
    assert_eq!(call.bridge.counts().uplink.dropped_slow, 30);
}

#[test]
fn a_phone_that_takes_nothing_stops_the_agent_from_being_read() {
    let mut call = BridgeTest::live();
    call.agent_speaks_ms(1_980);
    assert!(call.bridge.wants_agent());
    call.agent_speaks_ms(20);
    assert!(!call.bridge.wants_agent());
    call.next_to_phone().expect("audio");
    assert!(call.bridge.wants_agent());
}

#[test]
fn keys_pressed_together_reach_the_agent_as_one_text() {
    let mut call = BridgeTest::live();
    for digit in ["4", "2", "#"] {
        call.give(Input::PhoneText(&format!(
            r#"{{"event":"dtmf","dtmf":{{"track":"inbound_track","digit":"{digit}"}}}}"#
        )));
    }
    call.advance_ms(600);
    let actions = call.actions();
    assert_eq!(
        actions.lines().next(),
        Some(
            r#"to agent: {"type":"user_text_message","text":"DTMF received: 42#","urgency":"immediate"}"#
        )
    );
}

#[test]
fn a_tool_we_do_not_have_is_answered_so() {
    let mut call = BridgeTest::live();
    call.give(Input::AgentText(
        r#"{"type":"client_tool_invocation","toolName":"sing","invocationId":"i1","parameters":{}}"#,
    ));
    assert_snapshot!(call.actions(), @r#"to agent: {"type":"client_tool_result","invocationId":"i1","errorType":"undefined","errorMessage":"there is no tool named sing"}"#);
}

#[test]
fn the_wish_not_to_be_called_is_answered_each_time_and_told_once() {
    let mut call = BridgeTest::live();
    for id in ["i1", "i2"] {
        let invocation = format!(
            r#"{{"type":"client_tool_invocation","toolName":"doNotCall","invocationId":"{id}","parameters":{{}}}}"#
        );
        call.give(Input::AgentText(&invocation));
    }
    assert_snapshot!(call.actions(), @r#"
    to agent: {"type":"client_tool_result","invocationId":"i1","result":"The number is on the list of those that are not called any more."}
    to agent: {"type":"client_tool_result","invocationId":"i2","result":"The number is on the list of those that are not called any more."}
    notice: DoNotCall
    "#);
}

#[test]
fn useless_frames_are_ignored_until_they_are_a_flood() {
    let mut call = BridgeTest::live();
    for _ in 0..50 {
        call.give(Input::PhoneText("not json"));
        call.give(Input::PhoneBinary);
    }
    assert_eq!(call.bridge.over(), None);
    call.give(Input::PhoneBinary);
    assert_eq!(call.bridge.over(), Some(EndReason::ProtocolError));
}

#[test]
fn audio_before_the_start_is_ignored() {
    let mut call = BridgeTest::upgraded();
    call.give(Input::AgentJoined);
    call.phone_frame(&[0; FRAME_SAMPLES]);
    assert_snapshot!(call.actions(), @r#"
    notice: AgentJoined
    notice: Ignored { from: Phone, why: "before_start" }
    "#);
}

#[test]
fn what_the_agent_says_before_the_start_is_kept() {
    let mut call = BridgeTest::upgraded();
    call.give(Input::AgentJoined);
    call.agent_speaks_ms(300);
    assert_snapshot!(call.actions(), @"notice: AgentJoined");
    call.phone_starts(CALL, TOKEN);
    assert_eq!(call.mulaw_for_phone().len(), 300 * SAMPLES_PER_MS);
}

#[test]
fn a_silent_agent_socket_is_probed_and_given_up() {
    let mut call = BridgeTest::live();
    for _ in 0..4 {
        call.advance_ms(10_000);
        if call.actions().contains("probe") {
            call.give(Input::AgentAlive);
        }
    }
    assert_eq!(call.bridge.over(), None);
    for _ in 0..5 {
        call.advance_ms(10_000);
        call.actions();
    }
    assert_eq!(call.bridge.over(), Some(EndReason::AgentLost));
}

#[test]
fn an_agent_nobody_reads_is_not_taken_for_silent() {
    let mut call = BridgeTest::live();
    call.agent_speaks_ms(2_000);
    assert!(!call.bridge.wants_agent());
    call.advance_ms(100_000);
    assert_eq!(call.bridge.over(), None);
}

#[test]
fn the_response_time_runs_from_the_last_word_to_the_answer() {
    let mut call = BridgeTest::live();
    call.phone_speaks_ms(1_000);
    for _ in 0..35 {
        call.phone_frame(&[MULAW_SILENCE; FRAME_SAMPLES]);
        call.advance_ms(FRAME_MS);
    }
    call.agent_speaks_ms(20);
    let actions = call.actions();
    assert!(actions.contains("AgentResponded { after: 720ms }"), "{actions}");
}

#[test]
fn an_hour_of_talk_keeps_its_order_and_loses_nothing() {
    let mut call = BridgeTest::live();
    let frames = 180_000_u32;
    let mut heard = 0;
    for n in 0..frames {
        call.phone_frame(&[(n % 251) as u8 | 0x80; FRAME_SAMPLES]);
        call.advance_ms(FRAME_MS);
        for frame in call.pcm_for_agent().chunks(FRAME_PCM_BYTES) {
            assert_eq!(frame[..2], decode((heard % 251) as u8 | 0x80).to_le_bytes());
            heard += 1;
        }
        if n % 700 == 0 {
            call.give(Input::AgentAlive);
        }
    }
    assert_eq!(heard, frames);
    let counts = call.bridge.counts().uplink;
    assert_eq!((counts.frames_in, counts.silence_frames), (u64::from(frames), 0));
}

proptest::proptest! {
    #[test]
    fn no_order_of_frames_makes_it_panic(
        steps in proptest::collection::vec((0_u8..12, 0_u16..400), 0..200)
    ) {
        let mut call = BridgeTest::live();
        for (step, amount) in steps {
            let bytes = vec![7; usize::from(amount)];
            let amount = u64::from(amount);
            match step {
                0 => call.phone_speaks_ms(amount),
                1 => call.agent_speaks_ms(amount),
                2 => call.interrupt(),
                3 => call.phone_marks(&format!("g{}:{}", amount % 3, amount)),
                4 => call.advance_ms(amount * 40),
                5 => call.timestamp_ms += amount * 10,
                6 => call.timestamp_ms = call.timestamp_ms.saturating_sub(amount * 10),
                7 => call.give(Input::AgentAudio(&bytes)),
                8 => call.phone_frame(&bytes.repeat(3)),
                9 => drop(call.actions()),
                10 => call.give(Input::AgentText("{}")),
                _ => call.give(Input::AgentAlive),
            }
        }
        // The end always comes, and nothing is sent after it but what was asked for before.
        call.give(Input::AgentClosed { code: Some(1000), reason: String::new() });
        call.advance_ms(10_000);
        proptest::prop_assert!(call.bridge.over().is_some());
    }
}
