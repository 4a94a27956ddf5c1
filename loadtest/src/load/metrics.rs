//! Reads the service's own metrics, in Prometheus's text format.

/// A metric without labels; not a number when it is missing.
pub(crate) fn value_of(metrics: &str, name: &str) -> f64 {
    let value = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    value.and_then(|value| value.trim().parse().ok()).unwrap_or(f64::NAN)
}

/// The labels and values of a metric that are not zero.
pub(crate) fn labelled(metrics: &str, name: &str) -> Vec<(String, f64)> {
    let series = metrics.lines().filter_map(|line| {
        let (labels, value) = line.strip_prefix(name)?.strip_prefix('{')?.split_once("} ")?;
        let value: f64 = value.trim().parse().ok()?;
        (value != 0.0).then(|| (labels.to_owned(), value))
    });
    series.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_are_read_by_their_whole_name() {
        let metrics = "# HELP calls_active Calls.\ncalls_active_total 9\ncalls_active 3\n\
                       dropped{direction=\"a\",reason=\"late\"} 2\ndropped{direction=\"b\"} 0\n";
        assert_eq!(value_of(metrics, "calls_active"), 3.0);
        assert!(value_of(metrics, "calls").is_nan());
        let expected = [(r#"direction="a",reason="late""#.to_owned(), 2.0)];
        assert_eq!(labelled(metrics, "dropped"), expected);
    }
}
