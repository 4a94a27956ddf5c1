//! What the phone says, on its way to the agent.

use super::*;

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
