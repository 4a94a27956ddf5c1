//! The recorded lines of a caller and an agent, embedded.
//!
//! `speech/lines.tsv` holds the words; `speech/make` speaks them. Adding a line means adding it
//! there, running the script, and naming it below.

use super::{duration_ms, g711, pcm_bytes};

const TABLE: &str = include_str!("../../speech/lines.tsv");

/// Who says a line. The two voices are clearly different.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Speaker {
    /// The person on the phone.
    Caller,
    /// The voice agent.
    Agent,
}

/// One recorded line: what is said, by whom, and its sound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clip {
    name: &'static str,
    speaker: Speaker,
    ulaw: &'static [u8],
}

macro_rules! recorded {
    ($($(#[$doc:meta])* $constant:ident = $name:literal, $speaker:ident;)*) => {
        impl Clip {
            $($(#[$doc])*
            pub const $constant: Clip = Clip {
                name: $name,
                speaker: Speaker::$speaker,
                ulaw: include_bytes!(concat!("../../speech/", $name, ".ulaw")),
            };)*

            /// Every recorded line, in the order of the demo's dialogue.
            pub const fn all() -> &'static [Clip] {
                &[$(Clip::$constant),*]
            }
        }
    };
}

recorded! {
    /// The person called picks up.
    CALLER_HELLO = "caller_hello", Caller;
    /// The agent says who it is and why it calls.
    AGENT_GREETING = "agent_greeting", Agent;
    /// The caller has a minute.
    CALLER_YES = "caller_yes", Caller;
    /// First half of a long piece of information.
    AGENT_DETAILS = "agent_details", Agent;
    /// Second half of it.
    AGENT_MORE_DETAILS = "agent_more_details", Agent;
    /// The caller cuts in.
    CALLER_INTERRUPTS = "caller_interrupts", Caller;
    /// The agent does as it was asked.
    AGENT_REBOOKED = "agent_rebooked", Agent;
    /// The caller is content.
    CALLER_GOODBYE = "caller_goodbye", Caller;
    /// The agent's last words.
    AGENT_GOODBYE = "agent_goodbye", Agent;
}

impl Clip {
    /// Its name in the table.
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// Who says it.
    pub const fn speaker(&self) -> Speaker {
        self.speaker
    }

    /// The words, as a transcript would have them.
    pub fn text(&self) -> &'static str {
        TABLE
            .lines()
            .filter_map(|line| line.split_once('\t'))
            .find(|(name, _)| *name == self.name)
            .and_then(|(_, rest)| rest.split_once('\t'))
            .map(|(_, text)| text)
            .expect("every embedded clip has a line in the table")
    }

    /// Its sound as the telephone carries it.
    pub const fn ulaw(&self) -> &'static [u8] {
        self.ulaw
    }

    /// Its sound as 16-bit samples.
    pub fn samples(&self) -> Vec<i16> {
        g711::decode_all(self.ulaw)
    }

    /// Its sound as Ultravox carries it: signed 16 bit, little endian.
    pub fn pcm(&self) -> Vec<u8> {
        pcm_bytes(&self.samples())
    }

    /// How long it lasts.
    pub fn duration_ms(&self) -> u64 {
        duration_ms(self.ulaw.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audio::level_dbfs;

    #[test]
    fn the_table_and_the_clips_agree() {
        let mut table: Vec<_> = TABLE
            .lines()
            .map(|line| {
                let mut cells = line.split('\t');
                (cells.next().expect("three cells"), cells.next().expect("three cells"))
            })
            .collect();
        let mut clips: Vec<_> = Clip::all()
            .iter()
            .map(|clip| {
                let speaker = match clip.speaker() {
                    Speaker::Caller => "caller",
                    Speaker::Agent => "agent",
                };
                (clip.name(), speaker)
            })
            .collect();
        table.sort_unstable();
        clips.sort_unstable();
        assert_eq!(table, clips);
    }

    #[test]
    fn every_clip_is_short_and_as_loud_as_the_others() {
        for clip in Clip::all() {
            assert!((1_000..=5_500).contains(&clip.duration_ms()), "{}", clip.name());
            assert!(!clip.text().is_empty());
            let level = level_dbfs(&clip.samples());
            assert!((-30.0..-18.0).contains(&level), "{} is at {level} dBFS", clip.name());
        }
        let bytes: usize = Clip::all().iter().map(|clip| clip.ulaw().len()).sum();
        assert!(bytes < 350 * 1024, "{bytes} bytes of speech");
    }
}
