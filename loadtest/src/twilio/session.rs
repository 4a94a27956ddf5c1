//! An open media stream on the 20 ms clock.
//!
//! The deadline of tick *n* is always start + *n* × 20 ms, so that being late once does not slow
//! the stream down. The socket is read whatever the state of the way out; when the service does
//! not read, frames are discarded as Twilio does (31930).

use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use futures_util::{Sink, SinkExt as _, StreamExt as _};
use tokio::io::AsyncWriteExt as _;
use tokio::sync::mpsc;
use tokio::time::Sleep;
use tokio_tungstenite::tungstenite::{Error, Message};

use super::call::{Call, MarkRecord};
use super::call_run::Interrupts;
use super::faults::StreamFaults;
use super::handshake::{Socket, text};
use super::level::is_speech;
use super::phone::{Phone, PhoneAct};
use super::playback::{FRAME_BYTES, Playback, SILENCE};
use super::stream::MediaCommand;
use super::uplink::{Outgoing, Uplink};
use super::wire::Wire;
use super::world::World;
use crate::load::{PhoneProbe, Probe};

const TICK: Duration = Duration::from_millis(20);

/// Messages that may wait for a service that does not read: 5 s of audio.
const MAX_UNFLUSHED: usize = 250;

/// How a stream came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// The service closed it.
    Closed,
    /// The connection was lost.
    Broken,
    /// The service broke the WebSocket protocol.
    Protocol,
    /// A test wants the connection reset.
    Reset,
    /// The phone hung up.
    HungUp,
    /// The call has something else to do.
    Interrupted,
}

enum Wake {
    Clock,
    Interrupted,
    Command(MediaCommand),
    Received(Option<Result<Message, Error>>),
}

pub(crate) struct Session {
    pub(super) world: Arc<World>,
    pub(super) call: Arc<Call>,
    socket: Socket,
    pub(super) uplink: Uplink,
    pub(super) playback: Playback,
    pub(super) probe: Option<PhoneProbe>,
    faults: StreamFaults,
    start: Instant,
    ticks: u32,
    alarm: Pin<Box<Sleep>>,
    deaf_until: Option<Instant>,
    /// Messages handed to the socket since it was last empty.
    unflushed: usize,
    discarding: bool,
    pub(super) overflowed: bool,
    /// Set by whatever finds that the stream must end.
    pub(super) ending: Option<Ending>,
}

impl Session {
    pub(crate) fn new(
        world: Arc<World>,
        call: Arc<Call>,
        socket: Socket,
        wire: Wire,
        faults: StreamFaults,
        start: Instant,
    ) -> Self {
        Session {
            probe: world.options.probe.as_ref().map(Probe::phone),
            world,
            call,
            socket,
            uplink: Uplink::new(wire, faults.clone(), start),
            playback: Playback::default(),
            faults,
            start,
            ticks: 0,
            alarm: Box::pin(tokio::time::sleep_until((start + TICK).into())),
            deaf_until: None,
            unflushed: 0,
            discarding: false,
            overflowed: false,
            ending: None,
        }
    }

    pub(crate) fn stream_sid(&self) -> &str {
        self.uplink.stream_sid()
    }

    pub(crate) fn wire(&mut self) -> &mut Wire {
        self.uplink.wire()
    }

    pub(crate) fn socket(&self) -> &Socket {
        &self.socket
    }

    pub(crate) fn into_socket(self) -> Socket {
        self.socket
    }

    /// Texts of the messages that were still on their way.
    pub(crate) fn unsent(&mut self) -> Vec<String> {
        let left = self.uplink.drain(Instant::now());
        left.into_iter().map(|message| self.note_sent(message)).collect()
    }

    /// Carries the stream until it ends.
    pub(crate) async fn run(
        &mut self,
        interrupts: &mut Interrupts,
        media: &mut mpsc::UnboundedReceiver<MediaCommand>,
        phone: &mut Phone,
    ) -> Ending {
        loop {
            match self.next(interrupts, media).await {
                Wake::Clock => {
                    let now = Instant::now();
                    while self.ending.is_none() && now >= self.next_tick() {
                        self.tick(phone);
                    }
                    self.release(now);
                    self.set_alarm();
                }
                Wake::Interrupted => self.ending = Some(Ending::Interrupted),
                Wake::Command(command) => self.obey(command, phone).await,
                Wake::Received(message) => self.receive(message),
            }
            if let Some(ending) = self.ending {
                return ending;
            }
        }
    }

