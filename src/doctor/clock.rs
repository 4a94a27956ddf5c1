//! Whether this machine's clock is right, judged by those of others.

use jiff::SignedDuration;

use super::finding::Finding;

const CHECK: &str = "clock";
/// Dates of HTTP are cut to the second, and answers take a while to arrive.
const TOLERANCE: SignedDuration = SignedDuration::from_secs(5);
/// Beyond this, times in logs and timelines mislead, and calls are judged too old or too young.
const LIMIT: SignedDuration = SignedDuration::from_secs(60);

/// Somebody's clock.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    /// Whose.
    pub(super) of: &'static str,
    /// How far it is ahead of ours; negative when it is behind.
    pub(super) ahead: SignedDuration,
}

/// The clock that differs most decides.
pub(super) fn judge(clocks: &[Clock]) -> Finding {
    let Some(worst) = clocks.iter().max_by_key(|clock| clock.ahead.abs()) else {
        let advice = "look at the other findings first";
        return Finding::warning(CHECK, "nobody answered with a date to compare it with", advice);
    };
    let off = worst.ahead.abs();
    if off <= TOLERANCE {
        let others: Vec<&str> = clocks.iter().map(|clock| clock.of).collect();
        return Finding::ok(CHECK, format!("as that of {}", others.join(", ")));
    }
    let direction = if worst.ahead.is_negative() { "ahead of" } else { "behind" };
    let detail = format!("{} s {direction} that of {}", off.as_secs(), worst.of);
    let advice = "let a time service (chrony, systemd-timesyncd) set this machine's clock";
    match off > LIMIT {
        true => Finding::failed(CHECK, detail, advice),
        false => Finding::warning(CHECK, detail, advice),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;

    fn judged(ahead: &[i64]) -> Finding {
        let clocks: Vec<Clock> = ahead
            .iter()
            .map(|seconds| Clock { of: "Twilio", ahead: SignedDuration::from_secs(*seconds) })
            .collect();
        judge(&clocks)
    }

    #[test]
    fn the_worst_clock_decides() {
        for (ahead, verdict) in [
            (&[0, 5, -5][..], Verdict::Ok),
            (&[0, 6], Verdict::Warning),
            (&[-6, 0], Verdict::Warning),
            (&[60], Verdict::Warning),
            (&[61, 0], Verdict::Failed),
            (&[-61], Verdict::Failed),
            (&[], Verdict::Warning),
        ] {
            assert_eq!(judged(ahead).verdict, verdict, "{ahead:?}");
        }
    }

    #[test]
    fn it_is_said_whose_clock_is_behind() {
        assert_eq!(judged(&[90]).detail, "90 s behind that of Twilio");
        assert_eq!(judged(&[-90]).detail, "90 s ahead of that of Twilio");
    }
}
