//! Figures as people and programs read them.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// Percentiles of many measured times, in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Percentiles {
    pub(crate) count: u64,
    pub(crate) p50_us: u64,
    pub(crate) p90_us: u64,
    pub(crate) p99_us: u64,
    pub(crate) p999_us: u64,
    pub(crate) max_us: u64,
}

impl Percentiles {
    pub(crate) fn of(micros: &Histogram<u64>) -> Self {
        Percentiles {
            count: micros.len(),
            p50_us: micros.value_at_quantile(0.5),
            p90_us: micros.value_at_quantile(0.9),
            p99_us: micros.value_at_quantile(0.99),
            p999_us: micros.value_at_quantile(0.999),
            max_us: micros.max(),
        }
    }

    /// As cells of a table, in milliseconds.
    pub(crate) fn cells(&self) -> String {
        let values = [self.p50_us, self.p90_us, self.p99_us, self.p999_us, self.max_us];
        values.iter().map(|&micros| format!("{:>9}", millis(micros))).collect()
    }
}

/// Microseconds as milliseconds with as many digits as matter.
fn millis(micros: u64) -> String {
    let millis = micros as f64 / 1_000.0;
    match micros {
        0..10_000 => format!("{millis:.2}"),
        10_000..100_000 => format!("{millis:.1}"),
        _ => format!("{millis:.0}"),
    }
}

/// Whole microseconds; more than 584,000 years are that.
pub(crate) fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// A share; nothing of nothing is nothing.
pub(crate) fn per(whole: f64, parts: u64) -> f64 {
    if parts == 0 { 0.0 } else { whole / parts as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::probe::histogram;

    #[test]
    fn percentiles_are_those_of_the_values() {
        let mut values = histogram();
        for micros in 1..=1_000 {
            values.record(micros).expect("within bounds");
        }
        let expected = Percentiles {
            count: 1_000,
            p50_us: 500,
            p90_us: 900,
            p99_us: 990,
            p999_us: 999,
            max_us: 1_000,
        };
        assert_eq!(Percentiles::of(&values), expected);
        assert_eq!(Percentiles::of(&histogram()), Percentiles::default());
    }

    #[test]
    fn cells_line_up() {
        let values = Percentiles {
            count: 1,
            p50_us: 120,
            p90_us: 9_999,
            p99_us: 12_345,
            p999_us: 123_456,
            max_us: 60_000_000,
        };
        assert_eq!(values.cells(), "     0.12    10.00     12.3      123    60000");
    }

    #[test]
    fn shares_of_nothing_are_nothing() {
        assert_eq!(per(5.0, 0), 0.0);
        assert_eq!(per(5.0, 2), 2.5);
        assert_eq!(micros(Duration::MAX), u64::MAX);
    }
}
