//! A test's grip on one call: what the agent heard, and what it shall do.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use serde_json::Value;

use super::{
    agent::Command,
    call::{AgentEvent, CallLog, CallState, CloseReceived, EndReason, Said},
    meter::TimingEvent,
    record,
    script::{Pacing, Turn},
};
use crate::audio::{Tone, pcm_samples, samples_in_ms};

/// One call on a simulated Ultravox. Cheap to clone; outlives the call and its server.
#[derive(Clone)]
pub struct SimAgentCall(pub(crate) Arc<CallState>);

impl fmt::Debug for SimAgentCall {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "SimAgentCall({})", self.0.id)
    }
}

/// What is known of the call.
impl SimAgentCall {
    /// Its `callId`.
    pub fn id(&self) -> &str {
        &self.0.id
    }

    /// Where it is to be joined.
    pub fn join_url(&self) -> &str {
        &self.0.join_url
    }

    /// The body of the request that created it, with what an agent's template or a prior call
    /// contributed.
    pub fn request(&self) -> &Value {
        &self.0.request
    }

    /// The call it continues, if it was created with `priorCallId`.
    pub fn prior_call_id(&self) -> Option<&str> {
        self.0.prior.as_deref()
    }

    /// The agent it was created for.
    pub fn agent_id(&self) -> Option<&str> {
        self.0.agent.as_ref().map(|(id, _)| id.as_str())
    }

    /// The call as the API would return it now.
    pub fn as_json(&self) -> Value {
        record::call_json(&self.0)
    }

    /// Whether somebody has joined it, now or earlier.
    pub fn is_joined(&self) -> bool {
        self.0.log().joined.is_some()
    }

    /// Why it is over, once it is.
    pub fn end_reason(&self) -> Option<EndReason> {
        self.0.log().end_reason
    }

    /// All audio received, in order: signed 16 bit, little endian. Empty if `keep_audio` is off.
    pub fn received_audio(&self) -> Vec<u8> {
        self.0.log().audio.clone()
    }

    /// All audio received, as samples.
    pub fn received_samples(&self) -> Vec<i16> {
        pcm_samples(&self.0.log().audio)
    }

    /// How much audio was received.
    pub fn audio_ms_received(&self) -> u64 {
        u64::try_from(self.0.log().audio_heard.as_millis()).unwrap_or(u64::MAX)
    }

    /// When each binary message came, and its bytes. Empty unless `log_arrivals` is on.
    pub fn arrivals(&self) -> Vec<(Instant, usize)> {
        self.0.log().arrivals.clone()
    }

    /// The stream of a call of the `twilio` medium, once it has started.
    pub fn twilio_stream_sid(&self) -> Option<String> {
        self.0.log().twilio_stream_sid.clone()
    }

    /// Every text message received, in order; of a Twilio stream, all but `media`.
    pub fn received_messages(&self) -> Vec<Value> {
        self.0.log().messages.clone()
    }

    /// The text messages of one type.
    pub fn messages_of_type(&self, kind: &str) -> Vec<Value> {
        let log = self.0.log();
        log.messages.iter().filter(|message| message["type"] == kind).cloned().collect()
    }

    /// What each side has said so far.
    pub fn transcript(&self) -> Vec<Said> {
        self.0.log().transcript.clone()
    }

    /// What happened, and when.
    pub fn events(&self) -> Vec<(Instant, AgentEvent)> {
        self.0.log().events.clone()
    }

    /// Where received audio left the wall clock by more than the tolerance.
    pub fn timing_events(&self) -> Vec<TimingEvent> {
        self.0.log().timing.clone()
    }

    /// How many WebSocket pings the client has answered.
    pub fn pongs_received(&self) -> usize {
        self.0.log().pongs
    }

    /// The results received for a tool invocation.
    pub fn tool_results(&self, invocation: &str) -> Vec<Value> {
        results(&self.0.log(), invocation)
    }

    /// What the client closed the socket with: nothing before it did, or if it vanished.
    pub fn close_frame_received(&self) -> Option<CloseReceived> {
        self.0.log().close_received.clone()
    }
}

/// Waiting for something to happen.
impl SimAgentCall {
    /// Waits until the call is joined.
    pub async fn wait_joined(&self) {
        self.0.wait_for(|log| log.joined).await;
    }

    /// Waits until the call has ended and its socket is gone.
    pub async fn wait_until_over(&self) -> EndReason {
        self.0.wait_for(|log| log.end_reason.filter(|_| log.is_over())).await
    }

    /// Waits until this much audio has been received in all.
    pub async fn wait_for_audio_ms(&self, ms: u64) {
        let enough = Duration::from_millis(ms);
        self.0.wait_for(|log| (log.audio_heard >= enough).then_some(())).await;
    }

    /// Waits until 100 ms in a row of what is received from now on are `tone`. Needs `keep_audio`.
    pub async fn wait_for_tone(&self, tone: Tone) {
        let from = self.0.log().audio.len();
        let window = samples_in_ms(100) * 2;
        let heard = |log: &CallLog| {
            let fresh = &log.audio[from..];
            let tail = fresh.len().checked_sub(window)?;
            tone.is_in(&pcm_samples(&fresh[tail..])).then_some(())
        };
        self.0.wait_for(heard).await;
    }

