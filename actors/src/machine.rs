//! Answering machines: what Twilio finds out about who took a call, and what is done then.
//!
//! Detection is asynchronous, so that a person never waits for it. Only a machine changes anything:
//! a person and an undecided verdict leave the call alone.

use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Who or what took a call, in Twilio's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "String", into = "&'static str")]
pub enum AnsweredBy {
    /// A person.
    Human,
    /// A machine, found out before its greeting was over.
    MachineStart,
    /// A machine whose greeting ended with a tone.
    MachineEndBeep,
    /// A machine whose greeting ended in silence.
    MachineEndSilence,
    /// A machine whose greeting ended some other way.
    MachineEndOther,
    /// A fax machine.
    Fax,
    /// Twilio could not tell, or has a word for it that is newer than this program.
    Unknown,
}

impl AnsweredBy {
    /// Every one of them.
    pub const ALL: [AnsweredBy; 7] = [
        AnsweredBy::Human,
        AnsweredBy::MachineStart,
        AnsweredBy::MachineEndBeep,
        AnsweredBy::MachineEndSilence,
        AnsweredBy::MachineEndOther,
        AnsweredBy::Fax,
        AnsweredBy::Unknown,
    ];

    /// Twilio's word, as stored and as clients match on it.
    pub fn as_str(self) -> &'static str {
        match self {
            AnsweredBy::Human => "human",
            AnsweredBy::MachineStart => "machine_start",
            AnsweredBy::MachineEndBeep => "machine_end_beep",
            AnsweredBy::MachineEndSilence => "machine_end_silence",
            AnsweredBy::MachineEndOther => "machine_end_other",
            AnsweredBy::Fax => "fax",
            AnsweredBy::Unknown => "unknown",
        }
    }

    /// Whether nobody listens. Undecided counts as a person.
    pub fn is_machine(self) -> bool {
        !matches!(self, AnsweredBy::Human | AnsweredBy::Unknown)
    }
}

impl From<&str> for AnsweredBy {
    /// Reads any word: a machine of a kind that is not known is still a machine.
    fn from(word: &str) -> Self {
        let known = AnsweredBy::ALL.into_iter().find(|known| known.as_str() == word);
        known.unwrap_or(match word.starts_with("machine") {
            true => AnsweredBy::MachineEndOther,
            false => AnsweredBy::Unknown,
        })
    }
}

impl From<String> for AnsweredBy {
    fn from(word: String) -> Self {
        word.as_str().into()
    }
}

impl FromStr for AnsweredBy {
    type Err = Infallible;

    fn from_str(word: &str) -> Result<Self, Infallible> {
        Ok(word.into())
    }
}

impl From<AnsweredBy> for &'static str {
    fn from(answered_by: AnsweredBy) -> Self {
        answered_by.as_str()
    }
}

impl fmt::Display for AnsweredBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Whether and how machines are told from people, and what is done about them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MachineDetection {
    /// How long Twilio listens.
    pub mode: DetectionMode,
    /// What is done when a machine took the call.
    pub on_machine: OnMachine,
}

/// How long Twilio listens before it says who took the call. Its `MachineDetection`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DetectionMode {
    /// Until it knows.
    Enable,
    /// With a machine, until its greeting is over: the time to leave a message.
    DetectMessageEnd,
}

impl DetectionMode {
    /// As Twilio is sent it.
    pub fn as_str(self) -> &'static str {
        match self {
            DetectionMode::Enable => "Enable",
            DetectionMode::DetectMessageEnd => "DetectMessageEnd",
        }
    }
}

/// What is done when a machine took the call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnMachine {
    /// The call ends.
    HangUp,
    /// Something is said, and then the call ends.
    LeaveMessage(Message),
    /// The agent talks on.
    GoOn,
}

/// What a machine is told, and by whom.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Message {
    /// The agent is told that a machine took the call, and what to say to it.
    ToldAgent(String),
    /// Twilio says these words.
    Fixed(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_of_twilios_is_read_as_it_is_written() {
        for answered_by in AnsweredBy::ALL {
            assert_eq!(AnsweredBy::from(answered_by.as_str()), answered_by);
            let json = serde_json::to_string(&answered_by).expect("a word");
            assert_eq!(serde_json::from_str::<AnsweredBy>(&json).expect("a word"), answered_by);
        }
    }

    #[test]
    fn a_word_that_is_new_loses_no_call() {
        assert_eq!(AnsweredBy::from("robot"), AnsweredBy::Unknown);
        assert_eq!(AnsweredBy::from(""), AnsweredBy::Unknown);
        assert_eq!(AnsweredBy::from("machine_end_music"), AnsweredBy::MachineEndOther);
    }

    #[test]
    fn only_machines_are_machines() {
        let people = AnsweredBy::ALL.into_iter().filter(|by| !by.is_machine());
        assert_eq!(people.collect::<Vec<_>>(), [AnsweredBy::Human, AnsweredBy::Unknown]);
    }
}
