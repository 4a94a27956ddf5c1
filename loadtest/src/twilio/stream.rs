//! One media stream: opening it, what the rest of the call sees of it, and how it ends.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use futures_util::{SinkExt as _, StreamExt as _};
use tokio::io::AsyncWriteExt as _;
use tokio::sync::oneshot;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;

use super::account::Account;
use super::call::{Call, Interrupt, new_sid};
use super::call_run::CallRun;
use super::faults::{CloseStyle, ParameterFault, SignatureFault, StallKind, StreamFaults};
use super::handshake::{self, HandshakeError, Line, Socket};
use super::playback::{FRAME_BYTES, SILENCE};
use super::session::{Ending, Session};
use super::signature;
use super::status::CallStatus;
use super::twiml::StreamNoun;
use super::wire::Wire;
use super::world::World;

/// Longest wait for the service to take part in the end of a connection.
const CLOSING_TIME: Duration = Duration::from_secs(2);

/// Something a test wants done on the line.
pub(crate) enum MediaCommand {
    Say {
        clip: Arc<[u8]>,
        done: oneshot::Sender<()>,
    },
    Press(char),
    Send(Message),
    SendBytes(Vec<u8>),
    /// Send no more frames that a probe follows.
    FallSilent,
    /// Reset the TCP connection of the stream.
    Reset,
    StopReading(Duration),
    Stall(Duration, StallKind),
}

/// Why a stream is over, as far as the TwiML is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StreamEnd {
    /// The next verb runs.
    Over,
    /// The call has something else to do.
    Interrupted,
}

/// Counts a stream as live until its socket is gone.
pub(crate) struct LiveStream {
    world: Arc<World>,
    call: Arc<Call>,
}

impl LiveStream {
    fn new(world: &Arc<World>, call: &Arc<Call>, stream_sid: &str) -> Self {
        world.live_streams.fetch_add(1, Ordering::SeqCst);
        call.update(|state| {
            state.open_streams += 1;
            state.stream_sids.push(stream_sid.to_owned());
        });
        world.changed();
        LiveStream { world: world.clone(), call: call.clone() }
    }
}

impl Drop for LiveStream {
    fn drop(&mut self) {
        self.world.live_streams.fetch_sub(1, Ordering::SeqCst);
        self.call.update(|state| state.open_streams -= 1);
        self.world.changed();
    }
}

impl CallRun {
    /// Opens a stream, carries it to its end and reports both.
    pub(crate) async fn run_stream(&mut self, noun: &StreamNoun) -> StreamEnd {
        let stream_sid = new_sid("MZ");
        let socket = open(&self.world, &self.account, &self.call, &self.behaviour.stream, noun);
        let socket = tokio::select! {
            () = self.interrupts.wait() => return StreamEnd::Interrupted,
            socket = socket => socket,
        };
        let mut socket = match socket {
            Ok(socket) => socket,
            Err(error) => {
                self.call.notify(error.code, &*error.what);
                self.report_stream(noun, &stream_sid, "stream-error", Some(error.stream_error()));
                return StreamEnd::Over;
            }
        };
        let live = LiveStream::new(&self.world, &self.call, &stream_sid);
        let faults = self.behaviour.stream.clone();
        if self.pause(faults.start_delay).await {
            return StreamEnd::Interrupted;
        }
        let call_sid = faults.call_sid.as_deref().unwrap_or(&self.call.sid);
        let mut wire = Wire::new(&stream_sid, &self.call.account_sid, call_sid);
        let parameters = altered(&noun.parameters, &faults.parameters);
        for message in opening(&mut wire, &faults, &parameters) {
            if let Err(error) = socket.send(handshake::text(message)).await {
                self.call.notify(31_903, error.to_string());
                self.report_stream(noun, &stream_sid, "stream-error", Some(BROKEN_PIPE));
                return StreamEnd::Over;
            }
        }
        let start = Instant::now();
        self.align_recording(start);
        self.call.update(|state| {
            state.streaming_since.get_or_insert(start);
            state.started_streams += 1;
            state.last_stream = Some((noun.url.clone(), noun.parameters.clone()));
        });
        self.report_stream(noun, &stream_sid, "stream-started", None);

        let mut session =
            Session::new(self.world.clone(), self.call.clone(), socket, wire, faults, start);
        let ending = session.run(&mut self.interrupts, &mut self.media, &mut self.phone).await;
        self.conclude(noun, session, ending, live)
    }

