//! Reads the values of a TOML table, and remembers everything that was wrong with them.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::time::Duration;

use toml::{Table, Value};

/// One table of a scenario. What nobody took from it is unknown.
pub(super) struct Reader<'a> {
    /// Its name with a dot, or nothing for the outermost.
    prefix: &'static str,
    table: Table,
    known: Vec<&'static str>,
    problems: &'a mut Vec<String>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(prefix: &'static str, table: Table, problems: &'a mut Vec<String>) -> Self {
        Reader { prefix, table, known: Vec::new(), problems }
    }

    /// Notes that a value is not as it must be.
    pub(super) fn wrong(&mut self, key: &str, must: impl Display) {
        self.problems.push(format!("{}{key} must be {must}", self.prefix));
    }

    pub(super) fn take(&mut self, key: &'static str) -> Option<Value> {
        self.known.push(key);
        self.table.remove(key)
    }

    /// A table inside this one; empty when it is not there.
    pub(super) fn table(&mut self, key: &'static str) -> Table {
        match self.take(key) {
            None => Table::new(),
            Some(Value::Table(table)) => table,
            Some(_) => {
                self.wrong(key, "a table");
                Table::new()
            }
        }
    }

    pub(super) fn text(&mut self, key: &'static str) -> Option<String> {
        match self.take(key) {
            Some(Value::String(text)) if !text.trim().is_empty() => Some(text),
            _ => {
                self.wrong(key, "some text");
                None
            }
        }
    }

    /// One of several words, or the first of them.
    pub(super) fn word(&mut self, key: &'static str, words: &[&'static str]) -> &'static str {
        let found = match self.take(key) {
            None => return words[0],
            Some(Value::String(given)) => words.iter().find(|&&word| word == given).copied(),
            Some(_) => None,
        };
        found.unwrap_or_else(|| {
            self.wrong(key, format!("one of {}", words.join(", ")));
            words[0]
        })
    }

    fn number(&mut self, key: &'static str, range: &RangeInclusive<f64>) -> Option<f64> {
        let value = self.take(key)?;
        let number = number_of(&value).filter(|number| range.contains(number));
        if number.is_none() {
            self.wrong(key, format!("a number from {} to {}", range.start(), range.end()));
        }
        number
    }

    /// A number that need not be whole.
    pub(super) fn real(
        &mut self,
        key: &'static str,
        range: RangeInclusive<f64>,
        default: f64,
    ) -> f64 {
        self.number(key, &range).unwrap_or(default)
    }

    /// A whole number.
    pub(super) fn whole(
        &mut self,
        key: &'static str,
        range: RangeInclusive<u32>,
        default: u32,
    ) -> u32 {
        let Some(value) = self.take(key) else { return default };
        let number = value.as_integer().and_then(|number| u32::try_from(number).ok());
        number.filter(|number| range.contains(number)).unwrap_or_else(|| {
            self.wrong(key, format!("a whole number from {} to {}", range.start(), range.end()));
            default
        })
    }

    /// A time in seconds.
    pub(super) fn seconds(
        &mut self,
        key: &'static str,
        range: RangeInclusive<f64>,
        default: f64,
    ) -> Duration {
        Duration::from_secs_f64(self.real(key, range, default))
    }

    /// A time in milliseconds; None when it is not there.
    pub(super) fn milliseconds(
        &mut self,
        key: &'static str,
        range: RangeInclusive<u32>,
    ) -> Option<Duration> {
        let default = *range.start();
        let is_there = self.table.contains_key(key);
        let ms = self.whole(key, range, default);
        is_there.then(|| Duration::from_millis(ms.into()))
    }

    /// Refuses what nobody took.
    pub(super) fn finish(self) {
        let allowed = self.known.join(", ");
        for key in self.table.keys() {
            self.problems
                .push(format!("{}{key} is not known here; allowed are {allowed}", self.prefix));
        }
    }
}

/// An integer or a float as a number.
pub(super) fn number_of(value: &Value) -> Option<f64> {
    match value {
        Value::Float(number) => Some(*number),
        Value::Integer(number) => i32::try_from(*number).ok().map(f64::from),
        _ => None,
    }
}
