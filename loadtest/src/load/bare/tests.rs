//! The measurement around programs that are there on every machine.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::peer::{Part, Peers};
use super::phone::{self, Seen};
use super::*;
use crate::load::Probe;
use crate::load::reference::{Against, combine};

/// A call of a second or so between a phone and a peer that plays the bridge's part.
#[tokio::test]
async fn a_bridge_that_gives_back_every_frame_loses_none() {
    let probe = Probe::new();
    let peers = Peers::start(Part::Bridge, probe.clone()).expect("a port");
    let url = format!("ws://127.0.0.1:{}/media", peers.port());
    let (hang_up, stop) = tokio::sync::watch::channel(false);
    let seen = Arc::new(Seen::default());
    let stream = phone::open(&url, 7).await.expect("a stream");
    probe.measure(true);
    let call = tokio::spawn(phone::talk(stream, probe.phone(), seen.clone(), stop));
    while probe.to_phone().in_order < 20 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    probe.speak(false);
    while probe.to_phone().in_order < probe.to_agent().sent {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    hang_up.send_replace(true);
    call.await.expect("the phone hangs up");
    probe.measure(false);
    let counts = probe.to_phone();
    assert_eq!((counts.lost(), counts.out_of_order, counts.damaged), (0, 0, 0), "{counts:?}");
    assert_eq!(probe.delay_to_phone().len(), counts.in_order);
    assert_eq!(seen.refused.load(Ordering::Relaxed), 0);
    assert_eq!(seen.ended.load(Ordering::Relaxed), 0);
}

fn setup() -> Setup {
    Setup { calls: 3, time: Duration::from_secs(1), cpus: None }
}

#[tokio::test]
async fn a_program_that_ends_at_once_is_told_with_what_it_said() {
    let command = "echo no port for me; exit 3".to_owned();
    let error = measure(&Target::Bridge { command }, &setup()).await.expect_err("it ended");
    assert!(matches!(error, BareError::Ended { .. }), "{error}");
    assert!(error.to_string().ends_with("no port for me"), "{error}");
}

#[tokio::test]
#[ignore = "needs haproxy; run by scripts/test"]
async fn haproxy_moves_every_frame() {
    let report = measure(&Target::Haproxy, &setup()).await.expect("it is measured");
    assert_eq!(report.failures, Vec::<String>::new());
    assert_eq!(report.calls, 3);
    assert!(report.frames_relayed > 0);
    let both = combine(Against::Haproxy, &report, &report, &report.service_cpu);
    assert!(both.name.starts_with("HAProxy "), "{both:?}");
    assert_eq!(both.frames_relayed, 2 * report.frames_relayed);
}

#[tokio::test]
#[ignore = "needs Node and the packages of loadtest/compare/node; run by scripts/test"]
async fn the_bridge_on_node_loses_nothing() {
    let bridge = concat!(env!("CARGO_MANIFEST_DIR"), "/compare/node/bridge.js");
    let command = format!("exec node '{bridge}'");
    let report = measure(&Target::Bridge { command }, &setup()).await.expect("it is measured");
    assert_eq!(report.failures, Vec::<String>::new());
    assert_eq!(report.calls, 3);
}
