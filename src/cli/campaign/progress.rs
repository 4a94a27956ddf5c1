//! How a campaign gets on: as the service tells it, and in words for people.

use actors::campaign::RecipientState;
use serde_json::Value;

use crate::cli::table::{plain, table};
use crate::store::CampaignState;

/// How wide the bar is, in characters.
const BAR_CHARS: u64 = 24;

/// How a campaign stands.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Progress {
    pub(super) state: CampaignState,
    /// Why it is paused, when nobody asked for that.
    pub(super) cause: Option<String>,
    /// How many recipients are in which state; states nobody is in are left out.
    pub(super) counts: Vec<(RecipientState, u64)>,
    /// Recipients of the upload.
    pub(super) total: u64,
    /// Recipients that are done with.
    pub(super) finished: u64,
    /// Recipients that were done with in the last minute.
    pub(super) rate_per_minute: f64,
    /// When it will be over, in seconds, if it goes on like this.
    pub(super) eta_seconds: Option<u64>,
}

impl Progress {
    /// Reads a campaign, or an event about one.
    pub(super) fn read(campaign: &Value) -> Option<Self> {
        let count = |state: RecipientState| {
            let count = campaign["counts"][state.as_str()].as_u64().unwrap_or_default();
            (state, count)
        };
        Some(Progress {
            state: campaign["state"].as_str()?.parse().ok()?,
            cause: campaign["cause"].as_str().map(str::to_owned),
            counts: RecipientState::ALL.map(count).into_iter().filter(|(_, n)| *n > 0).collect(),
            total: campaign["total"].as_u64()?,
            finished: campaign["finished"].as_u64()?,
            rate_per_minute: campaign["rate_per_minute"].as_f64()?,
            eta_seconds: campaign["eta_seconds"].as_u64(),
        })
    }

    /// True when nothing happens any more until somebody does something about it. Whoever paused a
    /// campaign lets it go on; one that has paused itself needs help.
    pub(super) fn is_at_rest(&self) -> bool {
        let needs_help = self.state == CampaignState::Paused && self.cause.is_some();
        self.state.is_final() || needs_help
    }

    /// The same except for what changes all the time.
    pub(super) fn stands_as(&self, other: &Progress) -> bool {
        (self.state, &self.cause, &self.counts) == (other.state, &other.cause, &other.counts)
    }

    /// As a line of its own.
    pub(super) fn line(&self) -> String {
        let share = percent(self.finished, self.total);
        let mut line =
            format!("{}: {} of {} done ({share})", self.state, self.finished, self.total);
        for part in self.details() {
            line.push_str(", ");
            line.push_str(&part);
        }
        line
    }

    /// As a bar that fills up.
    pub(super) fn bar(&self) -> String {
        let full = (self.finished * BAR_CHARS).checked_div(self.total).unwrap_or(BAR_CHARS);
        let full = usize::try_from(full.min(BAR_CHARS)).unwrap_or_default();
        let width = usize::try_from(BAR_CHARS).unwrap_or_default();
        let bar = format!("{:.<width$}", "#".repeat(full));
        let share = percent(self.finished, self.total);
        let mut line = format!("[{bar}] {share} {}/{}", self.finished, self.total);
        if self.state != CampaignState::Running {
            line.push_str(&format!("  {}", self.state));
        }
        for part in self.details() {
            line.push_str("  ");
            line.push_str(&part);
        }
        line
    }

    /// Speed, time left and counts; what is not known is left out.
    fn details(&self) -> Vec<String> {
        let mut parts = Vec::new();
        if self.state == CampaignState::Running && self.rate_per_minute > 0.0 {
            parts.push(format!("{}/min", rate(self.rate_per_minute)));
        }
        parts.extend(self.eta_seconds.map(|seconds| format!("{} left", duration(seconds))));
        parts.extend(self.counts.iter().map(|(state, count)| format!("{state} {count}")));
        parts
    }

    /// How many recipients are in which state, as a table.
    pub(super) fn summary(&self) -> String {
        let row = |name: &str, count: u64| {
            vec![name.to_owned(), count.to_string(), percent(count, self.total)]
        };
        let mut rows: Vec<Vec<String>> =
            self.counts.iter().map(|(state, count)| row(state.as_str(), *count)).collect();
        rows.push(row("total", self.total));
        table(&["STATE", "COUNT", "SHARE"], &rows)
    }

