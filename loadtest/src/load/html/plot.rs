//! Plots as SVG: lines over two axes, a legend, and the values of each place under the pointer.
//!
//! No script: the values are in `<title>` elements, which browsers show and screen readers read.
//! Colours are classes of the page's style sheet, so that they follow the reader's light or dark.

use std::fmt::Write as _;

use super::axis::Axis;
use super::text::escape;

const WIDTH: f64 = 560.0;
const HEIGHT: f64 = 264.0;
const RIGHT: f64 = 22.0;
const BOTTOM: f64 = 44.0;
/// One line of the legend.
const LEGEND_LINE: f64 = 18.0;
/// A letter of the labels, on average, and rather more than less.
const LETTER: f64 = 6.3;
/// Room between what is left of a plot and its edge.
const GAP: f64 = 8.0;

/// Lines over two axes.
#[derive(Clone, Debug)]
pub(super) struct Plot {
    /// Its name in the document; no two plots of a page share one.
    pub(super) id: &'static str,
    pub(super) title: String,
    /// What a reader who cannot see it should know.
    pub(super) description: String,
    pub(super) x: Axis,
    pub(super) y: Axis,
    pub(super) lines: Vec<Line>,
    /// A level to compare with, and its name.
    pub(super) limit: Option<(f64, String)>,
}

/// One line of a plot.
#[derive(Clone, Debug)]
pub(super) struct Line {
    pub(super) name: String,
    /// Which of the page's colours, from 0.
    pub(super) colour: usize,
    pub(super) dashed: bool,
    /// Whether its points are measured ones, that should be seen as such.
    pub(super) dots: bool,
    pub(super) points: Vec<(f64, f64)>,
}

impl Line {
    pub(super) fn new(name: &str, colour: usize, points: Vec<(f64, f64)>) -> Self {
        Line { name: name.into(), colour, dashed: false, dots: false, points }
    }

    pub(super) fn dashed(self) -> Self {
        Line { dashed: true, ..self }
    }

    pub(super) fn with_dots(self) -> Self {
        Line { dots: true, ..self }
    }
}

/// Where the lines go, inside the labels.
#[derive(Clone, Copy)]
struct Frame {
    left: f64,
    top: f64,
}

impl Frame {
    fn x(self, place: f64) -> f64 {
        self.left + place * (WIDTH - RIGHT - self.left)
    }

    fn y(self, place: f64) -> f64 {
        HEIGHT - BOTTOM - place * (HEIGHT - BOTTOM - self.top)
    }
}

impl Plot {
    /// The plot as an SVG element.
    pub(super) fn svg(&self) -> String {
        let mut svg = String::new();
        self.write(&mut svg).expect("a String takes any text");
        svg
    }

    fn write(&self, out: &mut String) -> std::fmt::Result {
        let id = self.id;
        write!(
            out,
            "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-labelledby=\"{id}-t {id}-d\" \
             xmlns=\"http://www.w3.org/2000/svg\"><title id=\"{id}-t\">{}</title>\
             <desc id=\"{id}-d\">{}</desc>",
            escape(&self.title),
            escape(&self.description),
        )?;
        let widest = self.y.ticks.iter().map(|(_, label)| width(label)).fold(0.0, f64::max);
        let left = widest.max(width(self.y.unit_name)) + GAP + 4.0;
        let (legend, lines) = self.legend(left);
        let frame = Frame { left, top: 22.0 + LEGEND_LINE * lines };
        self.write_axes(out, frame)?;
        out.push_str(&legend);
        for line in &self.lines {
            self.write_line(out, frame, line)?;
        }
        if self.lines.iter().all(|line| self.placed(line).iter().all(Option::is_none)) {
            let (x, y) = (frame.x(0.5), frame.y(0.5));
            write!(out, "<text class=\"faint mid\" x=\"{x:.1}\" y=\"{y:.1}\">no data</text>")?;
        }
        self.write_values(out, frame)?;
        out.push_str("</svg>");
        Ok(())
    }

