//! Sound as the simulators need it: recorded lines, codes, recognisers and files.
//!
//! Everything is 8 kHz mono, as on a telephone line. Nothing here is shared with the service: the
//! simulators check its audio with a G.711 of their own, so that one mistake cannot hide in both.

mod clip;
mod detector;
pub mod g711;
mod level;
mod tone;
mod wav;

pub use clip::{Clip, Speaker};
pub use detector::{DetectorSettings, SpeechDetector, SpeechEvent};
pub use level::{level_dbfs, levels_dbfs, rms};
pub use tone::Tone;
pub use wav::{Track, WavError, write_stereo};

/// Samples a second on a telephone line.
pub const RATE_HZ: u32 = 8_000;
/// Samples in one millisecond.
pub const SAMPLES_PER_MS: usize = 8;
/// Length of the frames a telephone stream is cut into.
pub const FRAME_MS: u32 = 20;
/// Samples in one frame; also its bytes in µ-law.
pub const FRAME_SAMPLES: usize = FRAME_MS as usize * SAMPLES_PER_MS;
/// Bytes of one frame of 16-bit samples.
pub const FRAME_PCM_BYTES: usize = FRAME_SAMPLES * 2;

/// Samples as Ultravox carries them: signed 16 bit, little endian.
pub fn pcm_bytes(samples: &[i16]) -> Vec<u8> {
    samples.iter().flat_map(|sample| sample.to_le_bytes()).collect()
}

/// The samples in `pcm`; a last odd byte is no sample and is left out.
pub fn pcm_samples(pcm: &[u8]) -> Vec<i16> {
    pcm.as_chunks::<2>().0.iter().map(|pair| i16::from_le_bytes(*pair)).collect()
}

/// How long `samples` last, in whole milliseconds.
pub fn duration_ms(samples: usize) -> u64 {
    (samples / SAMPLES_PER_MS) as u64
}

/// Samples of `ms` milliseconds.
pub(crate) fn samples_in_ms(ms: u64) -> usize {
    usize::try_from(ms).expect("a clip's length fits in memory") * SAMPLES_PER_MS
}

/// The nearest sample to `value`, at full scale at most.
pub(crate) fn to_sample(value: f64) -> i16 {
    #[expect(clippy::cast_possible_truncation, reason = "clamped to the range of i16 first")]
    let sample = value.round().clamp(f64::from(i16::MIN), f64::from(i16::MAX)) as i16;
    sample
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_survive_their_bytes() {
        let samples = [0, 1, -1, i16::MAX, i16::MIN, 0x1234];
        assert_eq!(pcm_samples(&pcm_bytes(&samples)), samples);
        assert_eq!(pcm_bytes(&[0x1234]), [0x34, 0x12]);
    }

    #[test]
    fn an_odd_byte_is_no_sample() {
        assert_eq!(pcm_samples(&[1, 0, 7]), [1]);
    }
}
