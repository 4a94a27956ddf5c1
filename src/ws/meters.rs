//! What a pump counts, kept per stream and added to the process's metrics now and then: an atomic
//! per frame and worker would be the most contended memory of the program.

use std::sync::Arc;
use std::time::{Duration, Instant};

use actors::bridge::{Counts, Notice};
use actors::call::Speaker;
use prometheus::IntCounter;
use prometheus::local::LocalHistogram;

use crate::metrics::Metrics;

/// How often a stream's figures reach the process's.
const FLUSH_EVERY: Duration = Duration::from_secs(1);

/// One stream's figures.
pub(super) struct Meters {
    metrics: Arc<Metrics>,
    to_agent: LocalHistogram,
    to_phone: LocalHistogram,
    frames_from_phone: IntCounter,
    frames_from_agent: IntCounter,
    flushed: Counts,
    flush_at: Instant,
}

impl Meters {
    pub(super) fn new(metrics: Arc<Metrics>, now: Instant) -> Self {
        metrics.streams_active.inc();
        Meters {
            to_agent: metrics.media_relay.with_label_values(&["phone_to_agent"]).local(),
            to_phone: metrics.media_relay.with_label_values(&["agent_to_phone"]).local(),
            frames_from_phone: metrics.media_frames.with_label_values(&["phone", "agent"]),
            frames_from_agent: metrics.media_frames.with_label_values(&["agent", "phone"]),
            flushed: Counts::default(),
            flush_at: now + FLUSH_EVERY,
            metrics,
        }
    }

    pub(super) fn relayed_to_agent(&self, after: Duration) {
        self.to_agent.observe(after.as_secs_f64());
    }

    pub(super) fn relayed_to_phone(&self, after: Duration) {
        self.to_phone.observe(after.as_secs_f64());
    }

    /// Counts what is worth a metric of its own.
    pub(super) fn notice(&self, notice: &Notice) {
        match notice {
            Notice::AgentResponded { after } => {
                self.metrics.agent_response.observe(after.as_secs_f64());
            }
            Notice::Silenced { after } => self.metrics.interruption.observe(after.as_secs_f64()),
            Notice::Ignored { from, why } => {
                let from = match from {
                    Speaker::Phone => "phone",
                    Speaker::Agent => "agent",
                };
                self.metrics.media_ignored.with_label_values(&[from, *why]).inc();
            }
            _ => {}
        }
    }

    /// Adds to the process's figures when it is time.
    pub(super) fn flush_if_due(&mut self, now: Instant, counts: Counts) {
        if now >= self.flush_at {
            self.flush_at = now + FLUSH_EVERY;
            self.flush(counts);
        }
    }

    /// Adds to the process's figures.
    pub(super) fn flush(&mut self, counts: Counts) {
        self.to_agent.flush();
        self.to_phone.flush();
        let (up, down) = (&counts.uplink, &counts.downlink);
        let (up_before, down_before) = (&self.flushed.uplink, &self.flushed.downlink);
        self.frames_from_phone.inc_by(up.frames_in - up_before.frames_in);
        self.frames_from_agent.inc_by(down.frames_in - down_before.frames_in);
        self.metrics.media_silence.inc_by(up.silence_frames - up_before.silence_frames);
        for (direction, reason, dropped) in [
            ("phone_to_agent", "slow_agent", up.dropped_slow - up_before.dropped_slow),
            ("phone_to_agent", "late", up.dropped_late - up_before.dropped_late),
            (
                "agent_to_phone",
                "interrupted",
                down.dropped_interrupted - down_before.dropped_interrupted,
            ),
        ] {
            if dropped > 0 {
                let dropped_total = &self.metrics.media_dropped;
                dropped_total.with_label_values(&[direction, reason]).inc_by(dropped);
            }
        }
        self.flushed = counts;
    }
}

impl Drop for Meters {
    fn drop(&mut self) {
        self.metrics.streams_active.dec();
    }
}
