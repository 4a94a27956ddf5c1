//! What some scenarios find out beside what all of them do.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use super::caller::Asked;
use super::figures::Percentiles;
use super::report::Report;

/// initiate-call at one rate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct RateStep {
    /// Requests a second that were due.
    pub(crate) per_second: f64,
    pub(crate) requests: u64,
    pub(crate) refused: u64,
    /// From when a request was due until its answer had been read.
    pub(crate) times: Percentiles,
    /// From when a request was due until it was sent: the generator's own doing.
    pub(crate) lateness: Percentiles,
}

impl RateStep {
    pub(crate) fn new(per_second: u32, asked: &Asked) -> Self {
        RateStep {
            per_second: per_second.into(),
            requests: asked.sent,
            refused: asked.refusals.len() as u64,
            times: Percentiles::of(&asked.times),
            lateness: Percentiles::of(&asked.lateness),
        }
    }
}

/// How a campaign went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct CampaignFigures {
    pub(crate) recipients: u64,
    pub(crate) completed: u64,
    /// Its limit of calls at a time.
    pub(crate) concurrent: u64,
    /// From sending the recipients until the service had taken them.
    pub(crate) accepted_ms: f64,
    /// From then until it was over.
    pub(crate) lasted_seconds: f64,
    /// Calls dialled a second: over all, and until the limit could first be reached.
    pub(crate) dispatched_per_second: f64,
    pub(crate) dispatched_per_second_at_first: f64,
    /// Live calls over the limit, on average, from when it was nearly reached for as long as anybody
    /// was waiting.
    pub(crate) mean_occupancy: f64,
}

/// How agents that were talked over fell silent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Interruptions {
    /// How often an agent asked for silence, and how often a phone was told.
    pub(crate) asked: u64,
    pub(crate) reached: u64,
    /// From the one to the other.
    pub(crate) times: Percentiles,
}

/// Adds what a report has of these to its table.
pub(crate) fn write_table(report: &Report, out: &mut String) -> std::fmt::Result {
    for rate in &report.rates {
        let name = format!("at {} a second", rate.per_second);
        writeln!(out, "  {name:<22}{}", rate.times.cells())?;
        if rate.refused > 0 {
            writeln!(out, "    {} of {} were refused", rate.refused, rate.requests)?;
        }
    }
    if let Some(Interruptions { asked, reached, times }) = &report.interruptions {
        writeln!(out, "  {:<22}{}", "silence after asking", times.cells())?;
        writeln!(out, "  interruptions           {asked:>10}      ({reached} told to phones)")?;
    }
    if let Some(found) = &report.campaign {
        writeln!(
            out,
            "  campaign                {:>10} recipients, accepted in {:.0} ms; {} completed in \
             {:.1} s",
            found.recipients, found.accepted_ms, found.completed, found.lasted_seconds,
        )?;
        writeln!(
            out,
            "  dialled                 {:>10.1} a second over all, {:.1} at first",
            found.dispatched_per_second, found.dispatched_per_second_at_first,
        )?;
        writeln!(
            out,
            "  live while any waits    {:>10.1} % of {} calls",
            100.0 * found.mean_occupancy,
            found.concurrent,
        )?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_found_is_told_and_nothing_else() {
        let table = |report: &Report| {
            let mut text = String::new();
            write_table(report, &mut text).expect("a String takes any text");
            text
        };
        assert_eq!(table(&Report::default()), "");
        let mut asked = Asked { sent: 10, ..Asked::default() };
        asked.times.record(2_500).expect("within bounds");
        asked.refusals.push("503".into());
        let rates = vec![RateStep::new(25, &asked)];
        let text = table(&Report { rates, ..Report::default() });
        assert!(text.starts_with("  at 25 a second             2.50"), "{text}");
        assert!(text.contains("1 of 10 were refused"), "{text}");
        let campaign = CampaignFigures { mean_occupancy: 0.5, ..CampaignFigures::default() };
        let text = table(&Report { campaign: Some(campaign), ..Report::default() });
        assert!(text.contains("50.0 % of 0 calls"), "{text}");
    }
}
