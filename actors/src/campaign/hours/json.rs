//! Calling hours as JSON: read with everything that is wrong with them, and written as they were
//! read.

use jiff::tz::TimeZone;
use serde_json::{Map, Value, json};

use super::{CallingHours, Clock, Week, Window};
use crate::campaign::zones;

/// As many windows as hours may have. Somebody who needs three a day has twenty-one.
const MAX_WINDOWS: usize = 50;

const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
const MIDNIGHT_MIN: u16 = 24 * 60;

/// Why calling hours cannot be read: all that is wrong with them, each under its field.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.problems("hours").map(|(field, why)| format!("{field} {why}"))
    .collect::<Vec<_>>().join("; "))]
pub struct InvalidHours {
    problems: Vec<(String, String)>,
}

impl InvalidHours {
    /// Each field and what is allowed in it: `hours.windows[0].from`, `must be …`. The field that
    /// holds the hours goes by the name given here.
    pub fn problems<'a>(&'a self, name: &'a str) -> impl Iterator<Item = (String, &'a str)> {
        self.problems.iter().map(move |(path, why)| (format!("{name}{path}"), why.as_str()))
    }
}

impl TryFrom<Value> for CallingHours {
    type Error = InvalidHours;

    fn try_from(value: Value) -> Result<Self, InvalidHours> {
        CallingHours::read(&value)
    }
}

impl From<CallingHours> for Value {
    fn from(hours: CallingHours) -> Value {
        let windows: Vec<Value> = hours.windows.iter().map(written).collect();
        let zone = match hours.clock {
            Clock::Campaign => "campaign",
            Clock::Recipient => "recipient",
        };
        json!({"timezone": hours.timezone.iana_name(), "zone": zone, "windows": windows})
    }
}

impl CallingHours {
    /// Reads the JSON object that [`CallingHours`] shows. Only `zone` may be left out, and is
    /// `campaign` then. A window ends on the day it begins, `24:00` at the latest; windows may
    /// overlap.
    ///
    /// # Errors
    ///
    /// Everything that is wrong, all at once.
    pub fn read(value: &Value) -> Result<Self, InvalidHours> {
        let mut reader = Reader { problems: Vec::new() };
        let read = reader.hours(value);
        match read {
            Some(hours) if reader.problems.is_empty() => Ok(hours),
            _ => Err(InvalidHours { problems: reader.problems }),
        }
    }
}

fn written(window: &Window) -> Value {
    let days: Vec<&str> =
        DAYS.iter().zip(window.days).filter(|(_, open)| *open).map(|(day, _)| *day).collect();
    json!({"days": days, "from": clock_time(window.from_min), "to": clock_time(window.to_min)})
}

fn clock_time(minute: u16) -> String {
    format!("{:02}:{:02}", minute / 60, minute % 60)
}

/// Minutes since midnight of a time written `HH:MM`, up to `24:00`.
fn minute(raw: &str) -> Option<u16> {
    let (hours, minutes) = raw.split_once(':')?;
    if [hours, minutes].iter().any(|n| n.len() != 2 || !n.bytes().all(|b| b.is_ascii_digit())) {
        return None;
    }
    let (hours, minutes): (u16, u16) = (hours.parse().ok()?, minutes.parse().ok()?);
    let minute = hours * 60 + minutes;
    (minutes < 60 && minute <= MIDNIGHT_MIN).then_some(minute)
}

/// Collects what is wrong. Whatever reads a field gives `None` only after telling why.
struct Reader {
    problems: Vec<(String, String)>,
}

impl Reader {
    fn hours(&mut self, value: &Value) -> Option<CallingHours> {
        let fields = self.object("", value, &["timezone", "zone", "windows"])?;
        let timezone = self.required(".timezone", fields.get("timezone"));
        let timezone = timezone.and_then(|value| self.timezone(".timezone", value));
        let clock = match fields.get("zone") {
            None | Some(Value::Null) => Some(Clock::Campaign),
            Some(value) => self.clock(".zone", value),
        };
        let windows = self.required(".windows", fields.get("windows"));
        let windows = windows.and_then(|value| self.windows(".windows", value))?;
        let week = Week::new(&windows);
        Some(CallingHours { timezone: timezone?, clock: clock?, windows, week })
    }

    fn timezone(&mut self, path: &str, value: &Value) -> Option<TimeZone> {
        let name = self.text(path, value)?;
        match zones::zone_named(name) {
            Ok(zone) => Some(zone),
            Err(unknown) => self.problem(path, unknown.to_string()),
        }
    }

    fn clock(&mut self, path: &str, value: &Value) -> Option<Clock> {
        match value.as_str() {
            Some("campaign") => Some(Clock::Campaign),
            Some("recipient") => Some(Clock::Recipient),
            _ => self.problem(path, "must be campaign or recipient"),
        }
    }

