//! Writes what two people said to a stereo file, aligned in time.

use std::{path::Path, time::Duration};

use super::{RATE_HZ, g711, samples_in_ms};

/// Why a recording could not be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write the recording: {0}")]
pub struct WavError(#[from] hound::Error);

/// One side of a conversation, filled in by time.
#[derive(Clone, Debug, Default)]
pub struct Track {
    samples: Vec<i16>,
}

impl Track {
    /// A track that starts with `samples`.
    pub fn new(samples: Vec<i16>) -> Self {
        Track { samples }
    }

    /// A track that starts with µ-law `codes`.
    pub fn from_ulaw(codes: &[u8]) -> Self {
        Track::new(g711::decode_all(codes))
    }

    /// Lays `samples` at `at`, over whatever was there; a gap before them is silent.
    pub fn put(&mut self, at: Duration, samples: &[i16]) {
        let start = samples_in_ms(u64::try_from(at.as_millis()).unwrap_or(u64::MAX));
        let end = start + samples.len();
        if self.samples.len() < end {
            self.samples.resize(end, 0);
        }
        self.samples[start..end].copy_from_slice(samples);
    }

    /// Forgets everything from `at` on, as a cleared playback queue does.
    pub fn cut(&mut self, at: Duration) {
        self.samples.truncate(samples_in_ms(u64::try_from(at.as_millis()).unwrap_or(u64::MAX)));
    }

    /// Everything laid so far.
    pub fn samples(&self) -> &[i16] {
        &self.samples
    }
}

/// Writes `left` and `right` to a 16-bit 8 kHz stereo WAV file; the shorter ends in silence.
pub fn write_stereo(path: &Path, left: &[i16], right: &[i16]) -> Result<(), WavError> {
    let spec = hound::WavSpec {
        channels: 2,
        sample_rate: RATE_HZ,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut file = hound::WavWriter::create(path, spec)?;
    for n in 0..left.len().max(right.len()) {
        file.write_sample(left.get(n).copied().unwrap_or(0))?;
        file.write_sample(right.get(n).copied().unwrap_or(0))?;
    }
    Ok(file.finalize()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_sides_are_read_back_from_the_file() {
        let path = std::env::temp_dir().join(format!("callspan-{}.wav", uuid::Uuid::new_v4()));
        write_stereo(&path, &[1, 2, 3], &[-1]).expect("a temporary file");
        let mut file = hound::WavReader::open(&path).expect("just written");
        assert_eq!((file.spec().channels, file.spec().sample_rate), (2, RATE_HZ));
        let samples: Vec<i16> = file.samples().map(|sample| sample.expect("16 bits")).collect();
        assert_eq!(samples, [1, -1, 2, 0, 3, 0]);
        std::fs::remove_file(path).expect("still there");
    }

    #[test]
    fn a_track_is_laid_out_by_time() {
        let mut track = Track::default();
        track.put(Duration::from_millis(1), &[7; 8]);
        track.put(Duration::from_millis(3), &[9; 8]);
        assert_eq!(track.samples().len(), 32);
        assert_eq!((track.samples()[8], track.samples()[16], track.samples()[24]), (7, 0, 9));
        track.cut(Duration::from_millis(2));
        assert_eq!(track.samples().len(), 16);
    }
}
