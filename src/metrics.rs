//! Every metric we export, with its help text. No label ever holds an id or a number.

use std::time::Duration;

use actors::call::{CallStatus, Direction};
use actors::campaign::RecipientState;
use actors::ports::{CallObserver, Vendor};
use prometheus::{
    Encoder as _, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge,
    Opts, Registry, TextEncoder,
};

use crate::clients::RequestObserver;

/// From 50 µs, what relaying a frame should take, to a second.
const RELAY_BUCKETS: [f64; 12] =
    [0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.1, 0.25, 1.0];
/// From a fast local answer to a vendor's time limit.
const REQUEST_BUCKETS: [f64; 12] =
    [0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];
/// What a person on the phone notices: 100 ms is instant, 2 s is painful.
const CONVERSATION_BUCKETS: [f64; 10] = [0.02, 0.05, 0.1, 0.25, 0.5, 0.75, 1.0, 1.5, 2.5, 5.0];
/// From a wrong number to an hour.
const CALL_BUCKETS: [f64; 10] = [1.0, 5.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1_800.0, 3_600.0];

/// All metrics of this process.
pub struct Metrics {
    registry: Registry,
    calls_active: IntGauge,
    /// Campaigns that have an actor here.
    pub campaigns_active: IntGauge,
    campaign_calls: IntCounterVec,
    calls_total: IntCounterVec,
    call_duration: Histogram,
    first_audio: Histogram,
    vendor_requests: IntCounterVec,
    vendor_seconds: HistogramVec,
    http_requests: IntCounterVec,
    http_seconds: HistogramVec,
    /// Streams whose two sockets are open right now.
    pub streams_active: IntGauge,
    /// Frames of 20 ms relayed, by where they came from and went.
    pub media_frames: IntCounterVec,
    /// Frames that were not delivered, by direction and reason.
    pub media_dropped: IntCounterVec,
    /// Frames of silence put in for frames the phone did not send.
    pub media_silence: IntCounter,
    /// Messages on a media socket that were ignored, by peer and reason.
    pub media_ignored: IntCounterVec,
    /// Frame in to frame out.
    pub media_relay: HistogramVec,
    /// The caller falls silent to the agent is heard.
    pub agent_response: Histogram,
    /// The agent asks for silence to Twilio confirms it.
    pub interruption: Histogram,
    /// Webhooks and upgrades that were turned away.
    pub webhooks_rejected: IntCounterVec,
    /// State not written to the database yet.
    pub journal_backlog: IntGauge,
}

impl Metrics {
    /// Registers everything, the process's own figures included.
    pub fn new() -> Self {
        let registry = Registry::new();
        let metrics = Metrics {
            calls_active: gauge(&registry, "calls_active", "Calls that are live on this node."),
            calls_total: counters(
                &registry,
                "calls_total",
                "Calls that have ended, by outcome.",
                &["direction", "outcome"],
            ),
            call_duration: histogram(
                &registry,
                "call_duration_seconds",
                "From answer to end of calls that were answered.",
                &CALL_BUCKETS,
            ),
            first_audio: histogram(
                &registry,
                "answer_to_first_audio_seconds",
                "From the answer to the first audio of the agent.",
                &CONVERSATION_BUCKETS,
            ),
            campaigns_active: gauge(
                &registry,
                "campaigns_active",
                "Campaigns that place calls on this node.",
            ),
            campaign_calls: counters(
                &registry,
                "campaign_calls_total",
                "Recipients of campaigns that are done with, by outcome.",
                &["outcome"],
            ),
            vendor_requests: counters(
                &registry,
                "vendor_requests_total",
                "Requests to Twilio and Ultravox, by operation and HTTP status or failure.",
                &["vendor", "operation", "status"],
            ),
            vendor_seconds: histograms(
                &registry,
                "vendor_request_seconds",
                "Time until a vendor answered.",
                &["vendor", "operation"],
                &REQUEST_BUCKETS,
            ),
            http_requests: counters(
                &registry,
                "http_requests_total",
                "Requests served, by route, method and status.",
                &["route", "method", "status"],
            ),
            http_seconds: histograms(
                &registry,
                "http_request_seconds",
                "Time until a request was answered.",
                &["route", "method"],
                &REQUEST_BUCKETS,
            ),
            streams_active: gauge(
                &registry,
                "media_streams_active",
                "Media streams that are open right now.",
            ),
            media_frames: counters(
                &registry,
                "media_frames_total",
                "Frames of 20 ms that came in, by where they came from and are going.",
                &["from", "to"],
            ),
            media_dropped: counters(
                &registry,
                "media_dropped_frames_total",
                "Frames that were not delivered.",
                &["direction", "reason"],
            ),
            media_silence: counter(
                &registry,
                "media_silence_frames_total",
                "Frames of silence put in for frames the phone did not send.",
            ),
            media_ignored: counters(
                &registry,
                "media_ignored_messages_total",
                "Messages on a media socket that were ignored.",
                &["from", "reason"],
            ),
            media_relay: histograms(
                &registry,
                "media_relay_seconds",
                "From reading a frame on one socket to handing it to the other.",
                &["direction"],
                &RELAY_BUCKETS,
            ),
            agent_response: histogram(
                &registry,
                "agent_response_seconds",
                "From the caller's last loud frame to the agent's first.",
                &CONVERSATION_BUCKETS,
            ),
            interruption: histogram(
                &registry,
                "interruption_to_silence_seconds",
                "From the agent's wish for silence to Twilio's confirmation.",
                &CONVERSATION_BUCKETS,
            ),
            webhooks_rejected: counters(
                &registry,
                "webhooks_rejected_total",
                "Webhooks and media sockets that were turned away.",
                &["reason"],
            ),
            journal_backlog: gauge(
                &registry,
                "journal_backlog",
                "Changes of calls that are not written to the database yet.",
            ),
            registry,
        };
        metrics.register_build_info();
        #[cfg(target_os = "linux")]
        register(&metrics.registry, prometheus::process_collector::ProcessCollector::for_self());
        metrics
    }

