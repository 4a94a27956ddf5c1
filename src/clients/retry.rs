//! When a request may be sent again, and after how long.
//!
//! Plain functions: the waiting is done by `http`.

use std::time::Duration;

use actors::ports::VendorError;

/// How often a request is repeated at most. A caller waits meanwhile, so not for long.
const MOST_REPEATS: u32 = 2;

/// The longest `Retry-After` that is sat out here. Whoever asked can wait for longer ones with
/// nothing held open: the error tells them how long.
const LONGEST_WAIT: Duration = Duration::from_secs(2);

/// Twilio's code for too many requests at a time: "never processed", so that even a call may be
/// placed again.
const TWILIO_NEVER_PROCESSED: i64 = 20429;

/// The shortest wait before a call that Twilio never processed is placed again: it counts how many
/// it sees in a second.
const A_SECOND: Duration = Duration::from_secs(1);

/// What a second copy of a request would do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Repeat {
    /// Harm: it would dial twice or speak twice. Only what was certainly not carried out is sent
    /// again.
    Harmful,
    /// Little: a second agent is created, dials nobody, and expires unjoined. It holds a slot
    /// until then, so this is done only on a clear failure.
    Wasteful,
    /// Nothing.
    Idempotent,
}

/// How long to wait before request number `attempt + 2`, or `None` when `error` is the answer.
///
/// `attempt` counts the repeats so far; `jitter` is a random number from 0 to 1, so that many calls
/// that failed together do not come back together.
pub(super) fn delay(
    repeat: Repeat,
    error: &VendorError,
    attempt: u32,
    backoff: Duration,
    jitter: f64,
) -> Option<Duration> {
    if attempt >= allowed_repeats(repeat, error) {
        return None;
    }
    let backoff = backoff.saturating_mul(1 << attempt.min(8)).mul_f64(0.5 + jitter / 2.0);
    let is_seen = matches!(error, VendorError::Refused { .. });
    let least = if is_seen && repeat == Repeat::Harmful { A_SECOND } else { Duration::ZERO };
    match retry_after(error) {
        Some(asked) if asked > LONGEST_WAIT => None,
        Some(asked) => Some((asked + backoff).max(least)),
        None => Some(backoff.max(least)),
    }
}

fn allowed_repeats(repeat: Repeat, error: &VendorError) -> u32 {
    match (error, repeat) {
        (VendorError::Unreachable { .. }, _) => MOST_REPEATS,
        (VendorError::Refused { status: 429, code: Some(TWILIO_NEVER_PROCESSED), .. }, _) => {
            MOST_REPEATS
        }
        (VendorError::Refused { status: 429 | 500..=599, .. }, Repeat::Idempotent) => MOST_REPEATS,
        // Without a time to wait, a 429 is the account's cap on concurrent calls or its rate, and
        // asking again at once makes it worse.
        (VendorError::Refused { status: 429, retry_after: Some(_), .. }, Repeat::Wasteful) => 1,
        (VendorError::Refused { status: 500..=599, .. }, Repeat::Wasteful) => 1,
        // Each of these may have taken the whole time limit already.
        (VendorError::OutcomeUnknown { .. }, Repeat::Idempotent) => 1,
        _ => 0,
    }
}

fn retry_after(error: &VendorError) -> Option<Duration> {
    match error {
        VendorError::Refused { retry_after, .. } => *retry_after,
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use actors::ports::Vendor;

    use super::*;

    const BACKOFF: Duration = Duration::from_millis(200);

    fn refused(status: u16, code: Option<i64>, retry_after: Option<u64>) -> VendorError {
        VendorError::Refused {
            vendor: Vendor::Twilio,
            operation: "test",
            status,
            code,
            message: String::new(),
            retry_after: retry_after.map(Duration::from_secs),
        }
    }

    fn unreachable() -> VendorError {
        VendorError::Unreachable { vendor: Vendor::Twilio, operation: "test", cause: String::new() }
    }

    fn unknown() -> VendorError {
        VendorError::OutcomeUnknown {
            vendor: Vendor::Twilio,
            operation: "test",
            cause: String::new(),
        }
    }

    fn repeats(repeat: Repeat, error: &VendorError) -> usize {
        (0..10).take_while(|&n| delay(repeat, error, n, BACKOFF, 0.0).is_some()).count()
    }

    #[test]
    fn what_would_dial_twice_is_repeated_only_when_it_was_never_carried_out() {
        let cases = [
            (unreachable(), [2, 2, 2]),
            (unknown(), [0, 0, 1]),
            (refused(429, Some(20429), None), [2, 2, 2]),
            (refused(429, Some(10004), None), [0, 0, 2]),
            (refused(429, None, Some(1)), [0, 1, 2]),
            (refused(429, None, None), [0, 0, 2]),
            (refused(503, None, Some(1)), [0, 1, 2]),
            (refused(500, None, None), [0, 1, 2]),
            (refused(504, None, None), [0, 1, 2]),
            (refused(400, Some(21211), None), [0, 0, 0]),
            (refused(401, Some(20003), None), [0, 0, 0]),
            (refused(402, None, None), [0, 0, 0]),
        ];
        for (error, [harmful, wasteful, idempotent]) in cases {
            assert_eq!(repeats(Repeat::Harmful, &error), harmful, "{error}");
            assert_eq!(repeats(Repeat::Wasteful, &error), wasteful, "{error}");
            assert_eq!(repeats(Repeat::Idempotent, &error), idempotent, "{error}");
        }
    }

    #[test]
    fn a_vendor_is_never_asked_again_sooner_than_it_said() {
        for (asked, waited) in [(0, 100), (1, 1_100), (2, 2_100)] {
            let error = refused(429, Some(20429), Some(asked));
            let wait = delay(Repeat::Idempotent, &error, 0, BACKOFF, 0.0);
            assert_eq!(wait, Some(Duration::from_millis(waited)));
            let wait = delay(Repeat::Harmful, &error, 0, BACKOFF, 0.0);
            assert_eq!(wait, Some(Duration::from_millis(waited.max(1_000))), "a call a second");
        }
        let error = refused(503, None, Some(3));
        assert_eq!(delay(Repeat::Idempotent, &error, 0, BACKOFF, 0.0), None);
    }

    #[test]
    fn waits_double_and_vary() {
        let wait =
            |attempt, jitter| delay(Repeat::Harmful, &unreachable(), attempt, BACKOFF, jitter);
        assert_eq!(wait(0, 0.0), Some(Duration::from_millis(100)));
        assert_eq!(wait(0, 1.0), Some(Duration::from_millis(200)));
        assert_eq!(wait(1, 1.0), Some(Duration::from_millis(400)));
    }
}
