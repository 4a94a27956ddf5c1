//! What the agent says, on its way to the phone.

use super::*;

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
fn a_phone_that_takes_nothing_stops_the_agent_from_being_read() {
    let mut call = BridgeTest::live();
    call.agent_speaks_ms(1_980);
    assert!(call.bridge.wants_agent());
    call.agent_speaks_ms(20);
    assert!(!call.bridge.wants_agent());
    call.next_to_phone().expect("audio");
    assert!(call.bridge.wants_agent());
}
