//! How often one key, or one stranger's address, may ask.
//!
//! Three limits, each of which can be off: so many in a minute, so many in an hour, counted in
//! windows that begin with the first request, and so many at once. A request that is turned away
//! counts for none of them, so that a client that waits as told gets through.

use std::collections::HashMap;
use std::hash::Hash;
use std::num::NonZeroU32;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};
use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota};
use jiff::Timestamp;

use crate::config::RateLimits;

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);
/// When so many are remembered, those whose windows are over are forgotten for the first time.
const SWEEP_AT: usize = 4_096;

/// What the headers say of the window that is closest to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Standing {
    limit: u64,
    remaining: u64,
    /// When the window is over.
    resets_in: Duration,
}

impl Standing {
    /// Writes the three headers; the reset is in seconds since 1970.
    pub(crate) fn write(&self, headers: &mut HeaderMap, now: Timestamp) {
        let resets_ms = i64::try_from(self.resets_in.as_millis()).unwrap_or(i64::MAX);
        let reset = now.as_millisecond().saturating_add(resets_ms).div_euclid(1_000) + 1;
        let mut put = |name, value: String| {
            let value = HeaderValue::from_str(&value).expect("digits");
            headers.insert(HeaderName::from_static(name), value);
        };
        put("x-ratelimit-limit", self.limit.to_string());
        put("x-ratelimit-remaining", self.remaining.to_string());
        put("x-ratelimit-reset", reset.to_string());
    }
}

/// One limit is used up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Exceeded {
    /// Which, in words.
    pub(crate) which: String,
    /// When to come again.
    pub(crate) retry_after: Duration,
}

/// Whether a request may pass, and how things stand after it; `None` when no limit has a window.
pub(crate) struct Verdict {
    pub(crate) standing: Option<Standing>,
    pub(crate) exceeded: Option<Exceeded>,
}

/// Counts the requests of everybody of one kind.
pub(crate) struct Limiter<K: Hash + Eq + Clone> {
    per_minute: u64,
    per_hour: u64,
    burst: Option<(NonZeroU32, DefaultKeyedRateLimiter<K>)>,
    windows: Mutex<Windows<K>>,
}

/// The current minute and hour of everybody who has asked lately.
struct Windows<K> {
    of: HashMap<K, [Window; 2]>,
    sweep_at: usize,
}

#[derive(Clone, Copy)]
struct Window {
    began: Instant,
    count: u64,
}

impl Window {
    /// The window at this time: this one, or a new one when it is over.
    fn at(self, now: Instant, length: Duration) -> Window {
        let is_over = now.saturating_duration_since(self.began) >= length;
        if is_over { Window { began: now, count: 0 } } else { self }
    }

    fn left(&self, now: Instant, length: Duration) -> Duration {
        length.saturating_sub(now.saturating_duration_since(self.began))
    }
}

impl<K: Hash + Eq + Clone> Limiter<K> {
    pub(crate) fn new(limits: &RateLimits) -> Self {
        let burst = NonZeroU32::new(u32::try_from(limits.burst).unwrap_or(u32::MAX));
        let keyed = |burst| {
            let quota = Quota::per_second(burst).allow_burst(burst);
            (burst, DefaultKeyedRateLimiter::dashmap(quota))
        };
        Limiter {
            per_minute: limits.per_minute,
            per_hour: limits.per_hour,
            burst: burst.map(keyed),
            windows: Mutex::new(Windows { of: HashMap::new(), sweep_at: SWEEP_AT }),
        }
    }

    /// Counts a request, if it may pass.
    pub(crate) fn check(&self, who: &K, now: Instant) -> Verdict {
        let lengths = [(self.per_minute, MINUTE, "minute"), (self.per_hour, HOUR, "hour")];
        let mut all = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        if all.of.len() >= all.sweep_at {
            all.of.retain(|_, [_, hour]| now.saturating_duration_since(hour.began) < HOUR);
            // Not again until there are twice as many, so that a flood of strangers costs little.
            all.sweep_at = SWEEP_AT.max(all.of.len() * 2);
            if let Some((_, limiter)) = &self.burst {
                limiter.retain_recent();
            }
        }
        let fresh = Window { began: now, count: 0 };
        let windows = all.of.entry(who.clone()).or_insert([fresh; 2]);
        for (window, (_, length, _)) in windows.iter_mut().zip(lengths) {
            *window = window.at(now, length);
        }
        let full = windows.iter().zip(lengths).find_map(|(window, (limit, length, name))| {
            (limit > 0 && window.count >= limit).then(|| Exceeded {
                which: format!("{limit} requests a {name}"),
                retry_after: window.left(now, length),
            })
        });
        let exceeded = full.or_else(|| self.burst_exceeded(who));
        if exceeded.is_none() {
            windows.iter_mut().for_each(|window| window.count += 1);
        }
        let standings = windows.iter().zip(lengths).filter(|(_, (limit, ..))| *limit > 0).map(
            |(window, (limit, length, _))| Standing {
                limit,
                remaining: limit.saturating_sub(window.count),
                resets_in: window.left(now, length),
            },
        );
        Verdict { standing: standings.min_by_key(|standing| standing.remaining), exceeded }
    }