    /// Waits for the first text message that `wanted` accepts, earlier ones included.
    pub async fn wait_for_message(&self, wanted: impl Fn(&Value) -> bool) -> Value {
        self.0.wait_for(|log| log.messages.iter().find(|message| wanted(message)).cloned()).await
    }

    /// Waits for the first event that `wanted` accepts, earlier ones included.
    pub async fn wait_for_event(&self, wanted: impl Fn(&AgentEvent) -> bool) -> Instant {
        let find = |log: &CallLog| log.events.iter().find(|(_, event)| wanted(event)).map(|e| e.0);
        self.0.wait_for(find).await
    }

    /// Waits until the transcript has `entries` entries, and returns it.
    pub async fn wait_for_transcript(&self, entries: usize) -> Vec<Said> {
        self.0
            .wait_for(|log| (log.transcript.len() >= entries).then(|| log.transcript.clone()))
            .await
    }

    /// Waits until the client has answered so many WebSocket pings in all.
    pub async fn wait_for_pongs(&self, count: usize) {
        self.0.wait_for(|log| (log.pongs >= count).then_some(())).await;
    }

    /// Waits for the result of a tool invocation.
    pub async fn tool_result(&self, invocation: &str) -> Value {
        self.0.wait_for(|log| results(log, invocation).into_iter().next()).await
    }
}

fn results(log: &CallLog, invocation: &str) -> Vec<Value> {
    let is_result = |message: &&Value| {
        message["type"] == "client_tool_result" && message["invocationId"] == invocation
    };
    log.messages.iter().filter(is_result).cloned().collect()
}

/// What the agent shall do. Commands are carried out in order; those given before the call is
/// joined wait for that, and those given after its end are lost.
impl SimAgentCall {
    fn command(&self, command: Command) {
        // Nobody is left to obey once the call is over.
        let _ = self.0.commands.send(command);
    }

    /// Sends audio as fast as the client's buffer allows, without a word in the transcript.
    pub fn say(&self, pcm: impl Into<Bytes>) {
        self.say_paced(pcm, Pacing::AllAtOnce);
    }

    /// Sends audio at a pace.
    pub fn say_paced(&self, pcm: impl Into<Bytes>, pacing: Pacing) {
        self.command(Command::Play(pcm.into(), pacing));
    }

    /// Sends a tone at a pace of real time.
    pub fn play_tone(&self, tone: Tone, ms: u64) {
        let pcm = crate::audio::pcm_bytes(&tone.samples(ms));
        self.say_paced(pcm, Pacing::REAL_TIME);
    }

    /// Says a turn with its transcript and states, after what is being said now; the script goes
    /// on afterwards.
    pub fn say_turn(&self, turn: Turn) {
        self.command(Command::Say(turn, None));
    }

    /// Sends audio at once in messages of these many bytes, over and over: any size, even odd.
    pub fn say_frames_of(&self, pcm: impl Into<Bytes>, sizes: &[usize]) {
        let mut pcm = pcm.into();
        let mut frames = Vec::new();
        for size in sizes.iter().copied().filter(|size| *size > 0).cycle() {
            if pcm.is_empty() {
                break;
            }
            frames.push(pcm.split_to(size.min(pcm.len())));
        }
        self.command(Command::Frames(frames));
    }

    /// Falls silent and sends `playback_clear_buffer`, whether or not anything is playing.
    pub fn clear(&self) {
        self.command(Command::Clear);
    }

    /// Clears, and sends new audio right behind it.
    pub fn clear_and_say(&self, pcm: impl Into<Bytes>) {
        self.clear();
        self.say(pcm);
    }

    /// Sends any text, JSON or not.
    pub fn send_text_raw(&self, text: impl Into<String>) {
        self.command(Command::Text(text.into()));
    }

    /// Sends a message of a type nobody knows.
    pub fn send_unknown_message(&self) {
        self.send_text_raw(r#"{"type":"weather_report","sky":{"clouds":3},"final":null}"#);
    }

    /// Sends a WebSocket ping now, besides those of `ping_every`.
    pub fn send_ping(&self) {
        self.command(Command::Ping);
    }

    /// Invokes a client tool, and returns the invocation's id. No result in time, a second one,
    /// and one that nobody asked for are violations.
    pub fn invoke_tool(&self, tool: &str, parameters: Value) -> String {
        let invocation = uuid::Uuid::new_v4().to_string();
        let tool = tool.to_owned();
        self.command(Command::Invoke { invocation: invocation.clone(), tool, parameters });
        invocation
    }

    /// The agent ends the call: close code 1000.
    pub fn hang_up(&self) {
        self.command(Command::HangUp);
    }

    /// Closes the socket with this code. 1000 counts as the agent hanging up, any other as a
    /// failure of Ultravox.
    pub fn close(&self, code: u16, reason: &str) {
        self.command(Command::Close(code, reason.into()));
    }

    /// Resets the TCP connection.
    pub fn reset(&self) {
        self.command(Command::Reset);
    }

    /// Reads nothing from the socket for so long: a slow or stuck Ultravox.
    pub fn stop_reading(&self, how_long: Duration) {
        self.command(Command::StopReading(how_long));
    }
}
