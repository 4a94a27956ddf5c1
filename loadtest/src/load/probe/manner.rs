//! When phones speak: a plain decision, frame by frame.

/// Frames by which one phone's pauses are apart from the next one's: a prime, so that no length of
/// speech and pauses brings many of them together.
const APART: u32 = 61;

/// How the phones of a load test speak.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Manner {
    pub(crate) speech: Speech,
    /// Each falls silent for good after so many frames.
    pub(crate) frames: Option<u32>,
}

/// When a phone speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Speech {
    /// In every frame.
    #[default]
    Always,
    /// For so many frames, then not for so many, over and over.
    Pauses { speaks: u32, pauses: u32 },
    /// When its script says so.
    Scripted,
}

impl Manner {
    /// Whether the phone of this stream speaks in its frame of this number.
    pub(crate) fn speaks(&self, stream: u32, tick: u32, scripted: bool) -> bool {
        let now = match self.speech {
            Speech::Always => true,
            Speech::Pauses { speaks, pauses } => {
                // Phones do not all speak at the same time.
                let at = tick.wrapping_add(stream.wrapping_mul(APART));
                at % speaks.saturating_add(pauses).max(1) < speaks
            }
            Speech::Scripted => scripted,
        };
        now && self.frames.is_none_or(|frames| tick < frames)
    }

    /// Whether a frame without speech can only be somebody else's doing.
    pub(crate) fn is_constant(&self) -> bool {
        self.speech == Speech::Always && self.frames.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spoken(manner: Manner) -> Vec<bool> {
        (0..6).map(|tick| manner.speaks(0, tick, tick == 4)).collect()
    }

    #[test]
    fn phones_speak_in_their_manner() {
        let of = |speech, frames| spoken(Manner { speech, frames });
        assert_eq!(of(Speech::Always, None), [true; 6]);
        assert_eq!(of(Speech::Always, Some(2)), [true, true, false, false, false, false]);
        let pauses = Speech::Pauses { speaks: 1, pauses: 2 };
        assert_eq!(of(pauses, None), [true, false, false, true, false, false]);
        assert_eq!(of(pauses, Some(3)), [true, false, false, false, false, false]);
        let manner = Manner { speech: pauses, frames: None };
        assert_eq!([0, 1, 2].map(|stream| manner.speaks(stream, 0, false)), [true, false, false]);
        assert_eq!([0, 1, 2].map(|stream| manner.speaks(stream, 1, false)), [false, false, true]);
        assert_eq!(of(Speech::Scripted, None), [false, false, false, false, true, false]);
    }

    #[test]
    fn only_phones_that_never_pause_leave_no_silence_to_explain() {
        assert!(Manner::default().is_constant());
        assert!(!Manner { frames: Some(9), ..Manner::default() }.is_constant());
        assert!(!Manner { speech: Speech::Scripted, frames: None }.is_constant());
    }
}