    /// A later stream goes on where the clock of the first one is by now.
    fn align_recording(&self, start: Instant) {
        if !self.world.options.record {
            return;
        }
        self.call.update(|state| {
            let Some(first) = state.streaming_since else { return };
            let ticks = start.saturating_duration_since(first).as_millis() / 20;
            let bytes = usize::try_from(ticks).unwrap_or(usize::MAX).saturating_mul(FRAME_BYTES);
            let recording = &mut state.recording;
            let bytes = bytes.max(recording.said.len());
            recording.said.resize(bytes, SILENCE);
            recording.heard.resize(bytes, SILENCE);
        });
    }

    fn conclude(
        &mut self,
        noun: &StreamNoun,
        session: Session,
        ending: Ending,
        live: LiveStream,
    ) -> StreamEnd {
        let stream_sid = session.stream_sid().to_owned();
        let (event, error, end) = match ending {
            Ending::Interrupted | Ending::HungUp => {
                if ending == Ending::HungUp {
                    self.call.set_status(CallStatus::Completed);
                    self.interrupts.put_back(Interrupt::PhoneHangsUp);
                }
                let faults = self.behaviour.stream.clone();
                tokio::spawn(leave(session, faults, live));
                ("stream-stopped", None, StreamEnd::Interrupted)
            }
            Ending::Closed => {
                self.call.notify(31_921, "the service closed the stream");
                tokio::spawn(linger(session.into_socket(), live));
                ("stream-stopped", None, StreamEnd::Over)
            }
            Ending::Reset | Ending::Broken => {
                self.call.notify(31_903, BROKEN_PIPE);
                if ending == Ending::Reset {
                    handshake::reset_on_drop(session.socket());
                }
                drop(session);
                drop(live);
                ("stream-error", Some(BROKEN_PIPE), StreamEnd::Over)
            }
            Ending::Protocol => {
                drop(session);
                drop(live);
                ("stream-error", Some("Stream - Websocket - Protocol Error"), StreamEnd::Over)
            }
        };
        self.report_stream(noun, &stream_sid, event, error);
        end
    }
}

async fn open(
    world: &World,
    account: &Account,
    call: &Call,
    faults: &StreamFaults,
    noun: &StreamNoun,
) -> Result<Socket, HandshakeError> {
    let url = &noun.url;
    let supported =
        url.starts_with("wss://") || (url.starts_with("ws://") && world.options.allow_ws);
    if !supported {
        call.violation(Some(31_922), format!("{url} is not a wss URL"));
        return Err(HandshakeError::new(31_922, url));
    }
    if url.contains('?') {
        call.violation(Some(31_920), format!("{url} has a query string"));
        return Err(HandshakeError::new(31_920, format!("{url} has a query string")));
    }
    let signature = match faults.upgrade_signature {
        SignatureFault::None => Some(signature::sign(&account.options.auth_token, url, &[])),
        SignatureFault::Wrong => Some(signature::sign("another key", url, &[])),
        SignatureFault::Missing => None,
    };
    let options = &world.options;
    let line = Line {
        tls: options.tls.as_ref(),
        receive_buffer: options.receive_buffer_bytes,
        private_only: options.private_only,
        patience: options.handshake_timeout,
    };
    let socket = handshake::open(url, signature.as_deref(), &[], line).await?;
    world.handshakes.note(handshake::kind(&socket));
    Ok(socket)
}

