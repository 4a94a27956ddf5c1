//! A phone without a Twilio around it: a stream that opens, speaks on a 20 ms clock and listens.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures_util::{SinkExt as _, StreamExt as _};
use tokio::sync::watch;
use tokio_tungstenite::tungstenite::Message;

use crate::load::probe::PhoneProbe;
use crate::load::scenario::FRAME;
use crate::twilio::handshake::{self, HandshakeError, Line, Socket};
use crate::twilio::playback::{FRAME_BYTES, SILENCE};
use crate::twilio::validator::{self, FromService};
use crate::twilio::wire::Wire;

/// How long a program may take to answer an upgrade.
const PATIENCE: Duration = Duration::from_secs(30);

/// What all phones have seen.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// Streams that are open.
    pub(crate) up: AtomicU64,
    /// Streams that ended before they were told to.
    pub(crate) ended: AtomicU64,
    /// Messages that Twilio would refuse.
    pub(crate) refused: AtomicU64,
}

/// Opens the stream of call number `n`.
pub(crate) async fn open(url: &str, n: u32) -> Result<(Socket, Wire), HandshakeError> {
    let line = Line { tls: None, receive_buffer: None, private_only: true, patience: PATIENCE };
    let mut socket = handshake::open(url, None, &[], line).await?;
    let mut wire = Wire::new(&sid("MZ", n), &sid("AC", 0), &sid("CA", n));
    for message in [Wire::connected(), wire.start(&[])] {
        let sent = socket.send(Message::text(message)).await;
        sent.map_err(|error| HandshakeError::new(31_903, error))?;
    }
    Ok((socket, wire))
}

fn sid(kind: &str, n: u32) -> String {
    format!("{kind}{n:032x}")
}

/// Speaks and listens until told to stop.
pub(crate) async fn talk(
    (mut socket, mut wire): (Socket, Wire),
    mut probe: PhoneProbe,
    seen: Arc<Seen>,
    mut stop: watch::Receiver<bool>,
) {
    seen.up.fetch_add(1, Ordering::Relaxed);
    let began = Instant::now();
    let mut ticks = 0_u32;
    let alarm = tokio::time::sleep_until(began.into());
    tokio::pin!(alarm);
    let ended = loop {
        tokio::select! {
            biased;
            // It changes once; an error means that nobody is left to say stop.
            _ = stop.changed() => break false,
            () = &mut alarm => {
                let due = began + FRAME * ticks;
                let spoken = probe.say(due, true).unwrap_or([SILENCE; FRAME_BYTES]);
                let message = wire.media(u64::from(ticks) * 20, &spoken);
                if socket.send(Message::text(message)).await.is_err() {
                    break true;
                }
                ticks += 1;
                alarm.as_mut().reset((began + FRAME * ticks).into());
            }
            received = socket.next() => match received {
                Some(Ok(Message::Text(text))) => match validator::check(&text, wire.stream_sid()) {
                    Ok(FromService::Media(audio)) => probe.hear(Instant::now(), &audio),
                    Ok(FromService::Mark(_) | FromService::Clear) => {}
                    Err(_) => {
                        seen.refused.fetch_add(1, Ordering::Relaxed);
                    }
                },
                Some(Ok(message)) if !message.is_close() => {}
                _ => break true,
            },
        }
    };
    seen.up.fetch_sub(1, Ordering::Relaxed);
    if ended {
        seen.ended.fetch_add(1, Ordering::Relaxed);
        return;
    }
    // Whatever the program makes of it, the phone has hung up.
    let _ = socket.send(Message::text(wire.stop())).await;
    let _ = socket.close(None).await;
}