    fn write_axes(&self, out: &mut String, frame: Frame) -> std::fmt::Result {
        let (left, right) = (frame.x(0.0), frame.x(1.0));
        let (bottom, top) = (frame.y(0.0), frame.y(1.0));
        for (at, label) in &self.y.ticks {
            let Some(place) = self.y.place(*at) else { continue };
            let y = frame.y(place);
            write!(
                out,
                "<line class=\"grid\" x1=\"{left:.1}\" y1=\"{y:.1}\" x2=\"{right:.1}\" \
                 y2=\"{y:.1}\"/><text class=\"end\" x=\"{:.1}\" y=\"{:.1}\">{}</text>",
                left - GAP,
                y + 4.0,
                escape(label),
            )?;
        }
        for (at, label) in &self.x.ticks {
            let Some(place) = self.x.place(*at) else { continue };
            let x = frame.x(place);
            write!(
                out,
                "<line class=\"axis\" x1=\"{x:.1}\" y1=\"{bottom:.1}\" x2=\"{x:.1}\" \
                 y2=\"{:.1}\"/><text class=\"mid\" x=\"{x:.1}\" y=\"{:.1}\">{}</text>",
                bottom + 4.0,
                bottom + 17.0,
                escape(label),
            )?;
        }
        let x_label = match self.x.unit_name {
            "" => self.x.label.clone(),
            unit => format!("{} ({unit})", self.x.label),
        };
        write!(
            out,
            "<line class=\"axis\" x1=\"{left:.1}\" y1=\"{bottom:.1}\" x2=\"{right:.1}\" \
             y2=\"{bottom:.1}\"/>\
             <text class=\"mid faint\" x=\"{:.1}\" y=\"{:.1}\">{}</text>\
             <text class=\"end faint\" x=\"{:.1}\" y=\"{:.1}\">{}</text>",
            frame.x(0.5),
            HEIGHT - 8.0,
            escape(&x_label),
            left - GAP,
            top - 13.0,
            escape(self.y.unit_name),
        )?;
        if let Some((level, name)) = &self.limit
            && let Some(place) = self.y.place(*level)
        {
            let y = frame.y(place);
            write!(
                out,
                "<line class=\"limit\" x1=\"{left:.1}\" y1=\"{y:.1}\" x2=\"{right:.1}\" \
                 y2=\"{y:.1}\"/><text class=\"end faint\" x=\"{right:.1}\" y=\"{:.1}\">{}</text>",
                y - 5.0,
                escape(name),
            )?;
        }
        Ok(())
    }

    /// The legend, and how many lines it takes. A single line needs none: the title names it.
    fn legend(&self, left: f64) -> (String, f64) {
        let mut out = String::new();
        if self.lines.len() < 2 {
            return (out, 0.0);
        }
        let (mut x, mut y) = (left, 12.0);
        for Line { name, colour, dashed, .. } in &self.lines {
            let wide = 26.0 + width(name) + 14.0;
            if x > left && x + wide - 14.0 > WIDTH {
                (x, y) = (left, y + LEGEND_LINE);
            }
            out.push_str(&format!(
                "<line class=\"line c{colour}{}\" x1=\"{x:.1}\" y1=\"{:.1}\" x2=\"{:.1}\" \
                 y2=\"{:.1}\"/><text x=\"{:.1}\" y=\"{y:.1}\">{}</text>",
                if *dashed { " dash" } else { "" },
                y - 4.0,
                x + 20.0,
                y - 4.0,
                x + 26.0,
                escape(name),
            ));
            x += wide;
        }
        (out, (y - 12.0) / LEGEND_LINE + 1.0)
    }

    /// Where each point of a line lies, from 0 to 1; None for those that cannot be shown.
    fn placed(&self, line: &Line) -> Vec<Option<(f64, f64)>> {
        let place = |&(x, y): &(f64, f64)| Some((self.x.place(x)?, self.y.place(y)?));
        line.points.iter().map(place).collect()
    }

    fn write_line(&self, out: &mut String, frame: Frame, line: &Line) -> std::fmt::Result {
        let Line { colour, dashed, dots, .. } = line;
        let points = self.placed(line);
        let mut path = String::new();
        for run in points.split(Option::is_none) {
            for (n, &(x, y)) in run.iter().flatten().enumerate() {
                let step = if n == 0 { 'M' } else { 'L' };
                write!(path, "{step}{:.1} {:.1}", frame.x(x), frame.y(y))?;
            }
        }
        if !path.is_empty() {
            let dash = if *dashed { " dash" } else { "" };
            write!(out, "<path class=\"line c{colour}{dash}\" d=\"{path}\"/>")?;
        }
        let alone = points.iter().flatten().count() == 1;
        if *dots || alone {
            for &(x, y) in points.iter().flatten() {
                let (x, y) = (frame.x(x), frame.y(y));
                write!(out, "<circle class=\"c{colour}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3.5\"/>")?;
            }
        }
        Ok(())
    }

