//! What a frame costs: coding, JSON, WebSocket framing, and a step of the bridge each way; and a step of a campaign.
//!
//! `cargo bench -p callspan-actors` prints times. `scripts/instructions` counts instructions and
//! allocations instead, which do not depend on the machine's mood: it has valgrind run one case
//! (`frame CASE TIMES`) so often and twice as often, and takes the difference. As a test every case
//! runs once.

#![expect(clippy::disallowed_methods, reason = "a bench measures time")]
#![expect(clippy::print_stdout, reason = "the result is what the program is for")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use callspan_actors::audio::{self, FRAME_PCM_BYTES, FRAME_SAMPLES};
use callspan_actors::bridge::{Admission, Bridge, Input, ToAgent};
use callspan_actors::campaign::hours::Opening;
use callspan_actors::campaign::scheduler::{
    Action, Hours, Input as Order, OnBreak, Rules, Scheduler,
};
use callspan_actors::campaign::zone_groups::ZoneGroup;
use callspan_actors::campaign::{Limits, Outcome, Recipient, RetryRules};
use callspan_actors::protocol::twilio::{Event, Writer};
use callspan_actors::protocol::websocket::{Decoder, Draft, Kind, Message, Role};
use jiff::{SignedDuration, Timestamp};

const CALL: &str = "CA00000000000000000000000000000001";
const STREAM: &str = "MZ00000000000000000000000000000001";
const FRAME: Duration = Duration::from_millis(20);
/// Different messages from the phone, used over and over: a second of them.
const MESSAGES: usize = 50;
/// How often a case runs when its time is taken.
const TIMES: u64 = 200_000;

type Case = (&'static str, fn(u64));

const CASES: [Case; 9] = [
    ("decode", decode),
    ("encode", encode),
    ("json_in", json_in),
    ("json_out", json_out),
    ("websocket_in", websocket_in),
    ("websocket_out", websocket_out),
    ("phone_to_agent", phone_to_agent),
    ("agent_to_phone", agent_to_phone),
    ("campaign", campaign),
];

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let named = CASES.iter().find(|(name, _)| args.first().is_some_and(|arg| arg == name));
    match (named, args.get(1).and_then(|times| times.parse().ok())) {
        (Some((_, run)), Some(times)) => run(times),
        // What `cargo bench` says to every bench.
        _ if args.iter().any(|arg| arg == "--bench") => CASES.iter().for_each(take_time),
        _ if args.iter().any(|arg| arg == "--cases") => {
            CASES.iter().for_each(|(name, _)| println!("{name}"));
        }
        // `cargo test`, with whatever it says to every test.
        _ => CASES.iter().for_each(|(_, run)| run(1)),
    }
}

fn take_time((name, run): &Case) {
    run(TIMES / 10);
    let began = Instant::now();
    run(TIMES);
    let each = began.elapsed().as_nanos() / u128::from(TIMES);
    println!("{name:<16} {each:>8} ns");
}

/// A frame in which every code of µ-law may occur.
fn mulaw() -> [u8; FRAME_SAMPLES] {
    std::array::from_fn(|n| u8::try_from(n * 37 % 256).expect("below 256"))
}

fn pcm() -> [u8; FRAME_PCM_BYTES] {
    let mut pcm = [0; FRAME_PCM_BYTES];
    audio::decode_to(&mulaw(), &mut pcm);
    pcm
}

fn decode(times: u64) {
    let (mulaw, mut pcm) = (mulaw(), [0; FRAME_PCM_BYTES]);
    for _ in 0..times {
        audio::decode_to(black_box(&mulaw), black_box(&mut pcm));
    }
}

fn encode(times: u64) {
    let (pcm, mut mulaw) = (pcm(), [0; FRAME_SAMPLES]);
    for _ in 0..times {
        audio::encode_to(black_box(&pcm), black_box(&mut mulaw));
    }
}

/// What Twilio sends in a second, as captured.
fn messages() -> Vec<String> {
    let payload = STANDARD.encode(mulaw());
    let message = |n: usize| {
        format!(
            r#"{{"event":"media","sequenceNumber":"{}","media":{{"track":"inbound","chunk":"{}","timestamp":"{}","payload":"{payload}"}},"streamSid":"{STREAM}"}}"#,
            n + 2,
            n + 1,
            155 + 20 * n
        )
    };
    (0..MESSAGES).map(message).collect()
}

fn json_in(times: u64) {
    let messages = messages();
    for message in messages.iter().cycle().zip(0..times).map(|(message, _)| message) {
        let event = Event::parse(black_box(message)).expect("as captured");
        assert!(matches!(black_box(event), Event::Media(_)));
    }
}

fn json_out(times: u64) {
    let (writer, mulaw) = (Writer::new(&STREAM.parse().expect("valid")), mulaw());
    let mut text = Vec::new();
    for _ in 0..times {
        text.clear();
        writer.media(black_box(&mulaw), black_box(&mut text));
    }
}

