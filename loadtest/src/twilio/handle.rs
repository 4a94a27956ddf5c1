//! A test's hold on one call.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use tokio_tungstenite::tungstenite::Message;

use super::call::{
    Call, Interrupt, MarkRecord, Notification, Recording, TwimlDocument, Violation, new_sid,
};
use super::faults::StallKind;
use super::handshake::HandshakeError;
use super::level;
use super::raw::RawStream;
use super::status::{CallStatus, Direction};
use super::stream::MediaCommand;
use super::wire::Wire;
use super::world::{CallbackRecord, World};

/// What was waited for can no longer happen, because the call is over.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("call {sid} is over: {status}")]
pub struct CallOver {
    /// The call.
    pub sid: String,
    /// How it ended.
    pub status: CallStatus,
}

/// One call, as its callee and as Twilio see it. Clones are handles to the same call.
///
/// None of the waits has a limit of its own; wrap them where one is wanted.
#[derive(Clone)]
pub struct SimCall {
    world: Arc<World>,
    call: Arc<Call>,
}

impl SimCall {
    pub(crate) fn new(world: Arc<World>, call: Arc<Call>) -> Self {
        SimCall { world, call }
    }

    /// `CA…`
    #[must_use]
    pub fn sid(&self) -> &str {
        &self.call.sid
    }

    /// `AC…`
    #[must_use]
    pub fn account_sid(&self) -> &str {
        &self.call.account_sid
    }

    /// The number called.
    #[must_use]
    pub fn to(&self) -> &str {
        &self.call.to
    }

    /// The number calling.
    #[must_use]
    pub fn from(&self) -> &str {
        &self.call.from
    }

    /// Who placed it.
    #[must_use]
    pub fn direction(&self) -> Direction {
        self.call.direction
    }

    /// Where the call stands.
    #[must_use]
    pub fn status(&self) -> CallStatus {
        self.call.status()
    }

