//! What happened in each second of a test.

use serde::{Deserialize, Serialize};

/// One second. Its numbers are of that second alone; levels are those at its end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
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

#[cfg(test)]
mod tests {
    use super::*;

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