    /// A stripe over each place, that tells all values there.
    fn write_values(&self, out: &mut String, frame: Frame) -> std::fmt::Result {
        let all = self.lines.iter().flat_map(|line| &line.points);
        let mut places: Vec<f64> = all.map(|(x, _)| *x).filter(|x| x.is_finite()).collect();
        places.sort_by(f64::total_cmp);
        places.dedup();
        let middle = |one: f64, other: f64| self.x.place(f64::midpoint(one, other)).unwrap_or(0.0);
        let (top, height) = (frame.y(1.0), frame.y(0.0) - frame.y(1.0));
        for (n, &x) in places.iter().enumerate() {
            let from = frame.x(if n == 0 { 0.0 } else { middle(places[n - 1], x) });
            let to = frame.x(places.get(n + 1).map_or(1.0, |&next| middle(x, next)));
            write!(
                out,
                "<rect class=\"here\" x=\"{from:.1}\" y=\"{top:.1}\" width=\"{:.1}\" \
                 height=\"{height:.1}\"><title>{}</title></rect>",
                (to - from).max(0.0),
                escape(&self.values_at(x)),
            )?;
        }
        Ok(())
    }

    fn values_at(&self, x: f64) -> String {
        let mut text = self.x.name(x);
        for line in &self.lines {
            if let Some((_, y)) = line.points.iter().find(|(at, _)| *at == x) {
                text.push_str(&format!("\n{}: {}", line.name, self.y.unit.show(*y)));
            }
        }
        text
    }
}

/// About how wide a text is.
fn width(text: &str) -> f64 {
    text.chars().count() as f64 * LETTER
}

#[cfg(test)]
mod tests {
    use super::super::text::tests::well_formed;
    use super::*;
    use crate::load::units::Unit;

    fn plot(lines: Vec<Line>) -> Plot {
        let points = || lines.iter().flat_map(|line| &line.points);
        let x: Vec<f64> = points().map(|point| point.0).collect();
        let y: Vec<f64> = points().map(|point| point.1).collect();
        Plot {
            id: "delay",
            title: "Delay <over> \"time\" & more".into(),
            description: "</desc><script>".into(),
            x: Axis::along("time", Unit::Seconds, &x),
            y: Axis::from_zero("", Unit::Micros, &y),
            lines,
            limit: Some((500.0, "limit".into())),
        }
    }

    #[test]
    fn a_plot_is_well_formed_whatever_is_in_it() {
        let hostile = "</title></svg><script>alert(1)</script>";
        for points in [
            vec![],
            vec![(1.0, 5.0)],
            vec![(0.0, 0.0), (1.0, 0.0)],
            vec![(0.0, f64::NAN), (f64::NAN, 1.0), (f64::INFINITY, f64::NEG_INFINITY)],
            (0..500).map(|n| (f64::from(n), f64::from(n % 7) * 150.0)).collect(),
        ] {
            let svg = plot(vec![Line::new(hostile, 0, points.clone()), Line::new("b", 1, points)]);
            let svg = svg.svg();
            well_formed(&svg);
            assert!(!svg.contains("NaN") && !svg.contains("inf\""), "{svg}");
            assert!(!svg.contains("<script"), "{svg}");
        }
    }

    #[test]
    fn what_is_not_there_leaves_a_gap() {
        let points = vec![(0.0, 1.0), (1.0, 2.0), (2.0, f64::NAN), (3.0, 2.0), (4.0, 1.0)];
        let svg = plot(vec![Line::new("a", 0, points)]).svg();
        let path = svg.split(" d=\"").nth(1).and_then(|rest| rest.split('"').next());
        let path = path.expect("there is a path");
        assert_eq!((path.matches('M').count(), path.matches('L').count()), (2, 2), "{path}");
    }

    #[test]
    fn one_value_is_a_dot_and_none_is_said() {
        assert!(plot(vec![Line::new("a", 0, vec![(1.0, 5.0)])]).svg().contains("<circle"));
        assert!(plot(vec![Line::new("a", 0, vec![])]).svg().contains(">no data<"));
        let drawn = plot(vec![Line::new("a", 0, vec![(1.0, 5.0), (2.0, 5.0)])]).svg();
        assert!(!drawn.contains("<circle") && !drawn.contains("no data"));
    }

    #[test]
    fn the_pointer_finds_all_values_of_a_place() {
        let one = Line::new("p50", 0, vec![(1.0, 150.0), (2.0, 160.0)]);
        let other = Line::new("p99", 1, vec![(1.0, 900.0), (2.0, 1_900.0)]);
        let svg = plot(vec![one, other]).svg();
        assert!(svg.contains("time: 2.00 s\np50: 160 µs\np99: 1.90 ms"), "{svg}");
        assert_eq!(svg.matches("class=\"here\"").count(), 2);
    }

    #[test]
    fn a_long_legend_goes_on_in_the_next_line() {
        let names = ["phone to agent, p50", "phone to agent, p99", "agent to phone, p50", "p99"];
        let lines = names.map(|name| Line::new(name, 0, vec![])).to_vec();
        let (_, lines_taken) = plot(lines.clone()).legend(40.0);
        assert_eq!(lines_taken, 2.0);
        assert_eq!(plot(lines[..1].to_vec()).legend(40.0).1, 0.0);
    }
}
