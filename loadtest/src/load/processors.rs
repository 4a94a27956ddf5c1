//! Which processors the generator uses: not the service's, where there are others.

use std::io;
use std::sync::LazyLock;

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// Processors that this process had when it began.
static AT_FIRST: LazyLock<usize> =
    LazyLock::new(|| std::thread::available_parallelism().map_or(1, usize::from));

/// How many processors a test has, the service's among them.
pub(crate) fn count() -> usize {
    *AT_FIRST
}

/// Keeps this thread, and all that it begins, off the processors in a list such as `0-3,5`. Nothing
/// changes where that would leave none.
pub(crate) fn keep_off(list: &str) -> io::Result<()> {
    LazyLock::force(&AT_FIRST);
    let mut rest = sched_getaffinity(None)?;
    for processor in members(list) {
        rest.unset(processor);
    }
    match rest.count() {
        0 => Ok(()),
        _ => Ok(sched_setaffinity(None, &rest)?),
    }
}

/// The processors of a list as taskset takes it, of those that a system can have.
fn members(list: &str) -> impl Iterator<Item = usize> {
    let range = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let last: usize = last.parse().ok()?;
        Some(first.parse().ok()?..=last.min(CpuSet::MAX_CPU - 1))
    };
    list.split(',').filter_map(range).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_has_single_processors_and_ranges() {
        assert_eq!(members("0-2,5").collect::<Vec<_>>(), [0, 1, 2, 5]);
        assert_eq!(members("3").collect::<Vec<_>>(), [3]);
        let endless = format!("{}-{}", CpuSet::MAX_CPU - 2, usize::MAX);
        assert_eq!(members(&endless).count(), 2, "what no system has is left out");
    }

    #[test]
    fn a_thread_leaves_the_services_processors_but_never_all() {
        let before = sched_getaffinity(None).expect("allowed");
        let all = format!("0-{}", usize::MAX);
        keep_off(&all).expect("allowed");
        assert_eq!(sched_getaffinity(None).expect("allowed"), before, "some are needed");
        let first = (0..CpuSet::MAX_CPU).find(|&cpu| before.is_set(cpu)).expect("one");
        keep_off(&first.to_string()).expect("allowed");
        let after = sched_getaffinity(None).expect("allowed");
        assert_eq!(after.is_set(first), before.count() == 1);
        assert!(count() >= after.count() as usize);
        sched_setaffinity(None, &before).expect("allowed");
    }
}
