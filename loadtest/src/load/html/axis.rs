//! Axes: where a value lies, and the few round ticks beside it.

use crate::load::units::{Unit, grouped, short};

/// Ticks an axis has at most.
const MOST_TICKS: usize = 8;

/// One axis of a plot. Values are in their unit; what is shown may be in a larger one.
#[derive(Clone, Debug)]
pub(super) struct Axis {
    pub(super) label: String,
    pub(super) unit: Unit,
    /// The larger unit's name.
    pub(super) unit_name: &'static str,
    pub(super) ticks: Vec<(f64, String)>,
    /// What a place is called, where its number would say nothing.
    naming: Option<fn(f64) -> String>,
    from: f64,
    to: f64,
    logarithmic: bool,
}

impl Axis {
    /// From zero to a round number that no value exceeds.
    pub(super) fn from_zero(label: &str, unit: Unit, values: &[f64]) -> Self {
        let most = greatest(values);
        let (one, unit_name) = unit.suited_to(most);
        let step = round_step(most / one, 5.0);
        let ticks = ticks_up_to(most / one, step, true);
        let to = ticks.last().copied().unwrap_or(1.0) * one;
        let ticks = shown(&ticks, step, one);
        Axis {
            label: label.into(),
            unit,
            unit_name,
            ticks,
            naming: None,
            from: 0.0,
            to,
            logarithmic: false,
        }
    }

    /// From zero to the greatest value, so that a curve fills its plot.
    pub(super) fn along(label: &str, unit: Unit, values: &[f64]) -> Self {
        let to = greatest(values);
        let (one, unit_name) = unit.suited_to(to);
        let step = round_step(to / one, 6.0);
        let ticks = shown(&ticks_up_to(to / one, step, false), step, one);
        Axis {
            label: label.into(),
            unit,
            unit_name,
            ticks,
            naming: None,
            from: 0.0,
            to,
            logarithmic: false,
        }
    }

    /// With ticks of one's own.
    pub(super) fn with_ticks(label: &str, ticks: Vec<(f64, String)>, to: f64) -> Self {
        let unit = Unit::Count("");
        let to = if to.is_finite() && to > 0.0 { to } else { 1.0 };
        let ticks = ticks.into_iter().filter(|(at, _)| (0.0..=to).contains(at)).collect();
        Axis {
            label: label.into(),
            unit,
            unit_name: "",
            ticks,
            naming: None,
            from: 0.0,
            to,
            logarithmic: false,
        }
    }

    /// Logarithmic, with ticks at 1, 2 and 5 of each decade if they are not too many.
    pub(super) fn logarithmic(label: &str, unit: Unit, values: &[f64]) -> Self {
        let positive = values.iter().copied().filter(|value| value.is_finite() && *value > 0.0);
        let least = positive.clone().fold(f64::INFINITY, f64::min);
        let (least, most) =
            if least.is_finite() { (least, positive.fold(least, f64::max)) } else { (1.0, 10.0) };
        let from = one_two_five(least, f64::floor);
        let mut to = one_two_five(most, f64::ceil);
        if to <= from {
            to = from * 10.0;
        }
        let mut ticks = Vec::new();
        for steps in [&[1.0, 2.0, 5.0][..], &[1.0]] {
            ticks = decades(from, to, steps);
            if ticks.len() <= MOST_TICKS {
                break;
            }
        }
        let every = ticks.len().div_ceil(MOST_TICKS).max(1);
        let ticks = ticks.into_iter().step_by(every).map(|at| (at, plain(unit, at))).collect();
        Axis {
            label: label.into(),
            unit,
            unit_name: "",
            ticks,
            naming: None,
            from,
            to,
            logarithmic: true,
        }
    }

    /// The same axis with names for its places.
    pub(super) fn naming(self, naming: fn(f64) -> String) -> Self {
        Axis { naming: Some(naming), ..self }
    }

    /// What a place is called.
    pub(super) fn name(&self, value: f64) -> String {
        if let Some(naming) = self.naming {
            return naming(value);
        }
        let shown = self.unit.show(value);
        if self.label.is_empty() { shown } else { format!("{}: {shown}", self.label) }
    }

    /// How far along the axis a value lies, from 0 to 1; None for what cannot be shown.
    pub(super) fn place(&self, value: f64) -> Option<f64> {
        let (from, to, value) = if self.logarithmic {
            (self.from.log10(), self.to.log10(), value.max(self.from).log10())
        } else {
            (self.from, self.to, value)
        };
        let place = (value - from) / (to - from);
        place.is_finite().then(|| place.clamp(0.0, 1.0))
    }
}

fn greatest(values: &[f64]) -> f64 {
    let most = values.iter().copied().filter(|value| value.is_finite()).fold(0.0, f64::max);
    if most > 0.0 { most } else { 1.0 }
}

/// 1, 2 or 5 times a power of ten: the least that needs no more than this many steps.
fn round_step(most: f64, steps: f64) -> f64 {
    let raw = most / steps;
    let power = 10_f64.powf(raw.log10().floor());
    let factor = [1.0, 2.0, 5.0].into_iter().find(|factor| factor * power >= raw * 0.999);
    factor.unwrap_or(10.0) * power
}

/// Multiples of the step from zero on: up to the most, or (`beyond`) to the first that reaches it.
fn ticks_up_to(most: f64, step: f64, beyond: bool) -> Vec<f64> {
    let mut ticks = vec![0.0];
    for n in 1..=MOST_TICKS {
        let reached = step * (n - 1) as f64;
        let next = step * n as f64;
        if (beyond && reached >= most * 0.999) || (!beyond && next > most * 1.001) {
            break;
        }
        ticks.push(next);
    }
    ticks
}

