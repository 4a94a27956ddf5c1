//! How loud a stretch of sound is.

use super::samples_in_ms;

/// What digital silence counts as: below everything 16 bits can hold.
const SILENCE_DBFS: f64 = -120.0;

/// Root mean square of `samples`; nothing is silent.
pub fn rms(samples: &[i16]) -> f64 {
    if samples.is_empty() {
        return 0.0;
    }
    let energy: f64 = samples.iter().map(|&sample| f64::from(sample).powi(2)).sum();
    (energy / samples.len() as f64).sqrt()
}

/// Level in decibels below full scale: 0 is the loudest square wave, -120 is silence.
pub fn level_dbfs(samples: &[i16]) -> f64 {
    (20.0 * (rms(samples) / f64::from(i16::MAX)).log10()).max(SILENCE_DBFS)
}

/// The level of each window of `window_ms`, in order; the last may be shorter.
pub fn levels_dbfs(samples: &[i16], window_ms: u64) -> Vec<f64> {
    samples.chunks(samples_in_ms(window_ms.max(1))).map(level_dbfs).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn full_scale_is_zero_and_silence_is_the_floor() {
        assert!(level_dbfs(&[i16::MAX, -i16::MAX]).abs() < 0.001);
        assert_eq!(level_dbfs(&[0; 160]), SILENCE_DBFS);
        assert_eq!(level_dbfs(&[]), SILENCE_DBFS);
    }

    #[test]
    fn windows_are_measured_one_by_one() {
        let mut samples = vec![0; 160];
        samples.extend([10_000; 160]);
        let levels = levels_dbfs(&samples, 20);
        assert_eq!(levels.len(), 2);
        assert!(levels[0] < -100.0 && levels[1] > -11.0, "{levels:?}");
    }
}
