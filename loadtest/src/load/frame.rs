//! A frame of speech that carries who sent it, its number and when it left.
//!
//! The marks are µ-law codes, so they survive G.711 bit by bit and nothing else does: a frame whose
//! audio was changed in any way is not recognised, or found damaged.

use std::sync::LazyLock;

use crate::audio::{FRAME_PCM_BYTES, FRAME_SAMPLES, g711};

/// The first codes of every marked frame: loud, and not what a line's noise looks like.
const MAGIC: [u8; 4] = [0xA5, 0x25, 0xA6, 0x26];
/// A hex digit is this code plus its value: sixteen loud neighbours, none of them zero, which
/// µ-law spells in two ways.
const DIGIT_ZERO: u8 = 0x90;
const STREAM_DIGITS: usize = 8;
const NUMBER_DIGITS: usize = 8;
const MICROS_DIGITS: usize = 12;
const MARK_CODES: usize = MAGIC.len() + STREAM_DIGITS + NUMBER_DIGITS + MICROS_DIGITS;

/// The rest of a frame: a loud tone, the same in all of them.
const FILLING: [u8; FRAME_SAMPLES] = {
    let period = [0x98, 0x8C, 0x88, 0x8C, 0x18, 0x0C, 0x08, 0x0C];
    let mut filling = [0; FRAME_SAMPLES];
    let mut n = 0;
    while n < FRAME_SAMPLES {
        filling[n] = period[n % period.len()];
        n += 1;
    }
    filling
};

/// The same as 16-bit samples.
static FILLING_PCM: LazyLock<[u8; FRAME_PCM_BYTES]> = LazyLock::new(|| {
    let mut pcm = [0; FRAME_PCM_BYTES];
    for (pair, code) in pcm.as_chunks_mut::<2>().0.iter_mut().zip(FILLING) {
        *pair = g711::decode(code).to_le_bytes();
    }
    pcm
});

/// What a frame says about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    /// The stream it belongs to.
    pub(crate) stream: u32,
    /// Its place in the stream, from 0.
    pub(crate) number: u32,
    /// When it left, in microseconds of the probe's clock.
    pub(crate) left_micros: u64,
}

/// What was found in 20 ms of µ-law.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// A frame as it was sent.
    Whole(Mark),
    /// It was a marked frame once.
    Damaged,
    /// Any other sound.
    Unmarked,
}

/// The codes of a marked frame.
pub(crate) fn ulaw(mark: Mark) -> [u8; FRAME_SAMPLES] {
    let mut frame = FILLING;
    frame[..MAGIC.len()].copy_from_slice(&MAGIC);
    let mut at = MAGIC.len();
    for (value, digits) in [
        (u64::from(mark.stream), STREAM_DIGITS),
        (u64::from(mark.number), NUMBER_DIGITS),
        (mark.left_micros, MICROS_DIGITS),
    ] {
        for digit in (0..digits).rev() {
            frame[at] = DIGIT_ZERO + u8::try_from(value >> (4 * digit) & 15).unwrap_or(0);
            at += 1;
        }
    }
    frame
}

/// The same as 16-bit samples.
pub(crate) fn pcm(mark: Mark) -> [u8; FRAME_PCM_BYTES] {
    let mut pcm = *FILLING_PCM;
    for (pair, code) in pcm.as_chunks_mut::<2>().0.iter_mut().zip(&ulaw(mark)[..MARK_CODES]) {
        *pair = g711::decode(*code).to_le_bytes();
    }
    pcm
}

/// Reads 20 ms of µ-law.
pub(crate) fn read_ulaw(frame: &[u8]) -> Found {
    if frame.get(..MAGIC.len()) != Some(&MAGIC) {
        return Found::Unmarked;
    }
    if frame.len() != FRAME_SAMPLES || frame[MARK_CODES..] != FILLING[MARK_CODES..] {
        return Found::Damaged;
    }
    let mut at = MAGIC.len();
    let mut number = |digits: usize| {
        let codes = &frame[at..at + digits];
        at += digits;
        codes.iter().try_fold(0u64, |value, code| {
            let digit = code.wrapping_sub(DIGIT_ZERO);
            (digit < 16).then_some(value << 4 | u64::from(digit))
        })
    };
    let parts = (number(STREAM_DIGITS), number(NUMBER_DIGITS), number(MICROS_DIGITS));
    let (Some(stream), Some(number), Some(left_micros)) = parts else { return Found::Damaged };
    let narrow = |value: u64| u32::try_from(value).unwrap_or(u32::MAX);
    Found::Whole(Mark { stream: narrow(stream), number: narrow(number), left_micros })
}

/// Reads 20 ms of 16-bit samples, which must be exactly what G.711 makes of the codes.
pub(crate) fn read_pcm(pcm: &[u8]) -> Found {
    let (pairs, []) = pcm.as_chunks::<2>() else { return Found::Damaged };
    if pairs.len() != FRAME_SAMPLES {
        return Found::Unmarked;
    }
    // All but the mark is the same in every frame, and need not be translated.
    let mut codes = FILLING;
    let mut exact = pcm[2 * MARK_CODES..] == FILLING_PCM[2 * MARK_CODES..];
    for (code, pair) in codes[..MARK_CODES].iter_mut().zip(pairs) {
        let sample = i16::from_le_bytes(*pair);
        *code = g711::encode(sample);
        exact &= g711::decode(*code) == sample;
    }
    match read_ulaw(&codes) {
        Found::Whole(_) if !exact => Found::Damaged,
        found => found,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MARK: Mark = Mark { stream: 0xFEDC_BA98, number: 65_537, left_micros: 0xABC_DEF0_1234 };

    #[test]
    fn a_mark_survives_both_ways_of_writing_it() {
        assert_eq!(read_ulaw(&ulaw(MARK)), Found::Whole(MARK));
        assert_eq!(read_pcm(&pcm(MARK)), Found::Whole(MARK));
        assert!(crate::twilio::level::is_speech(&ulaw(MARK)));
    }

    #[test]
    fn a_changed_sample_is_noticed_wherever_it_is() {
        for at in MAGIC.len()..FRAME_SAMPLES {
            let mut frame = ulaw(MARK);
            frame[at] ^= 0x40;
            assert_eq!(read_ulaw(&frame), Found::Damaged, "code {at}");
            let mut samples = pcm(MARK);
            samples[2 * at] ^= 1;
            assert_eq!(read_pcm(&samples), Found::Damaged, "sample {at}");
        }
    }

    #[test]
    fn noise_and_silence_are_not_marked() {
        assert_eq!(read_ulaw(&[0xFF; FRAME_SAMPLES]), Found::Unmarked);
        assert_eq!(read_ulaw(&[]), Found::Unmarked);
        assert_eq!(read_pcm(&[0; FRAME_PCM_BYTES]), Found::Unmarked);
        assert_eq!(read_pcm(&pcm(MARK)[..300]), Found::Unmarked);
    }
}
