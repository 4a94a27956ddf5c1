use bytes::Bytes;

use super::*;
use crate::audio::FRAME_PCM_BYTES;

fn frames(probe: &mut PhoneProbe, count: usize) -> Vec<Vec<u8>> {
    let due = Instant::now();
    let mut say = || probe.say(due, false).expect("phones speak").to_vec();
    (0..count).map(|_| say()).collect()
}

fn pcm(ulaw: &[u8]) -> Vec<u8> {
    crate::audio::pcm_bytes(&crate::audio::g711::decode_all(ulaw))
}

fn ulaw(pcm: &[u8]) -> Vec<u8> {
    crate::audio::g711::encode_all(&crate::audio::pcm_samples(pcm))
}

#[test]
fn a_frame_is_followed_there_and_back() {
    let probe = Probe::new();
    let (mut phone, mut agent) = (probe.phone(), probe.agent());
    probe.measure(true);
    for frame in frames(&mut phone, 3) {
        let answer = agent.answer(Instant::now(), &pcm(&frame));
        phone.hear(Instant::now(), &ulaw(&answer));
    }
    probe.measure(false);
    let expected = FrameCounts { sent: 3, in_order: 3, ..FrameCounts::default() };
    assert_eq!((probe.to_agent(), probe.to_phone()), (expected, expected));
    assert_eq!(probe.delay_to_agent().len(), 3);
    assert_eq!(probe.delay_to_phone().len(), 3);
    assert_eq!(probe.lateness().len(), 3);
}

#[test]
fn delays_count_only_while_measuring() {
    let probe = Probe::new();
    let (mut phone, mut agent) = (probe.phone(), probe.agent());
    let first = frames(&mut phone, 3);
    agent.answer(Instant::now(), &pcm(&first[0]));
    probe.measure(true);
    agent.answer(Instant::now() + Duration::from_millis(7), &pcm(&first[1]));
    probe.measure(false);
    agent.answer(Instant::now(), &pcm(&first[2]));
    assert_eq!(probe.delay_to_agent().len(), 1);
    assert!(probe.delay_to_agent().max() >= 7_000);
}

#[test]
fn lost_late_damaged_and_misdelivered_frames_are_told_apart() {
    let probe = Probe::new();
    let (mut phone, mut agent) = (probe.phone(), probe.agent());
    let mut other = probe.phone();
    let sent = frames(&mut phone, 5);
    let now = Instant::now();
    agent.answer(now, &pcm(&sent[0]));
    agent.answer(now, &pcm(&sent[3]));
    assert!(agent.answer(now, &pcm(&sent[2])).is_empty());
    let mut damaged = sent[4].clone();
    damaged[100] ^= 1;
    agent.answer(now, &pcm(&damaged));
    agent.answer(now, &pcm(&frames(&mut other, 1)[0]));
    agent.answer(now, &[0; FRAME_PCM_BYTES]);
    let counts = probe.to_agent();
    let expected = FrameCounts { sent: 6, in_order: 2, out_of_order: 1, damaged: 2, unmarked: 1 };
    assert_eq!(counts, expected);
    assert_eq!(counts.lost(), 4);
    assert_eq!(probe.skipped(), 2);
}

#[test]
fn a_message_may_hold_several_frames() {
    let probe = Probe::new();
    let (mut phone, mut agent) = (probe.phone(), probe.agent());
    let both = frames(&mut phone, 2).concat();
    let answer = agent.answer(Instant::now(), &pcm(&both));
    phone.hear(Instant::now(), &ulaw(&answer));
    assert_eq!(probe.to_phone().in_order, 2);
}

#[test]
fn silent_phones_send_nothing_to_look_for() {
    let probe = Probe::new();
    let mut phone = probe.phone();
    probe.speak(false);
    assert_eq!(phone.say(Instant::now(), false), None);
    assert_eq!(probe.to_agent().sent, 0);
}

#[test]
fn each_second_has_times_of_its_own() {
    let probe = Probe::new();
    let (mut phone, mut agent) = (probe.phone(), probe.agent());
    probe.measure(true);
    for (n, frame) in frames(&mut phone, 3).into_iter().enumerate() {
        agent.answer(Instant::now(), &pcm(&frame));
        if n > 0 {
            assert_eq!(probe.take_recent().to_agent.len(), [0, 2, 1][n]);
        }
    }
    probe.measure(false);
    assert_eq!(probe.delay_to_agent().len(), 3);
}

#[test]
fn an_interruption_is_followed_and_what_comes_after_it_is_out_of_place() {
    let probe = Probe::with(Manner { speech: Speech::Scripted, frames: None });
    let (mut phone, mut agent) = (probe.phone(), probe.agent());
    let silence = Bytes::from(vec![0; 2 * FRAME_PCM_BYTES]);
    let old = agent.say(silence.clone());
    phone.hear(Instant::now(), &ulaw(&old[..FRAME_PCM_BYTES]));
    assert_eq!(phone.say(Instant::now(), false), None);
    let word = phone.say(Instant::now(), true).expect("the script speaks");
    agent.hear(Instant::now(), &pcm(&word));

    agent.interrupt(Instant::now());
    let new = agent.say(silence);
    phone.cleared(Instant::now());
    phone.hear(Instant::now(), &ulaw(&old[FRAME_PCM_BYTES..]));
    phone.hear(Instant::now(), &ulaw(&new));
    let expected = FrameCounts { sent: 4, in_order: 3, out_of_order: 1, ..FrameCounts::default() };
    assert_eq!(probe.to_phone(), expected);
    let (asked, delays) = probe.interruptions();
    assert_eq!((asked, delays.len()), (1, 1));
}