    fn windows(&mut self, path: &str, value: &Value) -> Option<Vec<Window>> {
        let Some(windows) = value.as_array() else {
            return self.problem(path, "must be a list of windows");
        };
        match windows.len() {
            0 => self.problem(
                path,
                "must have at least one window, or nobody is ever called; to call at any time, \
                 leave the hours out",
            ),
            1..=MAX_WINDOWS => {
                let windows = windows.iter().enumerate();
                // Every window is read, so that the problems of all of them are told.
                let windows: Vec<Option<Window>> =
                    windows.map(|(i, value)| self.window(&format!("{path}[{i}]"), value)).collect();
                windows.into_iter().collect()
            }
            got => {
                let why = format!("must have {MAX_WINDOWS} windows at most, these are {got}");
                self.problem(path, why)
            }
        }
    }

    fn window(&mut self, path: &str, value: &Value) -> Option<Window> {
        let fields = self.object(path, value, &["days", "from", "to"])?;
        let days = self.days(&format!("{path}.days"), fields.get("days"));
        let from = self.minute(&format!("{path}.from"), fields.get("from"), MIDNIGHT_MIN - 1);
        let to = self.minute(&format!("{path}.to"), fields.get("to"), MIDNIGHT_MIN);
        let (days, from_min, to_min) = (days?, from?, to?);
        if to_min <= from_min {
            let why = format!(
                "must be later than from, which is {}; a window cannot cross midnight: give one \
                 that ends at 24:00 and one of the next day that begins at 00:00",
                clock_time(from_min)
            );
            return self.problem(&format!("{path}.to"), why);
        }
        Some(Window { days, from_min, to_min })
    }

    fn days(&mut self, path: &str, value: Option<&Value>) -> Option<[bool; 7]> {
        let Some(days) = self.required(path, value)?.as_array() else {
            return self.problem(path, "must be a list of days");
        };
        let mut open = [false; 7];
        for day in days {
            let Some(found) = DAYS.iter().position(|name| day.as_str() == Some(name)) else {
                return self.problem(path, format!("must be of {}", DAYS.join(", ")));
            };
            open[found] = true;
        }
        if days.is_empty() {
            return self.problem(path, "must have at least one day, or its hours never come");
        }
        Some(open)
    }

    fn minute(&mut self, path: &str, value: Option<&Value>, latest: u16) -> Option<u16> {
        let value = self.required(path, value)?;
        match value.as_str().and_then(minute) {
            Some(minute) if minute <= latest => Some(minute),
            _ => {
                let why = format!("must be HH:MM, from 00:00 to {}", clock_time(latest));
                self.problem(path, why)
            }
        }
    }