    fn burst_exceeded(&self, who: &K) -> Option<Exceeded> {
        let (burst, limiter) = self.burst.as_ref()?;
        let early = limiter.check_key(who).err()?;
        Some(Exceeded {
            which: format!("{burst} requests at once"),
            retry_after: early.wait_time_from(DefaultClock::default().now()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limiter(per_minute: u64, per_hour: u64, burst: u64) -> Limiter<&'static str> {
        Limiter::new(&RateLimits { per_minute, per_hour, burst })
    }

    fn remaining(verdict: &Verdict) -> u64 {
        verdict.standing.expect("a window").remaining
    }

    #[test]
    fn a_minute_has_its_number_and_then_begins_anew() {
        let (limiter, start) = (limiter(3, 0, 0), Instant::now());
        for left in [2, 1, 0] {
            let verdict = limiter.check(&"key", start);
            assert_eq!((remaining(&verdict), verdict.exceeded), (left, None));
        }
        let late = start + Duration::from_secs(45);
        let verdict = limiter.check(&"key", late);
        assert_eq!(remaining(&verdict), 0);
        let exceeded = verdict.exceeded.expect("too many");
        assert_eq!(exceeded.retry_after, Duration::from_secs(15));
        assert_eq!(exceeded.which, "3 requests a minute");
        assert!(limiter.check(&"other", late).exceeded.is_none(), "each key has its own");
        let next = limiter.check(&"key", start + MINUTE);
        assert_eq!((remaining(&next), next.exceeded), (2, None));
    }

    #[test]
    fn an_hour_counts_through_its_minutes() {
        let (limiter, start) = (limiter(2, 3, 0), Instant::now());
        for minute in [0, 0, 1] {
            assert!(limiter.check(&"key", start + MINUTE * minute).exceeded.is_none());
        }
        let verdict = limiter.check(&"key", start + MINUTE * 2);
        let standing = verdict.standing.expect("a window");
        assert_eq!((standing.limit, standing.remaining), (3, 0), "the hour is what is used up");
        let exceeded = verdict.exceeded.expect("too many");
        assert_eq!(exceeded.retry_after, HOUR - MINUTE * 2);
        assert!(limiter.check(&"key", start + HOUR).exceeded.is_none());
    }

    #[test]
    fn no_more_than_a_burst_at_once() {
        let (limiter, now) = (limiter(60, 0, 2), Instant::now());
        let passed = (0..2).filter(|_| limiter.check(&"key", now).exceeded.is_none());
        assert_eq!(passed.count(), 2);
        let verdict = limiter.check(&"key", now);
        let exceeded = verdict.exceeded.as_ref().expect("too many at once");
        assert_eq!(exceeded.which, "2 requests at once");
        assert!(exceeded.retry_after <= Duration::from_millis(500), "{exceeded:?}");
        assert_eq!(remaining(&verdict), 58, "what was turned away does not count");
    }

    #[test]
    fn a_limit_of_nought_is_off() {
        let (limiter, now) = (limiter(0, 0, 0), Instant::now());
        for _ in 0..5_000 {
            let verdict = limiter.check(&"key", now);
            assert!(verdict.exceeded.is_none() && verdict.standing.is_none());
        }
    }

    #[test]
    fn strangers_are_forgotten_when_their_windows_are_over() {
        let limiter = Limiter::new(&RateLimits { per_minute: 5, per_hour: 5, burst: 0 });
        let start = Instant::now();
        for stranger in 0..SWEEP_AT {
            limiter.check(&stranger, start);
        }
        limiter.check(&0, start + HOUR);
        assert_eq!(limiter.windows.lock().expect("not poisoned").of.len(), 1);
    }

    #[test]
    fn headers_say_when_the_window_is_over() {
        let standing =
            Standing { limit: 60, remaining: 59, resets_in: Duration::from_millis(1_500) };
        let mut headers = HeaderMap::new();
        standing.write(&mut headers, Timestamp::from_second(1_000).expect("in range"));
        assert_eq!(headers.get("x-ratelimit-limit").expect("set"), "60");
        assert_eq!(headers.get("x-ratelimit-remaining").expect("set"), "59");
        assert_eq!(headers.get("x-ratelimit-reset").expect("set"), "1002");
    }
}
