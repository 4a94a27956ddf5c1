//! Tells speech from silence by its energy, frame by frame.
//!
//! Time is the audio's own: 20 ms of sound are 20 ms, however late they arrive.

use super::{FRAME_MS, FRAME_SAMPLES, level::rms};

/// When speech begins and when it is over.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DetectorSettings {
    /// A frame at least this loud (root mean square) may begin speech.
    pub loud_rms: f64,
    /// Once there is speech, a frame has to be quieter than this to count as silence.
    pub quiet_rms: f64,
    /// This much of it makes it speech and no click.
    pub minimum_speech_ms: u32,
    /// This much silence ends it.
    pub endpoint_ms: u32,
}

impl Default for DetectorSettings {
    /// Ultravox's defaults: `minimumInterruptionDuration` 90 ms, `turnEndpointDelay` 384 ms. The
    /// levels are about -36 and -42 dBFS, well above a line's noise and below soft speech.
    fn default() -> Self {
        DetectorSettings {
            loud_rms: 500.0,
            quiet_rms: 250.0,
            minimum_speech_ms: 90,
            endpoint_ms: 384,
        }
    }
}

/// What the detector noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpeechEvent {
    /// Somebody has been speaking for the minimum time.
    Started,
    /// Nobody has spoken for the endpoint's time.
    Stopped,
}

/// Listens to one side of a call.
#[derive(Clone, Debug)]
pub struct SpeechDetector {
    settings: DetectorSettings,
    frame: Vec<i16>,
    speaking: bool,
    loud_ms: u32,
    quiet_ms: u32,
}

impl SpeechDetector {
    /// A detector that has heard nothing yet.
    pub fn new(settings: DetectorSettings) -> Self {
        SpeechDetector {
            settings,
            frame: Vec::with_capacity(FRAME_SAMPLES),
            speaking: false,
            loud_ms: 0,
            quiet_ms: 0,
        }
    }

    /// Whether somebody is speaking, the pauses between words included.
    pub fn is_speaking(&self) -> bool {
        self.speaking
    }

    /// Hears samples in pieces of any size, and reports what changed along with the level of each
    /// whole frame among them.
    pub fn hear(&mut self, samples: &[i16], mut heard: impl FnMut(f64, Option<SpeechEvent>)) {
        for &sample in samples {
            self.frame.push(sample);
            if self.frame.len() == FRAME_SAMPLES {
                let level = rms(&self.frame);
                self.frame.clear();
                heard(level, self.judge(level));
            }
        }
    }

    /// Hears samples, and returns what changed.
    pub fn events(&mut self, samples: &[i16]) -> Vec<SpeechEvent> {
        let mut events = Vec::new();
        self.hear(samples, |_, event| events.extend(event));
        events
    }

    fn judge(&mut self, level: f64) -> Option<SpeechEvent> {
        const STEP_MS: u32 = FRAME_MS;
        if self.speaking {
            if level >= self.settings.quiet_rms {
                self.quiet_ms = 0;
                return None;
            }
            self.quiet_ms += STEP_MS;
            if self.quiet_ms < self.settings.endpoint_ms {
                return None;
            }
            self.speaking = false;
            self.loud_ms = 0;
            return Some(SpeechEvent::Stopped);
        }
        if level < self.settings.loud_rms {
            // A soft consonant does not undo the vowel before it.
            self.loud_ms = self.loud_ms.saturating_sub(STEP_MS);
            return None;
        }
        self.loud_ms += STEP_MS;
        if self.loud_ms < self.settings.minimum_speech_ms {
            return None;
        }
        self.speaking = true;
        self.quiet_ms = 0;
        Some(SpeechEvent::Started)
    }
}

impl Default for SpeechDetector {
    fn default() -> Self {
        SpeechDetector::new(DetectorSettings::default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audio::{Clip, Tone};

    #[test]
    fn every_recorded_line_is_one_utterance() {
        for clip in Clip::all() {
            let mut detector = SpeechDetector::default();
            let mut samples = clip.samples();
            samples.extend([0; 8_000]);
            let events = detector.events(&samples);
            assert_eq!(events, [SpeechEvent::Started, SpeechEvent::Stopped], "{}", clip.name());
        }
    }

    #[test]
    fn speech_begins_after_its_minimum_and_ends_after_the_endpoint() {
        let mut detector = SpeechDetector::default();
        assert_eq!(detector.events(&Tone::LOW.samples(80)), []);
        assert_eq!(detector.events(&Tone::LOW.samples(20)), [SpeechEvent::Started]);
        assert_eq!(detector.events(&[0; 380 * 8]), []);
        assert!(detector.is_speaking());
        assert_eq!(detector.events(&[0; 20 * 8]), [SpeechEvent::Stopped]);
    }

    #[test]
    fn a_click_and_line_noise_are_no_speech() {
        let mut detector = SpeechDetector::default();
        assert_eq!(detector.events(&Tone::HIGH.samples(40)), []);
        let noise: Vec<i16> = (0..8_000).map(|n| if n % 2 == 0 { 100 } else { -100 }).collect();
        assert_eq!(detector.events(&noise), []);
    }

    #[test]
    fn the_size_of_the_pieces_does_not_matter() {
        let mut samples = Tone::LOW.samples(300);
        samples.extend([0; 4_000]);
        let whole = SpeechDetector::default().events(&samples);
        let mut detector = SpeechDetector::default();
        let pieces: Vec<_> = samples.chunks(37).flat_map(|piece| detector.events(piece)).collect();
        assert_eq!(whole, pieces);
    }
}
