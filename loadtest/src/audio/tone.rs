//! Tones that can be told apart after µ-law, resampling and a lossy line.

use std::f64::consts::TAU;

use super::{RATE_HZ, level::rms, samples_in_ms, to_sample};

/// Loud, with room for a second tone on top.
const AMPLITUDE: f64 = 8_000.0;
/// A line may hum; a tone is louder than this.
const AUDIBLE_RMS: f64 = 300.0;
/// The part of all energy that a pure tone keeps after µ-law; two mixed tones keep half each.
const PURE_SHARE: f64 = 0.4;

/// A sine wave, named by its pitch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tone {
    /// Periods a second, below 4000.
    pub hz: u32,
}

impl Tone {
    /// 400 Hz: eight whole periods to a 20 ms frame.
    pub const LOW: Tone = Tone { hz: 400 };
    /// 1100 Hz, no multiple of the low one, so that its overtones do not count.
    pub const HIGH: Tone = Tone { hz: 1_100 };

    /// `ms` milliseconds of this tone, starting at phase zero.
    pub fn samples(self, ms: u64) -> Vec<i16> {
        let step = TAU * f64::from(self.hz) / f64::from(RATE_HZ);
        (0..samples_in_ms(ms)).map(|n| to_sample(AMPLITUDE * (step * n as f64).sin())).collect()
    }

    /// How much of the energy of `samples` is this tone, from 0 to 1 (Goertzel's algorithm).
    pub fn share_of(self, samples: &[i16]) -> f64 {
        let energy: f64 = samples.iter().map(|&sample| f64::from(sample).powi(2)).sum();
        if energy == 0.0 {
            return 0.0;
        }
        let coefficient = 2.0 * (TAU * f64::from(self.hz) / f64::from(RATE_HZ)).cos();
        let (mut last, mut before) = (0.0, 0.0);
        for &sample in samples {
            let next = f64::from(sample) + coefficient * last - before;
            before = last;
            last = next;
        }
        let power = last * last + before * before - coefficient * last * before;
        (2.0 * power / (samples.len() as f64 * energy)).min(1.0)
    }

    /// Whether this tone can be heard in `samples`: loud enough, and no mere trace among others.
    pub fn is_in(self, samples: &[i16]) -> bool {
        rms(samples) >= AUDIBLE_RMS && self.share_of(samples) >= PURE_SHARE
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audio::g711;

    #[test]
    fn each_tone_is_recognised_and_not_the_other() {
        for (tone, other) in [(Tone::LOW, Tone::HIGH), (Tone::HIGH, Tone::LOW)] {
            let samples = g711::decode_all(&g711::encode_all(&tone.samples(100)));
            assert!(tone.is_in(&samples));
            assert!(!other.is_in(&samples));
        }
    }

    #[test]
    fn two_tones_at_once_are_both_heard() {
        let mixed: Vec<i16> = Tone::LOW
            .samples(100)
            .iter()
            .zip(Tone::HIGH.samples(100))
            .map(|(low, high)| low + high)
            .collect();
        assert!(Tone::LOW.is_in(&mixed) && Tone::HIGH.is_in(&mixed));
    }

    #[test]
    fn silence_and_a_faint_tone_are_not_heard() {
        assert!(!Tone::LOW.is_in(&[0; 800]));
        assert!(!Tone::LOW.is_in(&[]));
        let faint: Vec<i16> = Tone::LOW.samples(100).iter().map(|sample| sample / 100).collect();
        assert!(!Tone::LOW.is_in(&faint));
    }
}
