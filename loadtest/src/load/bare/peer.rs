//! Who is behind the program that is measured: agents, or peers that play a bridge's part.

use std::io;
use std::net::{Ipv4Addr, TcpListener as StdListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use serde::Deserialize;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_tungstenite::accept_async_with_config;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

use crate::audio::{g711, pcm_bytes};
use crate::load::Probe;
use crate::load::probe::AgentProbe;

/// What a socket speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// An agent: 16-bit samples at 8 kHz, each message answered with one. The answer is marked with
    /// its own time, so each direction has its delay.
    Agent,
    /// A bridge: Twilio's messages, each `media` answered with one that holds the same audio. So what
    /// the phone hears is as old as the whole way there and back.
    Bridge,
}

/// Accepts any number of sockets on a thread of its own, until it is dropped.
#[derive(Debug)]
pub(crate) struct Peers {
    port: u16,
    live: Arc<AtomicU64>,
    stop: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
}

impl Peers {
    /// Starts on a free port of 127.0.0.1.
    pub(crate) fn start(part: Part, probe: Probe) -> io::Result<Self> {
        let listener = StdListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let port = listener.local_addr()?.port();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (live, stop) = (Arc::new(AtomicU64::new(0)), watch::Sender::new(false));
        let (counter, stopped) = (live.clone(), stop.subscribe());
        let thread = thread::Builder::new().name("bare-peers".into()).spawn(move || {
            runtime.block_on(serve(listener, part, probe, counter, stopped));
        })?;
        Ok(Peers { port, live, stop, thread: Some(thread) })
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Open sockets.
    pub(crate) fn live(&self) -> u64 {
        self.live.load(Ordering::Relaxed)
    }
}

impl Drop for Peers {
    fn drop(&mut self) {
        self.stop.send_replace(true);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the peers' thread panicked");
        }
    }
}

async fn serve(
    listener: StdListener,
    part: Part,
    probe: Probe,
    live: Arc<AtomicU64>,
    mut stopped: watch::Receiver<bool>,
) {
    let listener = match TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return tracing::error!(%error, "no peer can be reached"),
    };
    let mut talks = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((tcp, _)) => {
                    let (ear, live) = (probe.agent(), live.clone());
                    talks.spawn(talk(tcp, part, ear, live));
                }
                Err(error) => tracing::warn!(%error, "a connection was not accepted"),
            },
            Some(_) = talks.join_next() => {}
            // An error means that nobody is left to say stop.
            _ = stopped.wait_for(|stopped| *stopped) => break,
        }
    }
}

/// Counts a socket for as long as it is open.
struct Live(Arc<AtomicU64>);

impl Drop for Live {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

async fn talk(tcp: TcpStream, part: Part, mut ear: AgentProbe, live: Arc<AtomicU64>) {
    if let Err(error) = tcp.set_nodelay(true) {
        tracing::warn!(%error, "a socket may be slow");
    }
    let config = WebSocketConfig::default().read_buffer_size(4 * 1024).write_buffer_size(0);
    // Whoever only looks whether somebody listens does not upgrade.
    let Ok(mut socket) = accept_async_with_config(tcp, Some(config)).await else { return };
    live.fetch_add(1, Ordering::Relaxed);
    let _live = Live(live);
    let mut stream_sid = String::new();
    while let Some(Ok(message)) = socket.next().await {
        let at = Instant::now();
        let answer = match (part, &message) {
            (Part::Agent, Message::Binary(samples)) => agent(&mut ear, at, samples),
            (Part::Bridge, Message::Text(text)) => bridge(&mut ear, at, text, &mut stream_sid),
            _ => None,
        };
        if let Some(answer) = answer
            && socket.send(answer).await.is_err()
        {
            return;
        }
    }
}

fn agent(ear: &mut AgentProbe, at: Instant, samples: &Bytes) -> Option<Message> {
    let answer = ear.answer(at, samples);
    (!answer.is_empty()).then(|| Message::Binary(answer))
}

/// What a bridge needs of Twilio's messages.
#[derive(Deserialize)]
struct FromTwilio<'a> {
    #[serde(borrow, rename = "streamSid")]
    stream_sid: Option<&'a str>,
    #[serde(borrow)]
    media: Option<MediaBody<'a>>,
}

#[derive(Deserialize)]
struct MediaBody<'a> {
    #[serde(borrow)]
    payload: &'a str,
}

fn bridge(ear: &mut AgentProbe, at: Instant, text: &str, sid: &mut String) -> Option<Message> {
    let message: FromTwilio<'_> = serde_json::from_str(text).ok()?;
    if sid.is_empty() {
        *sid = message.stream_sid?.to_owned();
    }
    let payload = message.media?.payload;
    let codes = STANDARD.decode(payload).ok()?;
    let heard = ear.answer(at, &pcm_bytes(&g711::decode_all(&codes)));
    if heard.is_empty() {
        return None;
    }
    let answer =
        format!(r#"{{"event":"media","streamSid":"{sid}","media":{{"payload":"{payload}"}}}}"#);
    Some(Message::text(answer))
}
