//! Whether the generator stood in the way of what it measured: a plain decision, in sentences.

use super::probe::TRUSTED_LATENESS;
use super::proc::CpuTime;

/// A thread this busy has no time to be punctual.
const BUSY_THREAD: f64 = 0.85;
/// Of a machine this busy, every process waits for the others.
const BUSY_MACHINE: f64 = 0.9;
/// Of requests for calls, the latest percent may be sent this late: a few turns of the timer.
const SENT_LATE_US: u64 = 10_000;

/// What there is to judge by, of the measured time.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Load {
    pub(crate) lateness_p99_us: u64,
    /// Requests for calls: how late they were sent.
    pub(crate) sent_late_p99_us: u64,
    /// The generator's busiest thread, and the processors it kept busy.
    pub(crate) busiest: Option<(String, f64)>,
    pub(crate) generator_cores: f64,
    /// None when the service is on another machine.
    pub(crate) service_cores: Option<f64>,
    pub(crate) machine_cpus: usize,
}

/// Every way in which the generator was the bottleneck. None: the figures are the service's.
pub(crate) fn warnings(load: &Load) -> Vec<String> {
    let mut warnings = Vec::new();
    let cpus = load.machine_cpus as f64;
    if u128::from(load.lateness_p99_us) > TRUSTED_LATENESS.as_micros() {
        warnings.push(format!(
            "The generator's 20 ms clock was late by {:.1} ms at its 99th percentile, so delays \
             and lost frames may be its own doing.",
            ms(load.lateness_p99_us)
        ));
    }
    if load.sent_late_p99_us > SENT_LATE_US {
        warnings.push(format!(
            "The generator sent requests for calls up to {:.0} ms after they were due (99th \
             percentile), so part of their times is its own.",
            ms(load.sent_late_p99_us)
        ));
    }
    if let Some((name, cores)) = load.busiest.as_ref().filter(|(_, cores)| *cores >= BUSY_THREAD) {
        warnings.push(format!(
            "The generator's thread {name} was busy {:.0}% of the time: more calls need another \
             generator, or a faster processor.",
            100.0 * cores
        ));
    } else if load.generator_cores >= BUSY_MACHINE * cpus {
        warnings.push(format!(
            "The generator kept {:.1} of {cpus} processors busy.",
            load.generator_cores
        ));
    }
    if let Some(service) = load.service_cores
        && service + load.generator_cores >= BUSY_MACHINE * cpus
    {
        warnings.push(format!(
            "The service ({service:.2}) and the generator ({:.2}) together kept {:.2} of {cpus} \
             processors busy, so each waited for the other; give the generator a machine of its \
             own.",
            load.generator_cores,
            service + load.generator_cores,
        ));
    }
    warnings
}

fn ms(micros: u64) -> f64 {
    micros as f64 / 1_000.0
}

/// The thread that used most processor time between two looks, and the processors it kept busy.
/// Threads of one name that are listed in another order are no worse than a guess.
pub(crate) fn busiest(
    before: &[(String, CpuTime)],
    after: &[(String, CpuTime)],
    seconds: f64,
) -> Option<(String, f64)> {
    let used = after.iter().enumerate().map(|(n, (name, cpu))| {
        // Threads keep their order in /proc; those that began since have used all they have.
        let earlier = before.get(n).filter(|(known, _)| known == name).map(|(_, cpu)| *cpu);
        (name, cpu.since(earlier.unwrap_or_default()).total().as_secs_f64())
    });
    let (name, used) = used.max_by(|(_, one), (_, other)| one.total_cmp(other))?;
    (seconds > 0.0).then(|| (name.clone(), used / seconds))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn fine() -> Load {
        Load {
            lateness_p99_us: 5_000,
            sent_late_p99_us: 2_000,
            busiest: Some(("sim-twilio".into(), 0.5)),
            generator_cores: 0.8,
            service_cores: Some(0.9),
            machine_cpus: 2,
        }
    }

    #[test]
    fn an_easy_generator_is_not_spoken_of() {
        assert_eq!(warnings(&fine()), Vec::<String>::new());
    }

    #[test]
    fn each_bottleneck_is_one_sentence() {
        let first = |load: Load| warnings(&load).join("|");
        let late = first(Load { lateness_p99_us: 5_100, ..fine() });
        assert!(late.starts_with("The generator's 20 ms clock was late by 5.1 ms"), "{late}");
        let sent = first(Load { sent_late_p99_us: 25_000, ..fine() });
        assert!(sent.contains("25 ms after they were due"), "{sent}");
        let busy = first(Load { busiest: Some(("sim-twilio".into(), 0.93)), ..fine() });
        assert!(busy.starts_with("The generator's thread sim-twilio was busy 93%"), "{busy}");
        let shared = first(Load { service_cores: Some(1.1), ..fine() });
        assert!(shared.contains("together kept 1.90 of 2 processors busy"), "{shared}");
        let elsewhere = Load { service_cores: None, generator_cores: 1.9, ..fine() };
        assert_eq!(first(elsewhere), "The generator kept 1.9 of 2 processors busy.");
    }

    #[test]
    fn the_busiest_thread_is_the_one_that_used_most_since() {
        let thread = |name: &str, ms| {
            let user = Duration::from_millis(ms);
            (name.to_owned(), CpuTime { user, system: Duration::ZERO })
        };
        let before = [thread("main", 900), thread("sim", 100)];
        let after = [thread("main", 1_000), thread("sim", 600), thread("new", 50)];
        assert_eq!(busiest(&before, &after, 1.0), Some(("sim".into(), 0.5)));
        assert_eq!(busiest(&[], &[], 1.0), None);
    }
}
