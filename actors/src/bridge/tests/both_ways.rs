//! What takes both directions.

use super::*;

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
