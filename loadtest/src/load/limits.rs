//! The limit on open descriptors, which a thousand calls outgrow.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Descriptors of one call, here and in the service: two sockets, and one request on its way.
const PER_CALL: u64 = 3;
/// Everything else: database, logs, idle connections.
const BESIDES: u64 = 500;

/// There are not enough descriptors, and we may not have more.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{calls} calls need {needed} open files, but the limit is {limit}; raise it with \
     `ulimit -Hn {needed}` as root, or in the service manager, or ask for fewer calls"
)]
pub(crate) struct TooFewDescriptors {
    calls: u32,
    needed: u64,
    limit: u64,
}

/// What a test of so many calls needs. The service inherits our limit and needs as many.
fn needed(calls: u32) -> u64 {
    u64::from(calls) * PER_CALL + BESIDES
}

/// Raises this process's limit far enough, for itself and for the service.
pub(crate) fn make_room(calls: u32) -> Result<(), TooFewDescriptors> {
    let needed = needed(calls);
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    // None is no limit.
    if current.is_none_or(|current| current >= needed) {
        return Ok(());
    }
    let raised = Rlimit { current: Some(maximum.map_or(needed, |most| most.min(needed))), maximum };
    let outcome = setrlimit(Resource::Nofile, raised);
    let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    match outcome {
        Ok(()) if limit >= needed => Ok(()),
        _ => Err(TooFewDescriptors { calls, needed, limit }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_refusal_says_what_to_do() {
        let error = TooFewDescriptors { calls: 5_000, needed: needed(5_000), limit: 1_024 };
        assert_eq!(
            error.to_string(),
            "5000 calls need 15500 open files, but the limit is 1024; raise it with `ulimit -Hn \
             15500` as root, or in the service manager, or ask for fewer calls"
        );
    }

    #[test]
    fn a_few_calls_fit() {
        assert_eq!(make_room(10), Ok(()));
    }
}
