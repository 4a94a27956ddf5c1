//! What the service measured during the call, read from its own metrics.

/// The lines to print.
pub(super) fn summary(metrics: &str) -> Vec<String> {
    let mut lines = Vec::new();
    for (direction, label) in
        [("phone_to_agent", "caller to agent"), ("agent_to_phone", "agent to caller")]
    {
        let name = "callspan_media_relay_seconds";
        let buckets = Buckets::read(metrics, name, &format!("direction=\"{direction}\","));
        lines.push(format!(
            "delay added by the bridge, {label}: p50 {} p99 {} ({} frames or bursts)",
            milliseconds(buckets.quantile(0.50)),
            milliseconds(buckets.quantile(0.99)),
            buckets.count()
        ));
    }
    for (name, label) in [
        ("callspan_agent_response_seconds", "the agent answers after the caller's last word"),
        ("callspan_interruption_to_silence_seconds", "interruption to silence"),
    ] {
        if let Some(mean) = mean(metrics, name) {
            lines.push(format!("{label}: {} on average", milliseconds(Some(mean))));
        }
    }
    lines
}

fn milliseconds(seconds: Option<f64>) -> String {
    seconds.map_or_else(|| "–".to_owned(), |seconds| format!("{:.2} ms", seconds * 1_000.0))
}

fn mean(metrics: &str, name: &str) -> Option<f64> {
    let value = |suffix: &str| {
        let line = metrics.lines().find_map(|line| line.strip_prefix(&format!("{name}{suffix} ")));
        line.and_then(|value| value.parse::<f64>().ok())
    };
    let (sum, count) = (value("_sum")?, value("_count")?);
    (count > 0.0).then(|| sum / count)
}

/// A histogram as Prometheus writes it: how many values were at most so large.
struct Buckets(Vec<(f64, f64)>);

impl Buckets {
    fn read(metrics: &str, name: &str, labels: &str) -> Self {
        let prefix = format!("{name}_bucket{{{labels}le=\"");
        let read = |line: &str| {
            let (bound, count) = line.strip_prefix(&prefix)?.split_once("\"} ")?;
            let bound = if bound == "+Inf" { f64::INFINITY } else { bound.parse().ok()? };
            Some((bound, count.parse().ok()?))
        };
        Buckets(metrics.lines().filter_map(read).collect())
    }

    fn count(&self) -> f64 {
        self.0.last().map_or(0.0, |(_, count)| *count)
    }

    /// Read off as Prometheus does: evenly spread within a bucket.
    fn quantile(&self, share: f64) -> Option<f64> {
        let rank = share * self.count();
        if rank == 0.0 {
            return None;
        }
        let mut below = (0.0, 0.0);
        for &(bound, count) in &self.0 {
            if count >= rank {
                if bound.is_infinite() {
                    return Some(below.0);
                }
                return Some(below.0 + (bound - below.0) * (rank - below.1) / (count - below.1));
            }
            below = (bound, count);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const METRICS: &str = "\
# TYPE callspan_media_relay_seconds histogram
callspan_media_relay_seconds_bucket{direction=\"phone_to_agent\",le=\"0.001\"} 50
callspan_media_relay_seconds_bucket{direction=\"phone_to_agent\",le=\"0.002\"} 100
callspan_media_relay_seconds_bucket{direction=\"phone_to_agent\",le=\"+Inf\"} 100
callspan_agent_response_seconds_sum 1.5
callspan_agent_response_seconds_count 3
";

    #[test]
    fn quantiles_are_read_off_the_buckets() {
        let buckets =
            Buckets::read(METRICS, "callspan_media_relay_seconds", "direction=\"phone_to_agent\",");
        assert_eq!(buckets.count(), 100.0);
        assert_eq!(buckets.quantile(0.5), Some(0.001));
        assert_eq!(buckets.quantile(0.75), Some(0.0015));
        let none = Buckets::read(METRICS, "callspan_media_relay_seconds", "direction=\"x\",");
        assert_eq!(none.quantile(0.5), None);
    }

    #[test]
    fn a_summary_says_only_what_was_measured() {
        let summary = summary(METRICS);
        assert_eq!(summary.len(), 3);
        assert!(summary[0].contains("p50 1.00 ms p99 1.98 ms"), "{}", summary[0]);
        assert!(summary[1].contains("p50 – p99 –"), "{}", summary[1]);
        assert!(summary[2].ends_with("500.00 ms on average"), "{}", summary[2]);
    }
}
