//! Sound to send through a call, and proof of what came out at its other end.

use std::time::Duration;

use loadtest::audio::{g711, pcm_bytes};
use loadtest::twilio::SimCall;

/// Codes in 20 ms.
pub(crate) const FRAME: usize = 160;
/// Frames further apart than this may have been filled with silence by the service.
const STEADY: Duration = Duration::from_millis(90);

/// Noise of every one of the 256 codes, the same for the same seed. No frame of it is quiet, and
/// no stretch of it comes twice.
pub(crate) fn noise(frames: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut codes: Vec<u8> = (0..=u8::MAX).cycle().take(frames * FRAME).collect();
    for at in (1..codes.len()).rev() {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let other = usize::try_from(state % (at as u64 + 1)).expect("it is below a length");
        codes.swap(at, other);
    }
    codes
}

/// The samples that an agent sends to have the phone hear `codes`.
pub(crate) fn pcm_of(codes: &[u8]) -> Vec<u8> {
    pcm_bytes(&g711::decode_all(codes))
}

/// `codes` after a way through samples, which have but one zero.
pub(crate) fn recoded(codes: &[u8]) -> Vec<u8> {
    g711::encode_all(&g711::decode_all(codes))
}

/// Where `part` begins in `whole`.
pub(crate) fn find(whole: &[u8], part: &[u8]) -> Option<usize> {
    whole.windows(part.len()).position(|window| window == part)
}

/// Samples by which the beginning of some noise is known.
const BEGINNING: usize = 20;

/// The stretch of `whole` in which `noise` was spoken. Lines are never quite silent before.
pub(crate) fn stretch<'a>(whole: &'a [u8], noise: &[u8]) -> &'a [u8] {
    let start = find(whole, &noise[..BEGINNING]).expect("the noise was spoken");
    &whole[start..whole.len().min(start + noise.len())]
}

/// Whether the end of `said` was heard.
pub(crate) fn ends_in(said: &[u8], heard: &[i16]) -> bool {
    let end = g711::decode_all(&said[said.len() - BEGINNING..]);
    heard.windows(BEGINNING).any(|window| window == end)
}

/// Checks that all of `said`, some noise, was heard in order, with nothing between but whole frames
/// of silence; gives how many frames of it there were.
pub(crate) fn silence_within(said: &[i16], heard: &[i16]) -> usize {
    let beginning = heard.windows(BEGINNING).position(|window| window == &said[..BEGINNING]);
    let heard = &heard[beginning.expect("its beginning was heard")..];
    let (mut at, mut silent_frames) = (0, 0);
    for (n, sample) in said.iter().enumerate() {
        while heard.get(at) != Some(sample) {
            let frame = heard.get(at..at + FRAME).unwrap_or_default();
            let is_silent = !frame.is_empty() && frame.iter().all(|&sample| sample == 0);
            assert!(
                is_silent,
                "after {n} of {} samples and {silent_frames} frames of silence, {:?} was heard for {:?}",
                said.len(),
                &heard[at.min(heard.len())..heard.len().min(at + 8)],
                &said[n..said.len().min(n + 8)],
            );
            silent_frames += 1;
            at += FRAME;
        }
        at += 1;
    }
    silent_frames
}

/// How many frames of silence may have been put between the phone's frames because this machine
/// let the phone wait, the `planned` longest waits not counted. Usually none.
pub(crate) fn excusable_silence(phone: &SimCall, planned: usize) -> usize {
    let sent: Vec<_> = (0..).map_while(|frame| phone.sent_at(frame)).collect();
    let mut waits: Vec<Duration> = sent.windows(2).map(|pair| pair[1] - pair[0]).collect();
    waits.sort_unstable_by_key(|wait| std::cmp::Reverse(*wait));
    let frames = |wait: &Duration| usize::try_from(wait.as_millis()).unwrap_or(usize::MAX) / 20 + 1;
    waits.iter().skip(planned).filter(|wait| **wait >= STEADY).map(frames).sum()
}