    fn object<'a>(
        &mut self,
        path: &str,
        value: &'a Value,
        known: &[&str],
    ) -> Option<&'a Map<String, Value>> {
        let Some(fields) = value.as_object() else {
            return self.problem(path, "must be an object");
        };
        for name in fields.keys().filter(|name| !known.contains(&name.as_str())) {
            let shown: String = name.chars().take(80).collect();
            let why = format!("is not known here; known are {}", known.join(", "));
            self.problem::<()>(&format!("{path}.{shown}"), why);
        }
        Some(fields)
    }

    fn required<'a>(&mut self, path: &str, value: Option<&'a Value>) -> Option<&'a Value> {
        match value {
            None | Some(Value::Null) => self.problem(path, "is required"),
            given => given,
        }
    }

    fn text<'a>(&mut self, path: &str, value: &'a Value) -> Option<&'a str> {
        value.as_str().or_else(|| self.problem(path, "must be a string"))
    }

    fn problem<T>(&mut self, path: &str, why: impl Into<String>) -> Option<T> {
        self.problems.push((path.to_owned(), why.into()));
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: &str = r#"{"days": ["mon"], "from": "09:00", "to": "20:00"}"#;

    /// What is said of hours that are wrong.
    fn said(hours: &Value) -> String {
        CallingHours::read(hours).expect_err("it is wrong").to_string()
    }

    /// What is said of a window that is wrong.
    fn said_of(window: Value) -> String {
        said(&json!({"timezone": "Europe/Berlin", "windows": [window]}))
    }

    #[test]
    fn hours_are_written_as_they_were_read() {
        let given = json!({
            "timezone": "America/New_York",
            "zone": "recipient",
            "windows": [
                {"days": ["mon", "tue", "sun"], "from": "09:00", "to": "20:30"},
                {"days": ["mon"], "from": "00:05", "to": "24:00"},
            ],
        });
        let hours: CallingHours = serde_json::from_value(given.clone()).expect("good hours");
        assert_eq!(hours.clock(), Clock::Recipient);
        assert_eq!(serde_json::to_value(&hours).expect("it can be written"), given);
    }

    #[test]
    fn names_are_put_in_order() {
        let given = json!({
            "timezone": "america/new_york",
            "windows": [{"days": ["sun", "mon", "mon"], "from": "09:00", "to": "20:00"}],
        });
        let hours = CallingHours::read(&given).expect("good hours");
        let written = json!({
            "timezone": "America/New_York",
            "zone": "campaign",
            "windows": [{"days": ["mon", "sun"], "from": "09:00", "to": "20:00"}],
        });
        assert_eq!(Value::from(hours), written);
    }

    #[test]
    fn everything_that_is_wrong_is_told_by_its_field() {
        let hours = json!({
            "timezone": "Mars/Olympus",
            "zone": "caller",
            "windows": [
                {"days": ["mon"], "from": "9", "to": "25:00"},
                {"days": ["monday"], "from": "09:00"},
                7,
            ],
            "holidays": [],
        });
        let error = CallingHours::read(&hours).expect_err("it is wrong");
        let problems: Vec<(String, &str)> = error.problems("settings.hours").collect();
        let expected = [
            ("settings.hours.holidays", "is not known here; known are timezone, zone, windows"),
            (
                "settings.hours.timezone",
                "must be the name of a time zone, such as Europe/Berlin; \"Mars/Olympus\" is none",
            ),
            ("settings.hours.zone", "must be campaign or recipient"),
            ("settings.hours.windows[0].from", "must be HH:MM, from 00:00 to 23:59"),
            ("settings.hours.windows[0].to", "must be HH:MM, from 00:00 to 24:00"),
            ("settings.hours.windows[1].days", "must be of mon, tue, wed, thu, fri, sat, sun"),
            ("settings.hours.windows[1].to", "is required"),
            ("settings.hours.windows[2]", "must be an object"),
        ];
        assert_eq!(problems, expected.map(|(field, why)| (field.to_owned(), why)));
    }

    #[test]
    fn hours_that_never_come_are_told_with_what_to_do() {
        assert_eq!(
            said(&json!({"timezone": "UTC", "windows": []})),
            "hours.windows must have at least one window, or nobody is ever called; to call at any \
             time, leave the hours out"
        );
        assert_eq!(
            said_of(json!({"days": [], "from": "09:00", "to": "20:00"})),
            "hours.windows[0].days must have at least one day, or its hours never come"
        );
        for (from, to) in [("20:00", "09:00"), ("20:00", "20:00"), ("20:00", "00:00")] {
            assert_eq!(
                said_of(json!({"days": ["fri"], "from": from, "to": to})),
                "hours.windows[0].to must be later than from, which is 20:00; a window cannot \
                 cross midnight: give one that ends at 24:00 and one of the next day that begins \
                 at 00:00"
            );
        }
    }

    #[test]
    fn times_have_two_digits_each() {
        for bad in
            ["", "9:00", "09:0", "0900", "09:00:00", "09:60", "24:00", "+9:00", "９:00", "09:"]
        {
            let said = said_of(json!({"days": ["mon"], "from": bad, "to": "24:00"}));
            assert_eq!(said, "hours.windows[0].from must be HH:MM, from 00:00 to 23:59", "{bad}");
        }
        for bad in ["24:01", "99:99", "24:60"] {
            let said = said_of(json!({"days": ["mon"], "from": "00:00", "to": bad}));
            assert_eq!(said, "hours.windows[0].to must be HH:MM, from 00:00 to 24:00", "{bad}");
        }
        let good = json!({"days": ["mon"], "from": "00:00", "to": "24:00"});
        assert!(CallingHours::read(&json!({"timezone": "UTC", "windows": [good]})).is_ok());
    }

    #[test]
    fn what_is_missing_or_of_another_kind_is_told() {
        assert_eq!(said(&json!("always")), "hours must be an object");
        assert_eq!(said(&json!({})), "hours.timezone is required; hours.windows is required");
        assert_eq!(
            said(&json!({"timezone": 1, "zone": 2, "windows": {}})),
            "hours.timezone must be a string; hours.zone must be campaign or recipient; \
             hours.windows must be a list of windows"
        );
        assert_eq!(
            said_of(json!({"days": "mon", "from": 9, "to": null, "on": true})),
            "hours.windows[0].on is not known here; known are days, from, to; \
             hours.windows[0].days must be a list of days; \
             hours.windows[0].from must be HH:MM, from 00:00 to 23:59; \
             hours.windows[0].to is required"
        );
        let window: Value = serde_json::from_str(DAY).expect("JSON");
        let many = vec![window; MAX_WINDOWS + 1];
        assert_eq!(
            said(&json!({"timezone": "UTC", "windows": many})),
            "hours.windows must have 50 windows at most, these are 51"
        );
    }

    #[test]
    fn stored_hours_that_cannot_be_read_say_why() {
        let error = serde_json::from_str::<CallingHours>("{}").expect_err("it is wrong");
        assert_eq!(error.to_string(), "hours.timezone is required; hours.windows is required");
    }

    proptest::proptest! {
        #[test]
        fn a_strange_window_never_panics(day in ".{0,8}", from in ".{0,8}", to in "[0-9:]{0,6}") {
            let window = json!({"days": [day, "mon"], "from": from, "to": to});
            let _ = CallingHours::read(&json!({"timezone": "UTC", "windows": [window]}));
        }
    }
}