    /// What comes next, the clock before anything else.
    async fn next(
        &mut self,
        interrupts: &mut Interrupts,
        media: &mut mpsc::UnboundedReceiver<MediaCommand>,
    ) -> Wake {
        let deaf = self.deaf_until.is_some();
        std::future::poll_fn(|cx| {
            if self.alarm.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Wake::Clock);
            }
            if interrupts.poll_pending(cx).is_ready() {
                return Poll::Ready(Wake::Interrupted);
            }
            if let Poll::Ready(Some(command)) = media.poll_recv(cx) {
                return Poll::Ready(Wake::Command(command));
            }
            if self.unflushed > 0 {
                match self.socket.poll_flush_unpin(cx) {
                    Poll::Ready(Ok(())) => self.unflushed = 0,
                    Poll::Ready(Err(error)) => {
                        return Poll::Ready(Wake::Received(Some(Err(error))));
                    }
                    Poll::Pending => {}
                }
            }
            if !deaf && let Poll::Ready(message) = self.socket.poll_next_unpin(cx) {
                return Poll::Ready(Wake::Received(message));
            }
            Poll::Pending
        })
        .await
    }

    fn next_tick(&self) -> Instant {
        self.start + TICK * (self.ticks + 1)
    }

    pub(super) fn set_alarm(&mut self) {
        let tick = self.next_tick();
        let due = self.uplink.next_due().map_or(tick, |due| due.min(tick));
        self.alarm.as_mut().reset(due.into());
    }

    /// 20 ms of the call: what the phone hears, what it says, and what comes of both.
    fn tick(&mut self, phone: &mut Phone) {
        let now = self.next_tick();
        self.ticks += 1;
        let elapsed = now - self.start;
        if self.faults.reset_after.is_some_and(|after| elapsed >= after) {
            self.ending = Some(Ending::Reset);
            return;
        }
        let deaf = self
            .faults
            .deaf
            .iter()
            .find(|(from, time)| elapsed >= *from && elapsed < *from + *time);
        if let Some((from, time)) = deaf {
            self.deaf_until = self.deaf_until.max(Some(self.start + *from + *time));
        }
        if self.deaf_until.is_some_and(|until| now >= until) {
            self.deaf_until = None;
        }

        let played = self.playback.tick();
        let heard_speech = played.audio_bytes > 0 && is_speech(&played.frame);
        let stopped = self.uplink.clock_is_stopped(now);
        let spoken = (!stopped).then(|| phone.next_frame(heard_speech));
        let record = self.world.options.record;
        self.call.update(|state| {
            if heard_speech {
                state.heard_speech_ms += 20;
                state.speech_last_heard_at = Some(now);
            }
            if record {
                let said = spoken.as_ref().map_or([SILENCE; FRAME_BYTES], |spoken| spoken.frame);
                state.recording.said.extend_from_slice(&said);
                state.recording.heard.extend_from_slice(&played.frame);
            }
        });
        for name in played.marks {
            self.echo(name, false);
        }
        let Some(spoken) = spoken else { return };
        let marked = self.probe.as_mut().and_then(|probe| probe.say(now, spoken.speaks));
        self.uplink.frame(now, &marked.unwrap_or(spoken.frame));
        for act in spoken.acts {
            match act {
                PhoneAct::Press(digit) => self.press(digit),
                PhoneAct::HangUp => self.ending = Some(Ending::HungUp),
            }
        }
    }

    fn press(&mut self, digit: char) {
        let message = self.uplink.wire().dtmf(digit);
        self.uplink.control(Instant::now(), message);
        self.call.update(|state| state.keys.push(digit));
    }

    pub(super) fn echo(&mut self, name: String, cleared: bool) {
        if self.faults.swallow_marks {
            return;
        }
        let now = Instant::now();
        let message = self.uplink.wire().mark(&name);
        self.uplink.control(now, message);
        self.call.update(|state| {
            let waiting = |mark: &&mut MarkRecord| mark.name == name && mark.echoed_at.is_none();
            if let Some(mark) = state.marks.iter_mut().find(waiting) {
                mark.echoed_at = Some(now);
                mark.cleared = cleared;
            }
        });
    }

    /// Sends what is due.
    pub(super) fn release(&mut self, now: Instant) {
        while let Some(message) = self.uplink.pop(now) {
            if message.audio.is_some() && self.unflushed >= MAX_UNFLUSHED {
                if !self.discarding {
                    self.discarding = true;
                    self.call.notify(31_930, "the service does not read; audio is discarded");
                }
                continue;
            }
            let text_sent = self.note_sent(message);
            self.send(text(text_sent));
        }
    }

    fn note_sent(&self, message: Outgoing) -> String {
        let options = &self.world.options;
        if let Some(audio) = message.audio {
            self.call.update(|state| {
                state.frames_sent += 1;
                if options.record {
                    state.sent.extend_from_slice(&audio);
                }
                if options.stamp_frames {
                    state.sent_at.push(Instant::now());
                }
            });
        }
        message.text
    }

    /// Hands a message to the socket, which writes as much as it can at once.
    fn send(&mut self, message: Message) {
        self.unflushed += 1;
        if let Err(error) = Pin::new(&mut self.socket).start_send(message) {
            self.lose(&error);
        }
    }

    async fn obey(&mut self, command: MediaCommand, phone: &mut Phone) {
        match command {
            MediaCommand::Say { clip, done } => phone.say(clip, done),
            MediaCommand::Press(digit) => {
                self.press(digit);
                self.release(Instant::now());
                self.set_alarm();
            }
            MediaCommand::Send(message) => self.send(message),
            MediaCommand::SendBytes(bytes) => {
                // Beside the point of the clock: a test that does this wants the stream broken.
                if let Err(error) = self.socket.get_mut().write_all(&bytes).await {
                    self.lose(&error.into());
                }
            }
            MediaCommand::FallSilent => {
                if let Some(probe) = &mut self.probe {
                    probe.fall_silent();
                }
            }
            MediaCommand::Reset => self.ending = Some(Ending::Reset),
            MediaCommand::StopReading(time) => self.deaf_until = Some(Instant::now() + time),
            MediaCommand::Stall(lasting, kind) => self.uplink.stall(Instant::now(), lasting, kind),
        }
    }
}
