//! Answering machines: what Twilio finds out about who took a call, and what is done then.
//!
//! Detection is asynchronous, so that a person never waits for it. Only a machine changes anything:
//! a person and an undecided verdict leave the call alone.

use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

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

/// What is to be done about a verdict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reaction {
    /// The call goes on as it is.
    GoOn,
    /// It ends.
    HangUp,
    /// The agent is told this.
    TellAgent(String),
    /// Twilio says this, and the call ends.
    Say(String),
}

impl MachineDetection {
    /// What is to be done when this took the call. An agent can only be told what to say where the
    /// call has one, and nothing is said to a fax machine.
    pub fn reaction(&self, answered_by: AnsweredBy, has_agent: bool) -> Reaction {
        if !answered_by.is_machine() {
            return Reaction::GoOn;
        }
        match &self.on_machine {
            OnMachine::GoOn => Reaction::GoOn,
            OnMachine::HangUp => Reaction::HangUp,
            OnMachine::LeaveMessage(_) if answered_by == AnsweredBy::Fax => Reaction::HangUp,
            OnMachine::LeaveMessage(Message::Fixed(text)) => Reaction::Say(text.clone()),
            OnMachine::LeaveMessage(Message::ToldAgent(instruction)) => match has_agent {
                true => Reaction::TellAgent(told_agent(instruction)),
                false => Reaction::GoOn,
            },
        }
    }
}

/// What the agent hears of a machine, and of what it is to do.
fn told_agent(instruction: &str) -> String {
    format!(
        "<instruction>An answering machine has taken this call: nobody listens, and nobody will \
         answer. Leave a message as you are told here, then hang up at once. {instruction}\
         </instruction>"
    )
}

/// The longest that Twilio may take to say a text: with a slow voice, and some time to begin.
pub fn time_to_say(text: &str) -> Duration {
    let characters = u32::try_from(text.chars().count()).unwrap_or(u32::MAX);
    SAY_BEGINS.saturating_add(SAY_CHARACTER.saturating_mul(characters))
}

/// From the request to the first word.
const SAY_BEGINS: Duration = Duration::from_secs(15);
/// Half as fast as people speak.
const SAY_CHARACTER: Duration = Duration::from_millis(125);

#[cfg(test)]
mod tests {
    use super::*;

    fn detection(on_machine: OnMachine) -> MachineDetection {
        MachineDetection { mode: DetectionMode::Enable, on_machine }
    }

    #[test]
    fn a_person_is_never_disturbed() {
        let fixed = Message::Fixed("Hello".into());
        let told = Message::ToldAgent("Say hello.".into());
        let messages = [fixed, told].map(OnMachine::LeaveMessage);
        for on_machine in [OnMachine::HangUp, OnMachine::GoOn].into_iter().chain(messages) {
            let detection = detection(on_machine);
            for answered_by in [AnsweredBy::Human, AnsweredBy::Unknown] {
                assert_eq!(detection.reaction(answered_by, true), Reaction::GoOn);
            }
        }
    }

    #[test]
    fn a_machine_is_dealt_with_as_was_asked_for() {
        let react = |on_machine| detection(on_machine).reaction(AnsweredBy::MachineEndBeep, true);
        assert_eq!(react(OnMachine::HangUp), Reaction::HangUp);
        assert_eq!(react(OnMachine::GoOn), Reaction::GoOn);
        let say = react(OnMachine::LeaveMessage(Message::Fixed("Call us.".into())));
        assert_eq!(say, Reaction::Say("Call us.".into()));
        let told = OnMachine::LeaveMessage(Message::ToldAgent("Ask for a call back.".into()));
        let Reaction::TellAgent(text) = react(told.clone()) else { panic!("it is told") };
        assert!(text.contains("answering machine") && text.contains("Ask for a call back."));
        let alone = detection(told.clone()).reaction(AnsweredBy::MachineStart, false);
        assert_eq!(alone, Reaction::GoOn, "there is no agent to be told");
        assert_eq!(detection(told).reaction(AnsweredBy::Fax, true), Reaction::HangUp);
    }

    #[test]
    fn a_long_message_has_a_long_time() {
        assert!(time_to_say("") >= Duration::from_secs(10));
        assert!(time_to_say(&"x".repeat(3_000)) >= Duration::from_secs(300));
    }

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