/// A frame as Twilio sends it, masked. Unmasking is its own inverse, so every second one is noise;
/// it takes as long.
fn websocket_in(times: u64) {
    let mut received = Vec::new();
    let draft = Draft::begin(&mut received, Role::Client);
    received.extend_from_slice(&[b'x'; 380]);
    draft.end(&mut received, Kind::Binary, [1, 2, 3, 4]);
    let mut decoder = Decoder::new(Role::Server, 64 * 1024);
    for _ in 0..times {
        let message = decoder.next(&mut &mut *received).expect("whole").expect("valid");
        assert!(matches!(black_box(message), Message::Binary(_)));
    }
}

/// A frame as the agent gets it, masked.
fn websocket_out(times: u64) {
    let (pcm, mut out) = (pcm(), Vec::new());
    for _ in 0..times {
        out.clear();
        let draft = Draft::begin(&mut out, Role::Client);
        out.extend_from_slice(black_box(&pcm));
        draft.end(&mut out, Kind::Binary, black_box([1, 2, 3, 4]));
    }
}

/// A bridge in the middle of a call.
fn live(now: Instant) -> Bridge {
    let token = "one-time-token";
    let admission =
        Admission { token: token.to_owned().into(), call_sid: CALL.parse().expect("valid") };
    let mut bridge = Bridge::new(now, admission);
    let start = format!(
        r#"{{"event":"start","sequenceNumber":"1","start":{{"accountSid":"AC1","streamSid":"{STREAM}","callSid":"{CALL}","tracks":["inbound"],"mediaFormat":{{"encoding":"audio/x-mulaw","sampleRate":8000,"channels":1}},"customParameters":{{"token":"{token}"}}}},"streamSid":"{STREAM}"}}"#
    );
    bridge.handle(now, Input::PhoneText(&start));
    bridge.handle(now, Input::AgentJoined);
    while bridge.poll_notice().is_some() {}
    bridge
}

/// Takes everything the bridge has for the two sockets. A probe is answered.
fn drain(bridge: &mut Bridge, now: Instant, out: &mut Vec<u8>) {
    out.clear();
    while bridge.poll_to_phone(now, out).is_some() {}
    while let Some(frame) = bridge.poll_to_agent(out) {
        if frame == ToAgent::Probe {
            bridge.handle(now, Input::AgentAlive);
        }
    }
    black_box(out);
    while bridge.poll_notice().is_some() {}
}

fn phone_to_agent(times: u64) {
    let (messages, mut now) = (messages(), Instant::now());
    let (mut bridge, mut out) = (live(now), Vec::new());
    for message in messages.iter().cycle().zip(0..times).map(|(message, _)| message) {
        bridge.handle(now, Input::PhoneText(black_box(message)));
        drain(&mut bridge, now, &mut out);
        now += FRAME;
    }
    assert_eq!(bridge.counts().uplink.frames_in, times);
    assert_eq!(bridge.over(), None);
}

/// The phone is silent meanwhile, so the agent is sent silence: that counts too.
fn agent_to_phone(times: u64) {
    let (pcm, mut now) = (pcm(), Instant::now());
    let (mut bridge, mut out) = (live(now), Vec::new());
    for _ in 0..times {
        bridge.handle(now, Input::AgentAudio(black_box(&pcm)));
        drain(&mut bridge, now, &mut out);
        now += FRAME;
    }
    assert_eq!(bridge.counts().downlink.frames_in, times);
    assert_eq!(bridge.over(), None);
}

struct Always;

impl Hours for Always {
    fn opening(&mut self, _: ZoneGroup, _: Timestamp) -> Opening {
        Opening::Open { until: Timestamp::MAX }
    }
}

/// A call is placed and ends, and the next one begins.
fn campaign(times: u64) {
    let limits = Limits { max_concurrent_calls: 100, max_cps: 1_000.0 };
    let rules = Rules { retries: RetryRules::never(), expires_at: None, on_break: OnBreak::Pause };
    let mut scheduler = Scheduler::new(Always, limits, rules);
    let mut now = Timestamp::UNIX_EPOCH;
    let recipient =
        |seq| Recipient { seq, priority: 0, group: ZoneGroup::default(), attempts: 0, due: None };
    scheduler.handle(now, Order::Recipients((0..100).map(recipient).collect()));
    for (next, _) in (100..).zip(0..times) {
        now += SignedDuration::from_millis(20);
        scheduler.handle(now, Order::Recipients(vec![recipient(next)]));
        while let Some(action) = scheduler.poll_action() {
            if let Action::Dial { seq, .. } = black_box(action) {
                scheduler.handle(now, Order::Placed(seq));
                scheduler.handle(now, Order::Ended(seq, Outcome::Completed));
            }
        }
    }
}
