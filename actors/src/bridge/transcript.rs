//! Puts the pieces of a transcript together.

use std::collections::BTreeMap;

use crate::call::Speaker;
use crate::protocol::ultravox::Role;

/// Utterances in the making that are kept; the oldest gives way. Two people take turns, so more
/// than a few are never open in earnest.
const OPEN_UTTERANCES: usize = 16;
/// Longest text of one utterance, in bytes. Fifteen minutes of speech without a pause.
const TEXT_BYTES: usize = 16 * 1024;

/// The utterances that are not final yet, by ordinal.
#[derive(Debug, Default)]
pub(super) struct Transcripts {
    open: BTreeMap<u64, String>,
}

impl Transcripts {
    /// Takes one message; gives the whole utterance once it is final and not empty.
    pub(super) fn take(
        &mut self,
        role: Role,
        text: Option<String>,
        delta: Option<&str>,
        is_final: bool,
        ordinal: u64,
    ) -> Option<(Speaker, String)> {
        let speaker = role.speaker()?;
        let mut whole = match text {
            Some(text) => text,
            None => self.open.remove(&ordinal).unwrap_or_default() + delta.unwrap_or_default(),
        };
        if whole.len() > TEXT_BYTES {
            let end = (0..=TEXT_BYTES).rev().find(|&at| whole.is_char_boundary(at));
            whole.truncate(end.unwrap_or(0));
        }
        if is_final {
            self.open.remove(&ordinal);
            return (!whole.trim().is_empty()).then(|| (speaker, whole.trim().to_owned()));
        }
        self.open.insert(ordinal, whole);
        if self.open.len() > OPEN_UTTERANCES {
            self.open.pop_first();
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deltas_add_up_and_text_replaces() {
        let mut transcripts = Transcripts::default();
        let agent = Role::Agent;
        assert_eq!(transcripts.take(agent, None, Some("Good"), false, 3), None);
        assert_eq!(transcripts.take(agent, None, Some(" day"), false, 3), None);
        assert_eq!(
            transcripts.take(agent, None, None, true, 3),
            Some((Speaker::Agent, "Good day".into()))
        );

        assert_eq!(transcripts.take(agent, Some("Go".into()), None, false, 4), None);
        assert_eq!(
            transcripts.take(agent, Some("Good bye".into()), None, true, 4),
            Some((Speaker::Agent, "Good bye".into()))
        );
        assert_eq!(transcripts.take(Role::User, Some(" ".into()), None, true, 5), None);
    }

    #[test]
    fn endless_utterances_take_bounded_memory() {
        let mut transcripts = Transcripts::default();
        for ordinal in 0..1_000 {
            transcripts.take(Role::User, None, Some("x"), false, ordinal);
        }
        assert_eq!(transcripts.open.len(), OPEN_UTTERANCES);

        for _ in 0..100 {
            transcripts.take(Role::User, None, Some(&"é".repeat(1_000)), false, 2_000);
        }
        assert!(transcripts.open[&2_000].len() <= TEXT_BYTES);
    }
}
