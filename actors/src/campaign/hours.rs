//! When a campaign may call: windows of the week, by one or more clocks on the wall.
//!
//! What counts is what those clocks show. An hour that is skipped when summer begins is in no
//! window, and one that comes twice when it ends is in its window both times. Nobody is called
//! unless every zone given allows it.

mod json;
#[cfg(test)]
mod tests;

use std::ops::Range;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use json::InvalidHours;

const DAY_S: i64 = 86_400;
const WEEK_S: i64 = 7 * DAY_S;

/// How far ahead an opening is looked for. A window that comes once a week may fall into the hour
/// that a night in spring leaves out, and then is two weeks away.
const HORIZON_S: i64 = 15 * DAY_S;

/// Whose clock counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clock {
    /// That of the campaign's zone, wherever a recipient is.
    Campaign,
    /// That of the recipient's zone, as far as it is known.
    Recipient,
}

/// The days and times at which people may be called.
///
/// As JSON, which is checked when it is read:
///
/// ```json
/// {
///     "timezone": "Europe/Berlin",
///     "zone": "recipient",
///     "windows": [{"days": ["mon", "tue"], "from": "09:00", "to": "20:00"}]
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Value", into = "Value")]
pub struct CallingHours {
    timezone: TimeZone,
    clock: Clock,
    windows: Vec<Window>,
    week: Week,
}

/// Whether people may be called, and when that may change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opening {
    /// They may.
    Open {
        /// The first moment at which they may not any more, or fifteen days ahead if that is
        /// later still.
        until: Timestamp,
    },
    /// They may not.
    Closed {
        /// The first moment at which they may. `None` when there is none in the next fifteen days,
        /// as for zones so far apart that it is never day in all of them.
        until: Option<Timestamp>,
    },
}

impl Opening {
    /// Whether people may be called.
    pub fn is_open(self) -> bool {
        matches!(self, Opening::Open { .. })
    }

    /// Open for as long as openings look ahead: for a campaign that keeps no hours.
    pub(crate) fn always(now: Timestamp) -> Self {
        Opening::Open { until: timestamp(now.as_second().saturating_add(HORIZON_S)) }
    }
}

impl CallingHours {
    /// The campaign's own zone.
    pub fn timezone(&self) -> &TimeZone {
        &self.timezone
    }

    /// Whose clock counts.
    pub fn clock(&self) -> Clock {
        self.clock
    }

    /// Whether it is in a window in all of these zones at once, and when the answer changes. No
    /// zones are as the campaign's own.
    ///
    /// It takes some microseconds: ask once for all recipients of the same zones, see
    /// [`ZoneGroups`](super::zone_groups::ZoneGroups).
    pub fn opening(&self, zones: &[TimeZone], now: Timestamp) -> Opening {
        let zones = if zones.is_empty() { std::slice::from_ref(&self.timezone) } else { zones };
        let start = now.as_second();
        let limit = start.saturating_add(HORIZON_S);

        let mut at = start;
        loop {
            match self.all(zones, at, limit) {
                Stand { open: true, until } if at == start => {
                    return Opening::Open { until: timestamp(until) };
                }
                Stand { open: true, .. } => return Opening::Closed { until: Some(timestamp(at)) },
                Stand { until, .. } if until >= limit => return Opening::Closed { until: None },
                Stand { until, .. } => at = until,
            }
        }
    }

    /// How things stand in all zones together: open until the first of them closes, or closed at
    /// least until the last of the closed ones opens.
    fn all(&self, zones: &[TimeZone], at: i64, limit: i64) -> Stand {
        let mut all = Stand { open: true, until: limit };
        for zone in zones {
            let one = self.one(zone, at, limit);
            all.until = match (all.open, one.open) {
                (true, true) => all.until.min(one.until),
                (false, false) => all.until.max(one.until),
                (true, false) => one.until,
                (false, true) => all.until,
            };
            all.open &= one.open;
        }
        all
    }

    /// How things stand in one zone, and exactly until when, if that is before the limit.
    fn one(&self, zone: &TimeZone, at: i64, limit: i64) -> Stand {
        let mut stand = self.glance(zone, at);
        while stand.until < limit {
            let next = self.glance(zone, stand.until);
            if next.open != stand.open {
                return stand;
            }
            stand.until = next.until;
        }
        Stand { until: limit, ..stand }
    }

    /// How things stand in one zone, and until when nothing can have changed: as long as the
    /// zone's clock runs evenly, and the same span of the week lasts.
    fn glance(&self, zone: &TimeZone, at: i64) -> Stand {
        let now = timestamp(at);
        // The epoch was a Thursday; weeks begin on Monday.
        let on_the_wall = at + 3 * DAY_S + i64::from(zone.to_offset(now).seconds());
        let (open, left_s) = self.week.at(on_the_wall.rem_euclid(WEEK_S));
        let even_until = zone.following(now).next().map_or(i64::MAX, |t| t.timestamp().as_second());
        Stand { open, until: even_until.min(at + left_s) }
    }
}

/// Whether it is open, and until when, in seconds since the epoch.
#[derive(Clone, Copy)]
struct Stand {
    open: bool,
    until: i64,
}

/// A window as it was given: some days, and the same time on each of them.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Window {
    /// From Monday on.
    days: [bool; 7],
    from_min: u16,
    to_min: u16,
}

/// The open spans of a week in seconds since its beginning, in order and apart from each other.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Week(Vec<Range<i64>>);

impl Week {
    fn new(windows: &[Window]) -> Self {
        let mut spans = Vec::new();
        for window in windows {
            let minutes = i64::from(window.from_min)..i64::from(window.to_min);
            for (midnight, _) in (0..).step_by(86_400).zip(window.days).filter(|(_, open)| *open) {
                spans.push(midnight + minutes.start * 60..midnight + minutes.end * 60);
            }
        }
        spans.sort_by_key(|span| span.start);
        let mut apart: Vec<Range<i64>> = Vec::new();
        for span in spans {
            match apart.last_mut() {
                Some(last) if span.start <= last.end => last.end = last.end.max(span.end),
                _ => apart.push(span),
            }
        }
        Week(apart)
    }

    /// Whether this second is in a span, and for how many more that, or the week, lasts.
    fn at(&self, second: i64) -> (bool, i64) {
        match self.0.iter().find(|span| second < span.end) {
            Some(span) if span.start <= second => (true, span.end - second),
            Some(span) => (false, span.start - second),
            None => (false, WEEK_S - second),
        }
    }
}

/// A moment given in seconds since the epoch, or the last one there is.
fn timestamp(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap_or(Timestamp::MAX)
}
