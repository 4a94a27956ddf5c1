//! What happened in each second of a test.

use serde::{Deserialize, Serialize};

/// One second. Its numbers are of that second alone; levels are those at its end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Sample {
    /// Its end, from the beginning of the test.
    pub(crate) at_seconds: f64,
    /// Calls with both sockets open.
    pub(crate) calls_up: u64,
    /// Calls asked for.
    pub(crate) placed: u64,
    /// Requests for a call that were refused.
    pub(crate) failed: u64,
    /// Frames that arrived, both directions together.
    pub(crate) frames: u64,
    /// Processors kept busy by the service, and by the generator.
    pub(crate) service_cores: f64,
    pub(crate) generator_cores: f64,
    /// What the service holds.
    pub(crate) resident_bytes: u64,
    pub(crate) descriptors: u64,
    pub(crate) to_agent_p50_us: u64,
    pub(crate) to_agent_p99_us: u64,
    pub(crate) to_phone_p50_us: u64,
    pub(crate) to_phone_p99_us: u64,
    /// How late the phones' clocks were.
    pub(crate) lateness_p99_us: u64,
    /// Frames known to be missing, because a later one arrived.
    pub(crate) dropped: u64,
}

impl Sample {
    /// As one line for somebody who watches.
    pub(crate) fn line(&self) -> String {
        let ms = |micros: u64| micros as f64 / 1_000.0;
        let mut line = format!(
            "{:>4.0} s  {} calls  {} frames/s  ms to agent {:.2} / {:.2}  to phone {:.2} / {:.2}  \
             {:.2} cores  {} MiB  {} dropped",
            self.at_seconds,
            self.calls_up,
            self.frames,
            ms(self.to_agent_p50_us),
            ms(self.to_agent_p99_us),
            ms(self.to_phone_p50_us),
            ms(self.to_phone_p99_us),
            self.service_cores,
            self.resident_bytes >> 20,
            self.dropped,
        );
        if self.failed > 0 {
            line.push_str(&format!("  {} refused", self.failed));
        }
        line
    }
}

/// At most this many samples, each of several seconds if there are more: the longest delays of
/// them, their average rates, all that was placed, failed or dropped, and the levels at their end.
/// Also how many seconds each is.
pub(crate) fn thinned(samples: &[Sample], most: usize) -> (usize, Vec<Sample>) {
    let each = samples.len().div_ceil(most.max(1)).max(1);
    (each, samples.chunks(each).map(joined).collect())
}

fn joined(seconds: &[Sample]) -> Sample {
    let count = seconds.len() as f64;
    let total = |field: fn(&Sample) -> u64| seconds.iter().map(field).sum::<u64>();
    let most = |field: fn(&Sample) -> u64| seconds.iter().map(field).max().unwrap_or_default();
    let mean = |field: fn(&Sample) -> f64| seconds.iter().map(field).sum::<f64>() / count;
    Sample {
        placed: total(|s| s.placed),
        failed: total(|s| s.failed),
        frames: total(|s| s.frames) / seconds.len().max(1) as u64,
        dropped: total(|s| s.dropped),
        service_cores: mean(|s| s.service_cores),
        generator_cores: mean(|s| s.generator_cores),
        to_agent_p50_us: most(|s| s.to_agent_p50_us),
        to_agent_p99_us: most(|s| s.to_agent_p99_us),
        to_phone_p50_us: most(|s| s.to_phone_p50_us),
        to_phone_p99_us: most(|s| s.to_phone_p99_us),
        lateness_p99_us: most(|s| s.lateness_p99_us),
        ..seconds.last().copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_series_is_thinned_without_losing_what_matters() {
        let second = |n: u64| Sample {
            at_seconds: n as f64,
            calls_up: n,
            dropped: 1,
            frames: 10 * n,
            service_cores: n as f64,
            to_agent_p99_us: if n == 2 { 900 } else { 5 },
            ..Sample::default()
        };
        let samples: Vec<Sample> = (1..=5).map(second).collect();
        assert_eq!(thinned(&samples, 5), (1, samples.clone()));
        let (each, few) = thinned(&samples, 2);
        assert_eq!((each, few.len()), (3, 2));
        let first = few[0];
        assert_eq!((first.at_seconds, first.calls_up, first.dropped), (3.0, 3, 3));
        assert_eq!((first.frames, first.service_cores, first.to_agent_p99_us), (20, 2.0, 900));
        assert_eq!(thinned(&[], 9), (1, Vec::new()));
    }

    #[test]
    fn a_second_is_told_in_one_line() {
        let mut sample = Sample {
            at_seconds: 12.001,
            calls_up: 100,
            frames: 9_980,
            service_cores: 0.456,
            resident_bytes: 31 << 20,
            to_agent_p50_us: 310,
            to_agent_p99_us: 1_204,
            to_phone_p50_us: 290,
            to_phone_p99_us: 1_100,
            dropped: 3,
            ..Sample::default()
        };
        assert_eq!(
            sample.line(),
            "  12 s  100 calls  9980 frames/s  ms to agent 0.31 / 1.20  to phone 0.29 / 1.10  \
             0.46 cores  31 MiB  3 dropped"
        );
        sample.failed = 2;
        assert!(sample.line().ends_with("3 dropped  2 refused"));
    }
}