const BROKEN_PIPE: &str = "Stream - Connection - Broken Pipe";

/// The first messages of a stream.
fn opening(wire: &mut Wire, faults: &StreamFaults, parameters: &[(String, String)]) -> Vec<String> {
    let mut messages = Vec::new();
    if faults.media_before_start {
        messages.push(wire.media(0, &[SILENCE; FRAME_BYTES]));
    }
    if !faults.omit_connected {
        messages.push(Wire::connected());
    }
    if !faults.omit_start {
        messages.push(wire.start(parameters));
    }
    messages
}

/// The parameters of a stream after the faults that were asked for.
pub(crate) fn altered(
    parameters: &[(String, String)],
    faults: &[ParameterFault],
) -> Vec<(String, String)> {
    let mut parameters = parameters.to_vec();
    for fault in faults {
        match fault {
            ParameterFault::Remove(name) => parameters.retain(|(n, _)| n != name),
            ParameterFault::Set(name, value) => {
                parameters.retain(|(n, _)| n != name);
                parameters.push((name.clone(), value.clone()));
            }
            ParameterFault::Alter(name) => {
                for (_, value) in parameters.iter_mut().filter(|(n, _)| n == name) {
                    let last = value.pop();
                    value.push(if last == Some('0') { '1' } else { '0' });
                }
            }
        }
    }
    parameters
}

/// Says `stop` and ends the connection, as the faults would have it.
async fn leave(mut session: Session, faults: StreamFaults, live: LiveStream) {
    let mut messages = session.unsent();
    if !faults.omit_stop {
        messages.push(session.wire().stop());
    }
    for _ in 0..faults.frames_after_stop {
        messages.push(session.wire().media(0, &[SILENCE; FRAME_BYTES]));
    }
    let mut socket = session.into_socket();
    let goodbye = async {
        for message in messages {
            socket.send(handshake::text(message)).await?;
        }
        if !faults.stop_to_close.is_zero() {
            let until = tokio::time::Instant::now() + faults.stop_to_close;
            // The service may go first; what it still sends is of no interest.
            while let Ok(Some(Ok(_))) = tokio::time::timeout_at(until, socket.next()).await {}
            tokio::time::sleep_until(until).await;
        }
        match faults.close {
            CloseStyle::NoStatus => socket.close(None).await,
            CloseStyle::Code(code) => {
                let frame = CloseFrame { code: code.into(), reason: "".into() };
                socket.close(Some(frame)).await
            }
            CloseStyle::Eof => socket.get_mut().shutdown().await.map_err(Into::into),
            CloseStyle::Reset => {
                handshake::reset_on_drop(&socket);
                Ok(())
            }
        }
    };
    let said = tokio::time::timeout(CLOSING_TIME + faults.stop_to_close, goodbye).await;
    if matches!(said, Ok(Ok(()))) && faults.close != CloseStyle::Reset {
        linger(socket, live).await;
    }
}

/// Lets the service finish the closing handshake.
async fn linger(mut socket: Socket, _live: LiveStream) {
    let closing = async {
        while let Some(Ok(message)) = socket.next().await {
            if message.is_close() {
                break;
            }
        }
    };
    // A service that does not finish is cut off, which it will notice.
    let _ = tokio::time::timeout(CLOSING_TIME, closing).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_can_be_removed_set_and_altered() {
        let parameters = [("token", "ab"), ("call", "1"), ("x", "y")];
        let parameters = parameters.map(|(n, v)| (n.to_owned(), v.to_owned()));
        let faults = [
            ParameterFault::Alter("token".into()),
            ParameterFault::Remove("call".into()),
            ParameterFault::Set("x".into(), "z".into()),
        ];
        let expected = [("token", "a0"), ("x", "z")].map(|(n, v)| (n.to_owned(), v.to_owned()));
        assert_eq!(altered(&parameters, &faults), expected);
    }
}
