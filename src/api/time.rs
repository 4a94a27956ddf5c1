//! Times as the documents write them.

use jiff::{Timestamp, Unit};

/// `2024-01-01T12:00:00Z`: the documented form has no fractions.
pub(crate) fn whole_seconds(at: Timestamp) -> String {
    let seconds = Timestamp::from_second(at.as_millisecond().div_euclid(1_000));
    seconds.unwrap_or(at).to_string()
}

/// `2024-01-01T12:00:00.123Z`: for what happens several times a second.
pub(crate) fn milliseconds(at: Timestamp) -> String {
    let at = at.round(Unit::Millisecond).unwrap_or(at);
    format!("{at:.3}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_documented() {
        let at: Timestamp = "2024-01-01T12:00:00.9876Z".parse().expect("a time");
        assert_eq!(whole_seconds(at), "2024-01-01T12:00:00Z");
        assert_eq!(milliseconds(at), "2024-01-01T12:00:00.988Z");
    }
}
