//! One thing the agent is saying: its words, and when each of them is heard.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::script::{Then, Turn};

#[derive(Debug)]
pub(crate) struct Speech {
    /// Its place in the transcript.
    pub(crate) ordinal: u64,
    pub(crate) then: Then,
    pub(crate) uninterruptible: bool,
    pub(crate) started: Instant,
    medium: &'static str,
    /// Each word, and how far into the speech it has been heard.
    words: Vec<(String, Duration)>,
    told: usize,
}

impl Speech {
    /// `length` is that of all its audio, nothing when it is only text.
    pub(crate) fn begin(turn: &Turn, ordinal: u64, now: Instant, length: Duration) -> Self {
        let text = turn.text();
        let letters = text.split_whitespace().map(|word| word.len()).sum::<usize>().max(1);
        let mut before = 0;
        let words = text
            .split_whitespace()
            .map(|word| {
                before += word.len();
                (word.to_owned(), length.mul_f64(before as f64 / letters as f64))
            })
            .collect();
        Speech {
            ordinal,
            then: turn.then.clone(),
            uninterruptible: turn.uninterruptible,
            started: now,
            medium: if length.is_zero() { "text" } else { "voice" },
            words,
            told: 0,
        }
    }

    /// When the next word will have been heard.
    pub(crate) fn next_word(&self) -> Option<Instant> {
        self.words.get(self.told).map(|(_, heard)| self.started + *heard)
    }

    /// The transcript message of the next word, if it has been heard.
    pub(crate) fn tell_word(&mut self, now: Instant) -> Option<Value> {
        self.next_word().filter(|due| *due <= now)?;
        let space = if self.told == 0 { "" } else { " " };
        let delta = format!("{space}{}", self.words[self.told].0);
        self.told += 1;
        Some(json!({
            "type": "transcript", "role": "agent", "medium": self.medium,
            "text": null, "delta": delta, "final": false, "ordinal": self.ordinal,
        }))
    }

    /// What has been heard of it.
    pub(crate) fn heard_text(&self) -> String {
        let words: Vec<&str> =
            self.words[..self.told].iter().map(|(word, _)| word.as_str()).collect();
        words.join(" ")
    }

    /// The last transcript message: everything that was heard.
    pub(crate) fn final_message(&self) -> Value {
        json!({
            "type": "transcript", "role": "agent", "medium": self.medium,
            "text": self.heard_text(), "delta": null, "final": true, "ordinal": self.ordinal,
        })
    }

    /// Counts every word as heard, whatever the clock says.
    pub(crate) fn tell_all(&mut self) {
        self.told = self.words.len();
    }

    /// Whether it was spoken or only written.
    pub(crate) fn medium(&self) -> &'static str {
        self.medium
    }
}
