//! Scenarios: what a load test does, as data.
//!
//! A scenario is a TOML file. Those in `loadtest/scenarios/` are part of the program; anybody may
//! write their own. Reading one tells everything that is wrong with it at once, by name.

mod library;
mod reader;
mod rules;
#[cfg(test)]
mod tests;

use std::time::Duration;

#[cfg(test)]
pub(crate) use library::BUILT_IN;
pub(crate) use library::{BuiltIn, find, list};

/// Calls placed a second at most, whatever a scenario asks for.
pub(crate) const MAX_RATE: u32 = 200;
/// How long a phone is silent before it hangs up, so that what it said can arrive: half the call,
/// if that is less.
const LAST_SILENCE: Duration = Duration::from_millis(500);
/// Length of a frame.
pub(crate) const FRAME: Duration = Duration::from_millis(20);

/// What a load test does.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Scenario {
    pub(crate) name: String,
    /// One sentence for people.
    pub(crate) about: String,
    /// Calls at a time.
    pub(crate) calls: u32,
    /// How long is measured.
    pub(crate) seconds: u64,
    /// Over how long the calls are placed that are up when the measuring begins.
    pub(crate) ramp: Duration,
    pub(crate) shape: Shape,
    pub(crate) phone: PhonePlan,
    pub(crate) agent: AgentPlan,
    pub(crate) expect: Expect,
}

/// When calls are placed and ended.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Shape {
    /// Calls are held, as many as the profile says.
    Hold { profile: Vec<Level> },
    /// Calls end by themselves, and each time one does another is placed.
    Churn { call_length: Duration },
    /// A campaign places them, `calls` at a time.
    Campaign { call_length: Duration, recipients: u32, calls_per_second: u32 },
    /// initiate-call is asked at each of these rates in turn, in requests a second.
    Rest { call_length: Duration, rates: Vec<u32> },
}

/// How many calls are to be up at a point of the measured time; between two points they grow or
/// shrink evenly.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Level {
    /// Percent of the measured time.
    pub(crate) at: f64,
    /// Percent of the calls.
    pub(crate) calls: f64,
}

/// What phones do.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct PhonePlan {
    pub(crate) speech: PhoneSpeech,
    /// Each frame is this late at most, by chance; order is kept.
    pub(crate) late_up_to: Duration,
    /// Frames come this many at a time; 0 for one by one.
    pub(crate) burst_frames: u32,
}

/// When phones speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PhoneSpeech {
    Always,
    Pauses {
        speaks: Duration,
        pauses: Duration,
    },
    /// Over the agent, once it has spoken for this long.
    Interrupts {
        after: Duration,
        speaks: Duration,
    },
}

/// What agents do.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct AgentPlan {
    pub(crate) speech: AgentSpeech,
    /// From one read of the socket to the next.
    pub(crate) rest_after_reading: Option<Duration>,
}

/// What agents say.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum AgentSpeech {
    /// What they hear, at once.
    Echo,
    /// Turns of this length, sent this many times faster than they are spoken.
    Talks { turn: Duration, speed: f64 },
}

/// What passes. Frames that are damaged, out of order or of another call never do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Expect {
    pub(crate) lost_to_agent: Losses,
    pub(crate) lost_to_phone: Losses,
}

/// What lost frames mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Losses {
    /// The test has failed.
    Fail,
    /// They are part of the scenario, and counted.
    Count,
}

/// A scenario cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ScenarioError {
    #[error(
        "there is no scenario {name}; built in are {}, and a file is given by its path",
        library::names()
    )]
    Unknown { name: String },
    #[error("scenario {path} cannot be read: {source}")]
    Unreadable { path: String, source: std::io::Error },
    #[error("scenario {name} is not TOML: {problem}")]
    NotToml { name: String, problem: String },
    #[error("scenario {name} cannot be used:\n  {}", problems.join("\n  "))]
    Wrong { name: String, problems: Vec<String> },
}

/// What the command line changes about a scenario.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Overrides {
    pub(crate) calls: Option<u32>,
    pub(crate) seconds: Option<u64>,
    pub(crate) ramp: Option<u64>,
}

impl Scenario {
    /// The scenario with other numbers. Without a ramp of its own, a changed number of calls is
    /// placed at the rate of the scenario.
    pub(crate) fn with(mut self, changes: Overrides) -> Self {
        if let Some(calls) = changes.calls {
            let factor = f64::from(calls) / f64::from(self.calls);
            self.ramp = self.ramp.mul_f64(factor);
            self.calls = calls;
        }
        let before = self.seconds;
        self.seconds = changes.seconds.unwrap_or(before);
        if let Some(ramp) = changes.ramp {
            self.ramp = Duration::from_secs(ramp);
        }
        if let Shape::Campaign { recipients, .. } = &mut self.shape
            && (changes.calls, changes.seconds) != (None, None)
        {
            *recipients = 0;
        }
        self
    }

    /// How long calls last that end by themselves.
    pub(crate) fn call_length(&self) -> Option<Duration> {
        match self.shape {
            Shape::Hold { .. } => None,
            Shape::Churn { call_length }
            | Shape::Campaign { call_length, .. }
            | Shape::Rest { call_length, .. } => Some(call_length),
        }
    }

    /// How long such a call's phone speaks.
    pub(crate) fn speech_length(&self) -> Option<Duration> {
        self.call_length().map(|length| length - LAST_SILENCE.min(length / 2))
    }

    /// Whom a campaign calls: as many as it can in the time, unless the scenario says.
    pub(crate) fn recipients(&self) -> u32 {
        let Shape::Campaign { call_length, recipients, .. } = self.shape else { return 0 };
        if recipients > 0 {
            return recipients;
        }
        let rounds = Duration::from_secs(self.seconds).div_duration_f64(call_length).max(1.0);
        whole(f64::from(self.calls) * rounds).min(100_000)
    }

    /// Calls that may be up at the same time.
    pub(crate) fn most_calls(&self) -> u32 {
        match &self.shape {
            Shape::Hold { .. } | Shape::Campaign { .. } => self.calls,
            // Slow answers make more of them overlap.
            Shape::Churn { .. } => self.calls.saturating_mul(2),
            Shape::Rest { call_length, rates } => {
                let most = rates.iter().copied().max().unwrap_or(1);
                whole(f64::from(most) * call_length.as_secs_f64() * 2.0) + 100
            }
        }
    }
}

/// The nearest whole number.
#[expect(clippy::cast_possible_truncation, reason = "a cast from a float saturates")]
pub(crate) fn whole(number: f64) -> u32 {
    number.round() as u32
}
