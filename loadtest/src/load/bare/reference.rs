//! The cost of merely moving the bytes, measured before and after the service: a machine that becomes
//! slower or faster meanwhile then is so for both.

use std::time::Duration;

use super::{BareError, Setup, Target, haproxy, measure};
use crate::load::report::{Cpu, Reference, Report};

/// A measurement on one side of the service's.
pub(crate) type Side = Report;

/// Measures HAProxy for half the time that the service is measured.
pub(crate) async fn side(
    calls: u32,
    service_time: Duration,
    cpus: Option<&str>,
) -> Result<Side, BareError> {
    let setup = Setup { calls, time: service_time / 2, cpus: cpus.map(str::to_owned) };
    measure(&Target::Haproxy, &setup).await
}

/// Both sides as one, over what a frame cost the service. The delay is that of the second side.
pub(crate) fn combine(before: &Side, after: &Side, service: &Cpu) -> Result<Reference, BareError> {
    Ok(reference(haproxy::name()?, before, after, service))
}

fn reference(name: String, before: &Side, after: &Side, service: &Cpu) -> Reference {
    let frames = before.frames_relayed + after.frames_relayed;
    let seconds = before.seconds + after.seconds;
    let both = |time: fn(&Cpu) -> f64| time(&before.service_cpu) + time(&after.service_cpu);
    let cpu =
        Cpu::new(both(|cpu| cpu.user_seconds), both(|cpu| cpu.system_seconds), frames, seconds);
    let ratio = if cpu.us_per_frame > 0.0 { service.us_per_frame / cpu.us_per_frame } else { 0.0 };
    Reference {
        name,
        connections: before.calls.min(after.calls),
        seconds,
        frames_relayed: frames,
        cpu,
        delay_round_trip: after.delay_agent_to_phone,
        ratio,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_sides_count_by_their_frames() {
        let side = |seconds, frames, user| Side {
            calls: 10,
            seconds,
            frames_relayed: frames,
            service_cpu: Cpu::new(user, 0.0, frames, seconds),
            ..Side::default()
        };
        let service = Cpu::new(0.3, 0.0, 10_000, 1.0);
        let both =
            reference("x".into(), &side(1.0, 4_000, 0.04), &side(1.0, 6_000, 0.16), &service);
        assert_eq!((both.frames_relayed, both.seconds, both.connections), (10_000, 2.0, 10));
        assert!((both.cpu.us_per_frame - 20.0).abs() < 1e-9, "{both:?}");
        assert!((both.ratio - 1.5).abs() < 1e-9, "{both:?}");
        let none = reference("x".into(), &Side::default(), &Side::default(), &service);
        assert_eq!(none.ratio, 0.0);
    }
}