    fn register_build_info(&self) {
        let labels = Opts::new("callspan_build_info", "The version that runs; always 1.")
            .const_label("version", env!("CARGO_PKG_VERSION"));
        let info = IntGauge::with_opts(labels).expect("the name is valid");
        info.set(1);
        register(&self.registry, info);
    }

    /// A recipient of a campaign is done with.
    pub fn campaign_call(&self, outcome: RecipientState) {
        self.campaign_calls.with_label_values(&[outcome.as_str()]).inc();
    }

    /// Everything in Prometheus's text format.
    pub fn render(&self) -> Vec<u8> {
        let mut text = Vec::new();
        TextEncoder::new()
            .encode(&self.registry.gather(), &mut text)
            .expect("writing to memory does not fail");
        text
    }

    /// Counts an answered HTTP request.
    pub fn http_request(&self, route: &str, method: &str, status: u16, elapsed: Duration) {
        let status = status.to_string();
        self.http_requests.with_label_values(&[route, method, &status]).inc();
        self.http_seconds.with_label_values(&[route, method]).observe(elapsed.as_secs_f64());
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Metrics::new()
    }
}

impl CallObserver for Metrics {
    fn started(&self) {
        self.calls_active.inc();
    }

    fn ended(&self, direction: Direction, status: CallStatus, duration: Option<Duration>) {
        self.calls_active.dec();
        self.calls_total.with_label_values(&[direction.as_str(), status.as_str()]).inc();
        if let Some(duration) = duration {
            self.call_duration.observe(duration.as_secs_f64());
        }
    }

    fn first_audio(&self, after_answer: Duration) {
        self.first_audio.observe(after_answer.as_secs_f64());
    }
}

impl RequestObserver for Metrics {
    fn request(&self, vendor: Vendor, operation: &'static str, status: &str, elapsed: Duration) {
        let vendor = vendor.label();
        self.vendor_requests.with_label_values(&[vendor, operation, status]).inc();
        self.vendor_seconds.with_label_values(&[vendor, operation]).observe(elapsed.as_secs_f64());
    }
}

fn register(registry: &Registry, metric: impl prometheus::core::Collector + 'static) {
    registry.register(Box::new(metric)).expect("every metric is registered once");
}

fn opts(name: &str, help: &str) -> Opts {
    Opts::new(format!("callspan_{name}"), help)
}

fn gauge(registry: &Registry, name: &str, help: &str) -> IntGauge {
    let gauge = IntGauge::with_opts(opts(name, help)).expect("the name is valid");
    register(registry, gauge.clone());
    gauge
}

fn counter(registry: &Registry, name: &str, help: &str) -> IntCounter {
    let counter = IntCounter::with_opts(opts(name, help)).expect("the name is valid");
    register(registry, counter.clone());
    counter
}

fn counters(registry: &Registry, name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
    let counters = IntCounterVec::new(opts(name, help), labels).expect("the names are valid");
    register(registry, counters.clone());
    counters
}

fn histogram(registry: &Registry, name: &str, help: &str, buckets: &[f64]) -> Histogram {
    let opts = HistogramOpts::from(opts(name, help)).buckets(buckets.to_vec());
    let histogram = Histogram::with_opts(opts).expect("the name and buckets are valid");
    register(registry, histogram.clone());
    histogram
}

fn histograms(
    registry: &Registry,
    name: &str,
    help: &str,
    labels: &[&str],
    buckets: &[f64],
) -> HistogramVec {
    let opts = HistogramOpts::from(opts(name, help)).buckets(buckets.to_vec());
    let histograms = HistogramVec::new(opts, labels).expect("the names and buckets are valid");
    register(registry, histograms.clone());
    histograms
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_has_our_prefix_or_is_the_process_own() {
        let metrics = Metrics::new();
        metrics.started();
        metrics.ended(Direction::Outbound, CallStatus::Completed, Some(Duration::from_secs(5)));
        metrics.http_request("/healthz", "GET", 200, Duration::from_millis(1));
        let text = String::from_utf8(metrics.render()).expect("text");
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            assert!(line.starts_with("callspan_") || line.starts_with("process_"), "{line}");
        }
        assert!(
            text.contains(r#"callspan_calls_total{direction="outbound",outcome="completed"} 1"#)
        );
        assert!(text.contains("process_resident_memory_bytes"));
    }
}
