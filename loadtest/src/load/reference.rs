//! What something else costs, measured before and after the service in the same run: a machine that
//! becomes slower or faster meanwhile then is so for both.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use super::figures::Percentiles;
use super::report::{Cpu, Report};

/// What the service was compared with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Against {
    /// A proxy that merely moves the bytes; over plain TCP, with --tls too.
    #[default]
    Haproxy,
    /// The same service without TLS; only with --tls.
    Plain,
}

/// The same frames by other means, on the same machine.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Reference {
    pub(crate) against: Against,
    /// Such as `HAProxy 2.6.12`.
    pub(crate) name: String,
    pub(crate) connections: u64,
    pub(crate) seconds: f64,
    pub(crate) frames_relayed: u64,
    pub(crate) cpu: Cpu,
    /// Through the proxy and back; the service without TLS tells its directions apart.
    pub(crate) delay_round_trip: Percentiles,
    pub(crate) memory_bytes_per_call: f64,
    /// What a frame costs the service, over what it costs here.
    pub(crate) ratio: f64,
}

impl Reference {
    /// What a frame cost here, in words that follow a number.
    pub(crate) fn in_words(&self) -> String {
        match self.against {
            Against::Haproxy => format!("times what {} needs to merely move its bytes", self.name),
            Against::Plain => "times what it costs without TLS".to_owned(),
        }
    }
}

/// Both sides as one, over what a frame cost the service. The delay and the memory are those of the
/// second side.
pub(crate) fn combine(
    against: Against,
    before: &Report,
    after: &Report,
    service: &Cpu,
) -> Reference {
    let frames = before.frames_relayed + after.frames_relayed;
    let seconds = before.seconds + after.seconds;
    let both = |time: fn(&Cpu) -> f64| time(&before.service_cpu) + time(&after.service_cpu);
    let cpu =
        Cpu::new(both(|cpu| cpu.user_seconds), both(|cpu| cpu.system_seconds), frames, seconds);
    let ratio = if cpu.us_per_frame > 0.0 { service.us_per_frame / cpu.us_per_frame } else { 0.0 };
    let (name, delay_round_trip) = match against {
        Against::Haproxy => (after.scenario.clone(), after.delay_agent_to_phone),
        Against::Plain => ("plain TCP".to_owned(), Percentiles::default()),
    };
    Reference {
        against,
        name,
        connections: before.calls.min(after.calls),
        seconds,
        frames_relayed: frames,
        cpu,
        delay_round_trip,
        memory_bytes_per_call: after.memory_bytes.per_call,
        ratio,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_sides_count_by_their_frames() {
        let side = |seconds, frames, user| Report {
            scenario: "x".into(),
            calls: 10,
            seconds,
            frames_relayed: frames,
            service_cpu: Cpu::new(user, 0.0, frames, seconds),
            ..Report::default()
        };
        let service = Cpu::new(0.3, 0.0, 10_000, 1.0);
        let (before, after) = (side(1.0, 4_000, 0.04), side(1.0, 6_000, 0.16));
        let both = combine(Against::Haproxy, &before, &after, &service);
        assert_eq!((both.frames_relayed, both.seconds, both.connections), (10_000, 2.0, 10));
        assert!((both.cpu.us_per_frame - 20.0).abs() < 1e-9, "{both:?}");
        assert!((both.ratio - 1.5).abs() < 1e-9, "{both:?}");
        assert_eq!(both.in_words(), "times what x needs to merely move its bytes");
        let none = combine(Against::Plain, &Report::default(), &Report::default(), &service);
        assert_eq!((none.ratio, none.name.as_str()), (0.0, "plain TCP"));
    }
}
