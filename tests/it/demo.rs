//! The demo as a newcomer runs it: the real program, its words and its recording.

use std::process::{Command, Stdio};

use loadtest::audio::{Clip, SpeechDetector, SpeechEvent};

/// When somebody spoke on one channel: (from, to) in milliseconds.
fn speech(samples: &[i16]) -> Vec<(u64, u64)> {
    let mut detector = SpeechDetector::default();
    let mut spans: Vec<(u64, u64)> = Vec::new();
    for (frame, samples) in samples.chunks(160).enumerate() {
        let now = frame as u64 * 20;
        for event in detector.events(samples) {
            match event {
                SpeechEvent::Started => spans.push((now, now)),
                SpeechEvent::Stopped => spans.last_mut().expect("it has begun").1 = now,
            }
        }
    }
    if let Some(last) = spans.last_mut().filter(|_| detector.is_speaking()) {
        last.1 = samples.len() as u64 / 8;
    }
    spans
}

fn duration_ms(clips: &[Clip]) -> u64 {
    clips.iter().map(Clip::duration_ms).sum()
}

#[test]
fn the_demo_can_be_heard_and_read() {
    let folder = tempfile::tempdir().expect("a folder");
    let recording = folder.path().join("call.wav");
    let output = Command::new(env!("CARGO_BIN_EXE_callspan"))
        .args(["demo", "--out"])
        .arg(&recording)
        .stdin(Stdio::null())
        .output()
        .expect("the program runs");
    let text = String::from_utf8(output.stdout).expect("text");
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));

    // The conversation, in its order.
    let order = [
        "answered",
        "“Hello? Sam Taylor speaking.”",
        Clip::AGENT_GREETING.text(),
        Clip::CALLER_YES.text(),
        "the caller interrupts",
        Clip::CALLER_INTERRUPTS.text(),
        Clip::AGENT_REBOOKED.text(),
        Clip::CALLER_GOODBYE.text(),
        Clip::AGENT_GOODBYE.text(),
        "completed: agent_hung_up",
        "p50",
        "p99",
    ];
    let mut rest = text.as_str();
    for words in order {
        let at = rest.find(words).unwrap_or_else(|| panic!("{words:?} is missing in:\n{text}"));
        rest = &rest[at + words.len()..];
    }

    let mut wav = hound::WavReader::open(&recording).expect("a recording");
    let spec = wav.spec();
    assert_eq!((spec.channels, spec.sample_rate, spec.bits_per_sample), (2, 8_000, 16));
    let samples: Vec<i16> = wav.samples().map(|sample| sample.expect("a sample")).collect();
    let channel = |n: usize| -> Vec<i16> { samples.iter().skip(n).step_by(2).copied().collect() };
    let (caller, agent) = (speech(&channel(0)), speech(&channel(1)));

    // Words within a sentence may lie apart, so spans are joined into the four turns of each side.
    let caller_began = caller.first().expect("the caller speaks").0;
    let agent_began = agent.first().expect("the agent speaks").0;
    assert!(caller_began < agent_began, "the caller says hello first");
    let spoken = |spans: &[(u64, u64)]| -> u64 { spans.iter().map(|(from, to)| to - from).sum() };
    let caller_ms = duration_ms(&[
        Clip::CALLER_HELLO,
        Clip::CALLER_YES,
        Clip::CALLER_INTERRUPTS,
        Clip::CALLER_GOODBYE,
    ]);
    let uninterrupted_ms =
        duration_ms(&[Clip::AGENT_GREETING, Clip::AGENT_REBOOKED, Clip::AGENT_GOODBYE]);
    let whole_ms = uninterrupted_ms + duration_ms(&[Clip::AGENT_DETAILS, Clip::AGENT_MORE_DETAILS]);
    let near = |heard: u64, said: u64| heard * 10 >= said * 8 && heard * 10 <= said * 13;
    assert!(near(spoken(&caller), caller_ms), "{caller:?} is not {caller_ms} ms of the caller");
    let agent_ms = spoken(&agent);
    assert!(agent_ms * 10 >= uninterrupted_ms * 8, "{agent:?} lacks lines of the agent");
    assert!(agent_ms < whole_ms, "{agent:?}: the interrupted line was played to its end");

    // The recordings take turns: only the interruption overlaps, and briefly.
    let overlap: u64 = caller
        .iter()
        .flat_map(|one| agent.iter().map(move |other| (one, other)))
        .map(|(one, other)| one.1.min(other.1).saturating_sub(one.0.max(other.0)))
        .sum();
    assert!(overlap > 0, "the caller interrupts nobody");
    let interruption = Clip::CALLER_INTERRUPTS.duration_ms();
    assert!(overlap < interruption, "the agent goes on talking for {overlap} ms");

    // The goodbye is the last thing heard, and whole.
    let (from, to) = *agent.last().expect("the agent speaks");
    assert!(from > caller.last().expect("the caller speaks").0, "the agent has the last word");
    let end_ms = samples.len() as u64 / 16;
    assert!(end_ms - to < 1_500, "the call goes on after the goodbye");
}
