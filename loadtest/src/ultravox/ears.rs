//! How the agent hears: where the user's speech begins and ends, and which words it was.
//!
//! Words are told by comparing the loudness of an utterance over time with that of the recorded
//! lines, so a transcript proves that the sound itself arrived.

use std::sync::LazyLock;

use crate::audio::{
    Clip, DetectorSettings, FRAME_MS, FRAME_SAMPLES, Speaker, SpeechDetector, SpeechEvent,
    pcm_samples, rms,
};

/// Frames kept from before speech was noticed.
const PRE_ROLL_FRAMES: usize = 10;
/// How alike two outlines must be to be taken for the same words. A line heard over a telephone is
/// above 0.95 like itself and below 0.75 like any other.
const ALIKE: f64 = 0.85;

static OUTLINES: LazyLock<Vec<(Clip, Vec<f64>)>> = LazyLock::new(|| {
    let outline = |clip: &Clip| clip.samples().chunks(FRAME_SAMPLES).map(rms).collect();
    Clip::all()
        .iter()
        .filter(|clip| clip.speaker() == Speaker::Caller)
        .map(|clip| (*clip, outline(clip)))
        .collect()
});

#[derive(Debug, PartialEq)]
pub(crate) enum Heard {
    /// The user began to speak.
    Started,
    /// The user fell silent, having said this.
    Stopped { text: String },
}

#[derive(Debug)]
pub(crate) struct Ears {
    detector: SpeechDetector,
    outline: Vec<f64>,
    odd: Option<u8>,
}

impl Ears {
    pub(crate) fn new(settings: DetectorSettings) -> Self {
        Ears { detector: SpeechDetector::new(settings), outline: Vec::new(), odd: None }
    }

    /// Listens to more of the user's audio, in pieces of any size.
    pub(crate) fn hear(&mut self, pcm: &[u8]) -> Vec<Heard> {
        // Only messages of odd length, which are reported elsewhere, leave half a sample over.
        let (samples, total) = match self.odd.take() {
            None => (pcm_samples(pcm), pcm.len()),
            Some(first) => (pcm_samples(&[&[first], pcm].concat()), pcm.len() + 1),
        };
        if total % 2 == 1 {
            self.odd = pcm.last().copied();
        }
        let mut heard = Vec::new();
        let Ears { detector, outline, .. } = self;
        let mut speaking = detector.is_speaking();
        detector.hear(&samples, |level, event| {
            outline.push(level);
            match event {
                Some(SpeechEvent::Started) => {
                    speaking = true;
                    heard.push(Heard::Started);
                }
                Some(SpeechEvent::Stopped) => {
                    speaking = false;
                    heard.push(Heard::Stopped { text: recognise(outline) });
                    outline.clear();
                }
                None if !speaking && outline.len() > PRE_ROLL_FRAMES => {
                    outline.remove(0);
                }
                None => {}
            }
        });
        heard
    }
}

/// The recorded words whose outline this is, or a note of how long somebody spoke.
fn recognise(outline: &[f64]) -> String {
    let best = OUTLINES
        .iter()
        .map(|(clip, known)| (likeness(known, outline), clip))
        .max_by(|one, other| one.0.total_cmp(&other.0));
    match best {
        Some((score, clip)) if score >= ALIKE => clip.text().into(),
        _ => format!("[{} ms of speech]", outline.len() * FRAME_MS as usize),
    }
}

/// The highest correlation of two outlines over all ways to lay one over the other, 1 at best.
/// Where one has no partner the other is compared with silence.
fn likeness(one: &[f64], other: &[f64]) -> f64 {
    let energy = |outline: &[f64]| outline.iter().map(|level| level * level).sum::<f64>();
    let scale = (energy(one) * energy(other)).sqrt();
    if scale == 0.0 {
        return 0.0;
    }
    let last = other.len() - 1;
    (0..one.len() + last)
        .map(|shift| {
            let pairs =
                one[shift.saturating_sub(last)..].iter().zip(&other[last.saturating_sub(shift)..]);
            pairs.map(|(a, b)| a * b).sum::<f64>() / scale
        })
        .fold(0.0, f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audio::{Tone, g711, pcm_bytes};

    fn hear_all(samples: &[i16], piece: usize) -> Vec<Heard> {
        let mut ears = Ears::new(DetectorSettings::default());
        pcm_bytes(samples).chunks(piece).flat_map(|pcm| ears.hear(pcm)).collect()
    }

    #[test]
    fn recorded_lines_are_recognised_wherever_they_begin() {
        for clip in Clip::all().iter().filter(|clip| clip.speaker() == Speaker::Caller) {
            for offset in [0, 41, 80, 133] {
                let mut samples = vec![0; 3_200 + offset];
                samples.extend(g711::decode_all(clip.ulaw()));
                samples.resize(samples.len() + 8_000, 0);
                let said = Heard::Stopped { text: clip.text().into() };
                assert_eq!(hear_all(&samples, 320), [Heard::Started, said]);
            }
        }
    }

    #[test]
    fn other_sounds_are_not_taken_for_words() {
        let mut samples = Tone::LOW.samples(1_000);
        samples.resize(samples.len() + 8_000, 0);
        let heard = hear_all(&samples, 320);
        assert!(matches!(&heard[1], Heard::Stopped { text } if text.starts_with('[')), "{heard:?}");
        for clip in Clip::all().iter().filter(|clip| clip.speaker() == Speaker::Agent) {
            let outline: Vec<f64> = clip.samples().chunks(FRAME_SAMPLES).map(rms).collect();
            assert!(recognise(&outline).starts_with('['), "{}", clip.name());
        }
    }

    #[test]
    fn odd_pieces_are_put_together_again() {
        let mut samples = Clip::CALLER_HELLO.samples();
        samples.resize(samples.len() + 8_000, 0);
        assert_eq!(hear_all(&samples, 321), hear_all(&samples, 320));
    }
}