    /// Why it has paused itself, in words that do not command the terminal.
    pub(super) fn cause(&self) -> Option<String> {
        self.cause.as_deref().map(plain)
    }
}

/// `part` of `whole`, with a tenth.
pub(super) fn percent(part: u64, whole: u64) -> String {
    let tenths = (part * 1_000 + whole / 2).checked_div(whole).unwrap_or_default();
    format!("{}.{}%", tenths / 10, tenths % 10)
}

/// As exact as it is of use.
pub(super) fn rate(per_minute: f64) -> String {
    if per_minute < 10.0 { format!("{per_minute:.1}") } else { format!("{per_minute:.0}") }
}

/// A time as people say it.
pub(super) fn duration(seconds: u64) -> String {
    let minutes = seconds.div_ceil(60);
    match (seconds, minutes) {
        (0..60, _) => format!("{seconds} s"),
        (_, 0..60) => format!("{minutes} min"),
        (_, 60..2_880) => format!("{} h {:02} min", minutes / 60, minutes % 60),
        _ => format!("{} days", minutes.div_ceil(1_440)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(state: &str) -> Progress {
        let told = json!({
            "state": state, "cause": null, "total": 1_000, "finished": 600, "in_flight": 20,
            "rate_per_minute": 49.6, "eta_seconds": 484,
            "counts": {"waiting": 380, "calling": 20, "completed": 500, "busy": 100, "failed": 0},
        });
        Progress::read(&told).expect("is progress")
    }

    #[test]
    fn a_campaign_is_told_in_a_line() {
        assert_eq!(
            read("running").line(),
            "running: 600 of 1000 done (60.0%), 50/min, 9 min left, waiting 380, calling 20, \
             completed 500, busy 100"
        );
        assert_eq!(
            read("running").bar(),
            "[##############..........] 60.0% 600/1000  50/min  9 min left  waiting 380  \
             calling 20  completed 500  busy 100"
        );
        let paused = Progress { eta_seconds: None, counts: Vec::new(), ..read("paused") };
        assert_eq!(paused.bar(), "[##############..........] 60.0% 600/1000  paused");
    }

    #[test]
    fn a_bar_fits_whatever_is_counted() {
        for (finished, total) in [(0, 0), (0, 1), (1, 1), (7, 3)] {
            let bar = Progress { finished, total, ..read("running") }.bar();
            assert_eq!(bar.find(']'), Some(25), "{bar}");
        }
    }

    #[test]
    fn the_summary_has_every_state_and_its_share() {
        let counts = vec![(RecipientState::Completed, 2), (RecipientState::NoAnswer, 1)];
        let progress = Progress { counts, total: 3, ..read("completed") };
        assert_eq!(
            progress.summary(),
            "STATE      COUNT  SHARE\n\
             completed  2      66.7%\n\
             no-answer  1      33.3%\n\
             total      3      100.0%"
        );
    }

    #[test]
    fn only_a_pause_that_needs_help_is_an_end() {
        assert!(!read("running").is_at_rest() && !read("paused").is_at_rest());
        assert!(read("completed").is_at_rest() && read("canceled").is_at_rest());
        assert!(!read("canceling").is_at_rest());
        let cause = Some("a wrong key\u{1b}[2J".to_owned());
        let broken = Progress { cause, ..read("paused") };
        assert!(broken.is_at_rest());
        assert_eq!(broken.cause().as_deref(), Some("a wrong key\\u{1b}[2J"));
    }

    #[test]
    fn a_campaign_without_what_it_must_have_is_not_read() {
        assert_eq!(Progress::read(&json!({"state": "running"})), None);
        assert_eq!(Progress::read(&json!({"state": "resting", "total": 1})), None);
    }

    #[test]
    fn times_are_told_as_people_say_them() {
        let told = [0, 59, 60, 61, 3_600, 7_199, 90_000, 172_800].map(duration);
        let expected =
            ["0 s", "59 s", "1 min", "2 min", "1 h 00 min", "2 h 00 min", "25 h 00 min", "2 days"];
        assert_eq!(told, expected);
    }
}
