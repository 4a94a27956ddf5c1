//! Where a campaign that is followed is shown: as a bar on a terminal, as lines in a log, as JSON
//! for scripts.

use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::cli::output::{paint, print, say};

use super::progress::Progress;

/// A log gets no more lines than one in this time, unless something ends.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// Where a campaign is shown.
pub(super) enum Screen {
    /// A line that is painted over; whether anything stands on it.
    Bar(bool),
    Lines(Box<Lines>),
    /// One object a line, on standard output.
    Json,
}

impl Screen {
    /// For whoever has started us.
    pub(super) fn new(json: bool) -> Self {
        match json {
            true => Screen::Json,
            false if std::io::stderr().is_terminal() => Screen::Bar(false),
            false => Screen::Lines(Box::default()),
        }
    }

    /// Shows how a campaign stands; `told` is what that was read from.
    pub(super) fn show(&mut self, progress: &Progress, told: &Value) {
        match self {
            Screen::Json => print(&told.to_string()),
            Screen::Lines(lines) => {
                if let Some(line) = lines.news(Instant::now(), progress) {
                    say(&line);
                }
            }
            Screen::Bar(is_painted) => {
                paint(&painted(&progress.bar()));
                *is_painted = true;
            }
        }
    }

    /// Tells something else.
    pub(super) fn say(&mut self, text: &str) {
        self.leave();
        say(text);
    }

    /// How long until something is to be said that was held back.
    pub(super) fn due(&self) -> Option<Duration> {
        match self {
            Screen::Lines(lines) => lines.due(Instant::now()),
            Screen::Bar(_) | Screen::Json => None,
        }
    }

    /// Says what was held back.
    pub(super) fn catch_up(&mut self) {
        if let Screen::Lines(lines) = self
            && let Some(line) = lines.overdue(Instant::now())
        {
            say(&line);
        }
    }

    /// What comes next begins on a line of its own.
    pub(super) fn leave(&mut self) {
        if let Screen::Bar(is_painted) = self
            && std::mem::take(is_painted)
        {
            say("");
        }
    }
}

/// Over what stood on the line. A terminal that is too narrow shows the beginning and no second
/// line: it is told not to wrap (DECAWM), and to forget the rest of the old line (EL).
fn painted(line: &str) -> String {
    format!("\r\x1b[?7l{line}\x1b[K\x1b[?7h")
}

/// What of a campaign's progress is told in lines: every change of its state at once, every other
/// change when its time has come.
#[derive(Debug, Default)]
pub(super) struct Lines {
    said: Option<(Instant, Progress)>,
    held_back: Option<Progress>,
}

impl Lines {
    fn news(&mut self, now: Instant, progress: &Progress) -> Option<String> {
        let is_urgent = match &self.said {
            None => true,
            Some((_, said)) if progress.stands_as(said) => {
                self.held_back = None;
                return None;
            }
            Some((_, said)) => (said.state, &said.cause) != (progress.state, &progress.cause),
        };
        self.held_back = Some(progress.clone());
        if is_urgent { self.speak(now) } else { self.overdue(now) }
    }

    fn due(&self, now: Instant) -> Option<Duration> {
        self.held_back.as_ref()?;
        let (at, _) = self.said.as_ref()?;
        Some((*at + LINE_EVERY).saturating_duration_since(now))
    }

    fn overdue(&mut self, now: Instant) -> Option<String> {
        match self.due(now) {
            Some(Duration::ZERO) => self.speak(now),
            _ => None,
        }
    }

    fn speak(&mut self, now: Instant) -> Option<String> {
        let progress = self.held_back.take()?;
        let line = progress.line();
        self.said = Some((now, progress));
        Some(line)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn progress(state: &str, busy: u64) -> Progress {
        let told = json!({
            "state": state, "total": 9, "finished": busy, "rate_per_minute": 0.0,
            "counts": {"busy": busy},
        });
        Progress::read(&told).expect("is progress")
    }

    #[test]
    fn a_log_gets_a_line_in_its_time_and_none_for_nothing() {
        let start = Instant::now();
        let mut lines = Lines::default();
        let mut news =
            |ms: u64, progress: &Progress| lines.news(start + Duration::from_millis(ms), progress);
        assert!(news(0, &progress("running", 0)).is_some(), "the first is told at once");
        assert_eq!(news(1_000, &progress("running", 1)), None, "too early");
        assert_eq!(news(9_000, &progress("running", 0)), None, "as it was said");
        let line = news(9_000, &progress("running", 2)).expect("in time");
        assert!(line.contains("busy 2"), "{line}");
        let end = news(9_001, &progress("canceled", 3)).expect("a state is told at once");
        assert!(end.starts_with("canceled: 3 of 9"), "{end}");
    }

    #[test]
    fn what_was_held_back_is_told_when_its_time_has_come() {
        let start = Instant::now();
        let mut lines = Lines::default();
        lines.news(start, &progress("running", 0));
        assert_eq!(lines.due(start), None, "nothing was held back");
        lines.news(start + Duration::from_secs(2), &progress("running", 1));
        assert_eq!(lines.due(start + Duration::from_secs(2)), Some(Duration::from_secs(3)));
        assert_eq!(lines.overdue(start + Duration::from_secs(4)), None);
        assert!(lines.overdue(start + Duration::from_secs(5)).is_some());
        assert_eq!(lines.due(start + Duration::from_secs(6)), None, "it was told");
    }

    #[test]
    fn a_bar_is_painted_over_itself_on_one_line() {
        let line = painted("[#.]");
        assert!(line.starts_with('\r') && line.contains("[#.]") && !line.contains('\n'));
        assert!(line.ends_with("\x1b[?7h"), "the terminal wraps again");
    }
}