/// Ticks with as many digits as their step has.
fn shown(ticks: &[f64], step: f64, one: f64) -> Vec<(f64, String)> {
    let digits = (0..6).find(|&digits| {
        let scaled = step * 10_f64.powi(digits);
        (scaled - scaled.round()).abs() < 1e-6 * scaled
    });
    let digits = usize::try_from(digits.unwrap_or(6)).unwrap_or(6);
    ticks.iter().map(|&tick| (tick * one, grouped(tick, digits))).collect()
}

/// The nearest of 1, 2 or 5 times a power of ten, downwards (`floor`) or upwards (`ceil`).
fn one_two_five(value: f64, direction: fn(f64) -> f64) -> f64 {
    let power = 10_f64.powf(value.log10().floor());
    let candidates = [1.0, 2.0, 5.0, 10.0].map(|factor| factor * power);
    if direction(0.5) == 0.0 {
        candidates.into_iter().rfind(|&at| at <= value * 1.001).unwrap_or(power)
    } else {
        candidates.into_iter().find(|&at| at >= value * 0.999).unwrap_or(power * 10.0)
    }
}

fn decades(from: f64, to: f64, steps: &[f64]) -> Vec<f64> {
    let mut ticks = Vec::new();
    let mut power = 10_f64.powf(from.log10().floor());
    while power <= to * 1.001 {
        let within = steps.iter().map(|step| step * power);
        ticks.extend(within.filter(|at| (from * 0.999..=to * 1.001).contains(at)));
        power *= 10.0;
    }
    ticks
}

/// A round number with its unit and no needless zeros: `200 µs`, `1 ms`.
fn plain(unit: Unit, value: f64) -> String {
    let (one, name) = unit.suited_to(value * 1.000_001);
    let number = value / one;
    let text = if number.round() == (number * 1_000.0).round() / 1_000.0 {
        grouped(number, 0)
    } else {
        short(number)
    };
    format!("{text} {name}").trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(axis: &Axis) -> Vec<&str> {
        axis.ticks.iter().map(|(_, label)| label.as_str()).collect()
    }

    #[test]
    fn ticks_are_round_and_few() {
        for (most, expected) in [
            (0.9, "0 0.2 0.4 0.6 0.8 1.0"),
            (0.27, "0.0 0.1 0.2 0.3"),
            (4.0, "0 1 2 3 4"),
            (300.0, "0 100 200 300"),
            (30_000.0, "0 10,000 20,000 30,000"),
        ] {
            let axis = Axis::from_zero("", Unit::Count("x"), &[most]);
            assert_eq!(labels(&axis).join(" ").replace("0.0", "0"), expected.replace("0.0", "0"));
        }
        for exponent in -40..60 {
            for lead in [1.0, 1.7, 2.0, 3.3, 5.0, 7.1, 9.99] {
                let most = lead * 10_f64.powf(f64::from(exponent) / 5.0);
                let axis = Axis::from_zero("", Unit::Count(""), &[most]);
                assert!((3..=MOST_TICKS).contains(&axis.ticks.len()), "{most}: {axis:?}");
                assert!(axis.to >= most * 0.999, "{most}: {axis:?}");
                let place = axis.place(most).expect("it is on the axis");
                assert!(place > 0.5, "{most} fills its plot: {axis:?}");
            }
        }
    }

    #[test]
    fn ticks_along_an_axis_stay_on_it() {
        let axis = Axis::along("", Unit::Seconds, &[0.0, 47.0]);
        assert_eq!(labels(&axis), ["0", "10", "20", "30", "40"]);
        assert_eq!(axis.place(47.0), Some(1.0));
        let long = Axis::along("", Unit::Seconds, &[3_600.0]);
        assert_eq!(
            (labels(&long).join(" "), long.unit_name),
            ("0 10 20 30 40 50 60".into(), "min")
        );
    }

    #[test]
    fn larger_units_have_round_ticks_too() {
        let axis = Axis::from_zero("", Unit::Bytes, &[40.0 * 1024.0 * 1024.0]);
        assert_eq!((labels(&axis).join(" "), axis.unit_name), ("0 10 20 30 40".into(), "MiB"));
    }

    #[test]
    fn decades_are_divided_as_long_as_there_is_room() {
        let axis = Axis::logarithmic("", Unit::Micros, &[150.0, 900.0, 4_100.0]);
        assert_eq!(labels(&axis), ["100 µs", "200 µs", "500 µs", "1 ms", "2 ms", "5 ms"]);
        let wide = Axis::logarithmic("", Unit::Micros, &[1.0, 60_000_000.0]);
        assert!(wide.ticks.len() <= MOST_TICKS, "{wide:?}");
        assert_eq!(labels(&wide)[..3], ["1 µs", "100 µs", "10 ms"]);
        assert_eq!(axis.place(0.0), Some(0.0), "nothing lies below the axis");
    }

    #[test]
    fn no_value_at_all_still_makes_an_axis() {
        for values in [&[][..], &[f64::NAN, f64::INFINITY], &[0.0], &[-5.0]] {
            for axis in [
                Axis::from_zero("", Unit::Micros, values),
                Axis::along("", Unit::Seconds, values),
                Axis::logarithmic("", Unit::Micros, values),
            ] {
                assert!((2..=MOST_TICKS).contains(&axis.ticks.len()), "{axis:?}");
                assert!(axis.ticks.iter().all(|(at, _)| axis.place(*at).is_some()), "{axis:?}");
            }
        }
        let axis = Axis::from_zero("", Unit::Micros, &[1.0]);
        assert_eq!((axis.place(f64::NAN), axis.place(f64::INFINITY)), (None, None));
    }
}