    /// Whether the call has ended and its last stream and verb are done.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.call.state().over
    }

    // Waiting.

    /// Waits until something is true of the call.
    ///
    /// # Errors
    /// When the call ends without it.
    pub async fn wait_until(
        &self,
        mut condition: impl FnMut(&SimCall) -> bool,
    ) -> Result<(), CallOver> {
        let mut changes = self.call.subscribe();
        loop {
            changes.borrow_and_update();
            let over = self.call.state().over;
            if condition(self) {
                return Ok(());
            }
            if over || changes.changed().await.is_err() {
                return Err(self.over());
            }
        }
    }

    fn over(&self) -> CallOver {
        CallOver { sid: self.call.sid.clone(), status: self.status() }
    }

    /// Waits until the call has, or has had, a status.
    ///
    /// # Errors
    /// When the call ends without it.
    pub async fn wait_for_status(&self, status: CallStatus) -> Result<(), CallOver> {
        let found = self.call.when(|state| {
            let had = state.history.iter().any(|snapshot| snapshot.status == status);
            if had { Some(true) } else { state.over.then_some(false) }
        });
        if found.await { Ok(()) } else { Err(self.over()) }
    }

    /// Waits until `connected` and `start` of a media stream have been sent.
    ///
    /// # Errors
    /// When the call ends without a stream.
    pub async fn wait_for_stream(&self) -> Result<(), CallOver> {
        self.wait_for_streams(1).await
    }

    /// Waits until so many streams of the call have started, one after the other.
    ///
    /// # Errors
    /// When the call ends before.
    pub async fn wait_for_streams(&self, count: usize) -> Result<(), CallOver> {
        let found = self.call.when(|state| {
            if state.started_streams >= count { Some(true) } else { state.over.then_some(false) }
        });
        if found.await { Ok(()) } else { Err(self.over()) }
    }

    /// Waits until the call has ended; says how.
    pub async fn wait_until_over(&self) -> CallStatus {
        self.call.when(|state| state.over.then(|| state.status())).await
    }

    /// Waits until the call has ended, its socket is closed and every callback has been answered
    /// or given up.
    pub async fn wait_until_settled(&self) -> CallStatus {
        let settled = self
            .call
            .when(|state| (state.settled && state.open_streams == 0).then(|| state.status()));
        settled.await
    }

    /// Waits until the agent has been heard for this long, all told.
    ///
    /// # Errors
    /// When the call ends before.
    pub async fn wait_for_agent_speech(&self, ms: u64) -> Result<(), CallOver> {
        let found = self.call.when(|state| {
            if state.heard_speech_ms >= ms { Some(true) } else { state.over.then_some(false) }
        });
        if found.await { Ok(()) } else { Err(self.over()) }
    }

    // The callee.

    /// Says a clip of µ-law after what is being said; returns when it is spoken. Before there is
    /// a stream, it waits for one.
    ///
    /// # Errors
    /// When the call ends before.
    pub async fn say(&self, clip: impl Into<Arc<[u8]>>) -> Result<(), CallOver> {
        let (done, spoken) = oneshot::channel();
        self.command(MediaCommand::Say { clip: clip.into(), done });
        spoken.await.map_err(|_| self.over())
    }

    /// Presses a key.
    pub fn press(&self, digit: char) {
        self.command(MediaCommand::Press(digit));
    }

    /// Hangs up; while ringing, declines.
    pub fn hang_up(&self) {
        // Fails when the call is over.
        let _ = self.call.interrupts.send(Interrupt::PhoneHangsUp);
    }

    // The line.

    /// Resets the TCP connection of the stream. The call goes on with its TwiML.
    pub fn drop_connection(&self) {
        self.command(MediaCommand::Reset);
    }

    /// Sends any WebSocket message on the stream.
    pub fn send_raw(&self, message: impl Into<Message>) {
        self.command(MediaCommand::Send(message.into()));
    }

    /// Writes bytes on the stream's connection, past the WebSocket layer.
    pub fn send_raw_bytes(&self, bytes: Vec<u8>) {
        self.command(MediaCommand::SendBytes(bytes));
    }

    /// Does not read the stream for a while.
    pub fn stop_reading(&self, time: Duration) {
        self.command(MediaCommand::StopReading(time));
    }

    /// Sends no frames for a while.
    pub fn stall(&self, time: Duration, kind: StallKind) {
        self.command(MediaCommand::Stall(time, kind));
    }

    /// Says nothing more that a probe follows, so that all of it can arrive before the end.
    pub(crate) fn fall_silent(&self) {
        self.command(MediaCommand::FallSilent);
    }

    fn command(&self, command: MediaCommand) {
        // Fails when the call is over, when there is nothing left to command.
        let _ = self.call.media.send(command);
    }

    /// Opens another stream that claims to be this call's: same URL, signature and parameters,
    /// `connected` and `start` already sent. The call's own stream is not touched; it is waited
    /// for first.
    ///
    /// # Errors
    /// When the service does not accept the upgrade, or the call has had no stream.
    pub async fn open_second_stream(&self) -> Result<RawStream, HandshakeError> {
        self.wait_for_stream().await.map_err(|over| HandshakeError::new(31_923, over))?;
        let (url, parameters) = self.call.state().last_stream.clone().unwrap_or_default();
        let account = self.world.account(&self.call.account_sid);
        let token = account.map(|account| account.options.auth_token.clone());
        let mut raw = RawStream::connect(&url, token.as_deref()).await?;
        let mut wire = Wire::new(&new_sid("MZ"), &self.call.account_sid, &self.call.sid);
        for message in [Wire::connected(), wire.start(&parameters)] {
            let sent = raw.send_text(message).await;
            sent.map_err(|error| HandshakeError::new(31_903, error))?;
        }
        Ok(raw)
    }

    // What was observed.

    /// What the phone said and heard, on one timeline.
    #[must_use]
    pub fn recording(&self) -> Recording {
        self.call.state().recording.clone()
    }

    /// The audio of every media message from the service, in order of arrival, whether or not it
    /// was played.
    #[must_use]
    pub fn received_audio(&self) -> Vec<u8> {
        self.call.state().received.clone()
    }

    /// The audio of every media message to the service, in order.
    #[must_use]
    pub fn sent_audio(&self) -> Vec<u8> {
        self.call.state().sent.clone()
    }

    /// How long the phone has heard speech (or tones), all told.
    #[must_use]
    pub fn heard_speech_ms(&self) -> u64 {
        self.call.state().heard_speech_ms
    }

    /// Whether the last so many milliseconds that the phone heard were silent.
    #[must_use]
    pub fn has_heard_silence_for(&self, ms: usize) -> bool {
        let state = self.call.state();
        let heard = &state.recording.heard;
        heard.len() >= ms * 8 && level::speech_ms(&heard[heard.len() - ms * 8..]) == 0
    }

    /// Media messages sent to the service.
    #[must_use]
    pub fn frames_sent(&self) -> u64 {
        self.call.state().frames_sent
    }

    /// Media messages received from the service.
    #[must_use]
    pub fn media_received(&self) -> u64 {
        self.call.state().media_received
    }

    /// When a media message (counted from 0 over all streams of the call) was sent. Needs
    /// [`stamp_frames`](super::TwilioOptions::stamp_frames).
    #[must_use]
    pub fn sent_at(&self, frame: usize) -> Option<Instant> {
        self.call.state().sent_at.get(frame).copied()
    }

    /// When media messages arrived, and how many bytes of audio each had. Needs
    /// [`stamp_frames`](super::TwilioOptions::stamp_frames).
    #[must_use]
    pub fn heard_at(&self) -> Vec<(Instant, usize)> {
        self.call.state().heard_at.clone()
    }

    /// When the first stream started: tick 0 of the recording.
    #[must_use]
    pub fn streaming_since(&self) -> Option<Instant> {
        self.call.state().streaming_since
    }

    /// When the call first had a status; `Queued` is when it was placed.
    #[must_use]
    pub fn status_since(&self, status: CallStatus) -> Option<Instant> {
        let state = self.call.state();
        state.history.iter().find(|snapshot| snapshot.status == status).map(|s| s.since)
    }

    /// When the first audio from the service arrived.
    #[must_use]
    pub fn first_media_at(&self) -> Option<Instant> {
        self.call.state().first_media_at
    }

    /// The end of the last 20 ms in which the phone heard speech.
    #[must_use]
    pub fn speech_last_heard_at(&self) -> Option<Instant> {
        self.call.state().speech_last_heard_at
    }

    /// SIDs of the call's streams, in order.
    #[must_use]
    pub fn stream_sids(&self) -> Vec<String> {
        self.call.state().stream_sids.clone()
    }

    /// Whether a media socket is open.
    #[must_use]
    pub fn is_streaming(&self) -> bool {
        self.call.state().open_streams > 0
    }

    /// Marks the service sent.
    #[must_use]
    pub fn marks(&self) -> Vec<MarkRecord> {
        self.call.state().marks.clone()
    }

    /// When the service sent `clear`.
    #[must_use]
    pub fn clears(&self) -> Vec<Instant> {
        self.call.state().clears.clone()
    }

    /// Close frames the service sent, stream by stream: code and reason.
    #[must_use]
    pub fn closes(&self) -> Vec<Option<(u16, String)>> {
        self.call.state().closes.clone()
    }

    /// Keys pressed so far.
    #[must_use]
    pub fn keys(&self) -> Vec<char> {
        self.call.state().keys.clone()
    }

    /// What `<Say>` said, Twilio's apology included.
    #[must_use]
    pub fn say_texts(&self) -> Vec<String> {
        self.call.state().say_texts.clone()
    }

    /// What `<Play>` played.
    #[must_use]
    pub fn plays(&self) -> Vec<String> {
        self.call.state().plays.clone()
    }

    /// Numbers of each `<Dial>`.
    #[must_use]
    pub fn dials(&self) -> Vec<Vec<String>> {
        self.call.state().dials.clone()
    }

    /// TwiML the call was given, in order.
    #[must_use]
    pub fn twiml(&self) -> Vec<TwimlDocument> {
        self.call.state().documents.clone()
    }

    /// Statuses the call has had, in order, each once.
    #[must_use]
    pub fn statuses(&self) -> Vec<CallStatus> {
        let state = self.call.state();
        let mut statuses: Vec<_> = state.history.iter().map(|snapshot| snapshot.status).collect();
        statuses.dedup();
        statuses
    }

    /// What the service did in this call that Twilio does not allow.
    #[must_use]
    pub fn violations(&self) -> Vec<Violation> {
        self.call.state().violations.clone()
    }

    /// What Twilio's debugger would show for this call.
    #[must_use]
    pub fn notifications(&self) -> Vec<Notification> {
        self.call.state().notifications.clone()
    }

    /// Callbacks about this call, in order of completion.
    #[must_use]
    pub fn callbacks(&self) -> Vec<CallbackRecord> {
        let all = self.world.callbacks();
        all.into_iter().filter(|record| record.call_sid == self.call.sid).collect()
    }
}
