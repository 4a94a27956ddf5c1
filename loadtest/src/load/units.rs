//! Figures with their units, as people like to read them.

/// What a number counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    /// Microseconds; shown as seconds or milliseconds when they are many.
    Micros,
    /// Seconds; shown as minutes when they are many.
    Seconds,
    /// Bytes; shown as KiB, MiB or GiB when they are many.
    Bytes,
    /// Processors kept busy.
    Cores,
    /// How many times something else it is.
    Times,
    /// A bare number of things.
    Count(&'static str),
}

const KIB: f64 = 1024.0;
const MIB: f64 = 1024.0 * KIB;
const GIB: f64 = 1024.0 * MIB;
/// From here on, a time is easier to read in minutes.
const MANY_SECONDS: f64 = 300.0;

impl Unit {
    /// The name of the unit that suits numbers up to this one, and how many of ours are one of it.
    pub(crate) fn suited_to(self, most: f64) -> (f64, &'static str) {
        let most = most.abs();
        match self {
            Unit::Micros if most >= 1e6 => (1e6, "s"),
            Unit::Micros if most >= 1e3 => (1e3, "ms"),
            Unit::Micros => (1.0, "µs"),
            Unit::Seconds if most >= MANY_SECONDS => (60.0, "min"),
            Unit::Seconds => (1.0, "s"),
            Unit::Bytes if most >= GIB => (GIB, "GiB"),
            Unit::Bytes if most >= MIB => (MIB, "MiB"),
            Unit::Bytes if most >= KIB => (KIB, "KiB"),
            Unit::Bytes => (1.0, "B"),
            Unit::Cores => (1.0, "cores"),
            Unit::Times => (1.0, "×"),
            Unit::Count(of) => (1.0, of),
        }
    }

    /// A number with its unit.
    pub(crate) fn show(self, value: f64) -> String {
        let (one, name) = self.suited_to(value);
        let number = match self {
            Unit::Count(_) if value == value.round() => grouped(value, 0),
            _ => short(value / one),
        };
        if name.is_empty() || !value.is_finite() { number } else { format!("{number} {name}") }
    }
}

/// A number with as many digits as matter.
pub(crate) fn short(value: f64) -> String {
    let digits = match value.abs() {
        size if size >= 99.95 => 0,
        size if size >= 9.995 => 1,
        _ => 2,
    };
    grouped(value, digits)
}

/// A number with this many digits after the point, and commas between thousands.
pub(crate) fn grouped(value: f64, digits: usize) -> String {
    if !value.is_finite() {
        return "–".to_owned();
    }
    let plain = format!("{value:.digits$}");
    let (sign, plain) = plain.strip_prefix('-').map_or(("", &*plain), |rest| ("−", rest));
    let (whole, rest) = plain.find('.').map_or((plain, ""), |point| plain.split_at(point));
    let mut text = sign.to_owned();
    for (n, digit) in whole.chars().enumerate() {
        if n > 0 && (whole.len() - n).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_has_as_many_digits_as_matter() {
        let shown = [0.0, 9.1, 9.996, 12.34, 99.96, 1_234.5, -1_234_567.0].map(short);
        assert_eq!(shown, ["0.00", "9.10", "10.0", "12.3", "100", "1,234", "−1,234,567"]);
    }

    #[test]
    fn a_unit_suits_its_number() {
        assert_eq!(Unit::Micros.show(150.0), "150 µs");
        assert_eq!(Unit::Micros.show(1_250.0), "1.25 ms");
        assert_eq!(Unit::Micros.show(2_500_000.0), "2.50 s");
        assert_eq!(Unit::Bytes.show(900.0), "900 B");
        assert_eq!(Unit::Bytes.show(32_768.0), "32.0 KiB");
        assert_eq!(Unit::Bytes.show(-2_048.0), "−2.00 KiB");
        assert_eq!(Unit::Seconds.show(600.0), "10.0 min");
        assert_eq!(Unit::Times.show(1.08), "1.08 ×");
        assert_eq!(Unit::Count("frames").show(30_000.0), "30,000 frames");
        assert_eq!(Unit::Count("").show(2.5), "2.50");
    }

    #[test]
    fn what_is_no_number_is_a_dash() {
        for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert_eq!(Unit::Bytes.show(value), "–");
            assert_eq!(Unit::Count("calls").show(value), "–");
        }
    }
}
