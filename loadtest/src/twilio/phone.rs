//! The person (or machine) at the other end: whether they answer, and what they then do.
//!
//! [`Phone`] decides frame by frame what the callee's microphone picks up. It does no I/O and
//! reads no clock: the stream asks it for 20 ms at a time and tells it whether it heard speech.

use std::collections::VecDeque;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use tokio::sync::oneshot;

use super::faults::{StreamFaults, WebhookFaults};
use super::playback::FRAME_BYTES;

/// Consecutive speech that counts as "the agent has begun to speak".
const SPEECH_STARTS_MS: u64 = 60;

/// What becomes of an attempt to reach a number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PhoneOutcome {
    /// Somebody answers.
    #[default]
    Answer,
    /// The line is busy.
    Busy,
    /// Nobody answers until the call's `Timeout`, or for [`PhoneBehaviour::ring`] if that is set.
    NoAnswer,
    /// The number cannot be reached.
    Failed,
    /// The carrier cancels the attempt.
    Canceled,
}

/// A line on which nobody speaks: captured silence wanders over the codes around zero.
static NOISE: LazyLock<[[u8; FRAME_BYTES]; 64]> = LazyLock::new(|| {
    let mut state = 0;
    let mut code = || {
        state = (state * 5 + 3) & 0xFFFF;
        [0xFF, 0x7F, 0xFE, 0x7E][(state >> 7) & 3]
    };
    [[(); FRAME_BYTES]; 64].map(|frame| frame.map(|()| code()))
});

/// How a phone behaves when it is called.
#[derive(Clone, Debug)]
pub struct PhoneBehaviour {
    /// From the end of the queue to the first ring.
    pub dialing: Duration,
    /// From the first ring to the outcome.
    pub ring: Duration,
    /// Some networks never report ringing.
    pub reports_ringing: bool,
    /// What comes of it.
    pub outcome: PhoneOutcome,
    /// Sent with the last status callback; a usual one for the outcome when not set.
    pub sip_response_code: Option<u16>,
    /// Verdict of answering machine detection, when the call asked for it.
    pub answered_by: String,
    /// How long detection takes.
    pub detection: Duration,
    /// What the callee does once a media stream is up.
    pub script: CallerScript,
    /// What goes wrong with media streams.
    pub stream: StreamFaults,
    /// What goes wrong with fetching TwiML.
    pub webhook: WebhookFaults,
}

impl Default for PhoneBehaviour {
    fn default() -> Self {
        PhoneBehaviour {
            dialing: Duration::ZERO,
            ring: Duration::ZERO,
            reports_ringing: true,
            outcome: PhoneOutcome::Answer,
            sip_response_code: None,
            answered_by: "human".to_owned(),
            detection: Duration::from_millis(50),
            script: CallerScript::default(),
            stream: StreamFaults::default(),
            webhook: WebhookFaults::default(),
        }
    }
}

impl PhoneBehaviour {
    /// Answers at once and stays silent until told otherwise.
    #[must_use]
    pub fn answers() -> Self {
        Self::default()
    }

    /// Comes to another end than an answer.
    #[must_use]
    pub fn ends_in(outcome: PhoneOutcome) -> Self {
        PhoneBehaviour { outcome, ..Self::default() }
    }

    /// Answers after ringing this long.
    #[must_use]
    pub fn ringing_for(mut self, ring: Duration) -> Self {
        self.ring = ring;
        self
    }

    /// Is found out after this long.
    #[must_use]
    pub fn detected_after(mut self, detection: Duration) -> Self {
        self.detection = detection;
        self
    }

    /// Follows a script once a media stream is up.
    #[must_use]
    pub fn following(mut self, script: CallerScript) -> Self {
        self.script = script;
        self
    }

    /// Has these faults on its media streams.
    #[must_use]
    pub fn with_stream_faults(mut self, faults: StreamFaults) -> Self {
        self.stream = faults;
        self
    }

    /// Is found to be this by answering machine detection: `human`, `machine_start`, `fax`, … The
    /// mode that was asked for says whether a machine is reported as `machine_start` or as one of
    /// `machine_end_beep`, `machine_end_silence` and `machine_end_other`.
    #[must_use]
    pub fn detected_as(mut self, answered_by: &str) -> Self {
        answered_by.clone_into(&mut self.answered_by);
        self
    }
}

/// One step of a caller's script. A step begins when the one before it is done.
#[derive(Clone, Debug)]
pub enum CallerStep {
    /// Stay silent for this long.
    WaitMs(u64),
    /// Say a clip of µ-law, to its end.
    Say(Arc<[u8]>),
    /// Wait until the agent is heard to begin.
    WaitForAgentSpeech,
    /// Wait until the agent has been silent for this long within this step.
    WaitForAgentSilence(u64),
    /// Wait until the agent has spoken for this long within this step, then go on at once.
    InterruptAfterAgentSpoke(u64),
    /// Press a key.
    Press(char),
    /// Hang up.
    HangUp,
}

/// What a caller does, step by step. After the last step they stay on the line, silent.
#[derive(Clone, Debug, Default)]
pub struct CallerScript(pub Vec<CallerStep>);

impl CallerScript {
    /// Nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn then(mut self, step: CallerStep) -> Self {
        self.0.push(step);
        self
    }

    /// Then stays silent for this long.
    #[must_use]
    pub fn wait_ms(self, ms: u64) -> Self {
        self.then(CallerStep::WaitMs(ms))
    }

    /// Then says a clip of µ-law.
    #[must_use]
    pub fn say(self, clip: impl Into<Arc<[u8]>>) -> Self {
        self.then(CallerStep::Say(clip.into()))
    }

    /// Then waits until the agent begins to speak.
    #[must_use]
    pub fn wait_for_agent_speech(self) -> Self {
        self.then(CallerStep::WaitForAgentSpeech)
    }

    /// Then waits until the agent has been silent for this long.
    #[must_use]
    pub fn wait_for_agent_silence(self, ms: u64) -> Self {
        self.then(CallerStep::WaitForAgentSilence(ms))
    }

    /// Then waits until the agent has spoken for this long.
    #[must_use]
    pub fn interrupt_after_agent_spoke(self, ms: u64) -> Self {
        self.then(CallerStep::InterruptAfterAgentSpoke(ms))
    }

    /// Then presses a key.
    #[must_use]
    pub fn press(self, digit: char) -> Self {
        self.then(CallerStep::Press(digit))
    }

    /// Then hangs up.
    #[must_use]
    pub fn hang_up(self) -> Self {
        self.then(CallerStep::HangUp)
    }
}

/// Something other than sound that the callee does.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum PhoneAct {
    Press(char),
    HangUp,
}

/// 20 ms of the callee's side.
pub(crate) struct Spoken {
    pub(crate) frame: [u8; FRAME_BYTES],
    /// Whether there is a clip in it.
    pub(crate) speaks: bool,
    pub(crate) acts: Vec<PhoneAct>,
}

struct Speech {
    clip: Arc<[u8]>,
    spoken: usize,
    /// Told when the last byte has been spoken.
    done: Option<oneshot::Sender<()>>,
}

/// The callee of one call; lives through all its streams.
#[derive(Default)]
pub(crate) struct Phone {
    script: VecDeque<CallerStep>,
    queue: VecDeque<Speech>,
    speech: Option<Speech>,
    /// The frame of noise that comes next.
    noise: usize,
    step_ms: u64,
    agent_run_ms: u64,
    agent_spoke_ms: u64,
    agent_silent_ms: u64,
}

impl Phone {
    pub(crate) fn new(script: &CallerScript) -> Self {
        Phone { script: script.0.iter().cloned().collect(), ..Phone::default() }
    }

    /// Speaks a clip after whatever is being spoken, ahead of the rest of the script.
    pub(crate) fn say(&mut self, clip: Arc<[u8]>, done: oneshot::Sender<()>) {
        self.queue.push_back(Speech { clip, spoken: 0, done: Some(done) });
    }

    /// The next 20 ms, given whether speech was heard in the same 20 ms.
    pub(crate) fn next_frame(&mut self, heard_speech: bool) -> Spoken {
        self.step_ms += 20;
        if heard_speech {
            self.agent_run_ms += 20;
            self.agent_spoke_ms += 20;
            self.agent_silent_ms = 0;
        } else {
            self.agent_run_ms = 0;
            self.agent_silent_ms += 20;
        }
        let mut acts = Vec::new();
        while self.speech.is_none() {
            if let Some(speech) = self.queue.pop_front() {
                self.speech = Some(speech);
            } else if !self.take_step(&mut acts) {
                break;
            }
        }
        let speaks = self.speech.is_some();
        Spoken { frame: self.sound(), speaks, acts }
    }

    /// Begins the next step of the script, if its time has come.
    fn take_step(&mut self, acts: &mut Vec<PhoneAct>) -> bool {
        let done = match self.script.front() {
            None => return false,
            Some(CallerStep::WaitMs(ms)) => self.step_ms > *ms,
            Some(CallerStep::WaitForAgentSpeech) => self.agent_run_ms >= SPEECH_STARTS_MS,
            Some(CallerStep::WaitForAgentSilence(ms)) => self.agent_silent_ms >= *ms,
            Some(CallerStep::InterruptAfterAgentSpoke(ms)) => self.agent_spoke_ms >= *ms,
            Some(CallerStep::Say(_) | CallerStep::Press(_) | CallerStep::HangUp) => true,
        };
        if !done {
            return false;
        }
        match self.script.pop_front() {
            Some(CallerStep::Say(clip)) => {
                self.speech = Some(Speech { clip, spoken: 0, done: None });
            }
            Some(CallerStep::Press(digit)) => acts.push(PhoneAct::Press(digit)),
            Some(CallerStep::HangUp) => acts.push(PhoneAct::HangUp),
            _ => {}
        }
        self.begin_step();
        true
    }

    fn begin_step(&mut self) {
        self.step_ms = 0;
        self.agent_run_ms = 0;
        self.agent_spoke_ms = 0;
        self.agent_silent_ms = 0;
    }

    fn sound(&mut self) -> [u8; FRAME_BYTES] {
        let mut frame = NOISE[self.noise];
        self.noise = (self.noise + 1) % NOISE.len();
        if let Some(speech) = &mut self.speech {
            let take = FRAME_BYTES.min(speech.clip.len() - speech.spoken);
            frame[..take].copy_from_slice(&speech.clip[speech.spoken..speech.spoken + take]);
            speech.spoken += take;
            if speech.spoken == speech.clip.len() {
                let finished = self.speech.take();
                if let Some(done) = finished.and_then(|speech| speech.done) {
                    // Whoever asked may have stopped waiting.
                    let _ = done.send(());
                }
                self.begin_step();
            }
        }
        frame
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::twilio::level::is_speech;

    const LOUD: u8 = 0x90;

    fn frames(phone: &mut Phone, heard: &[bool]) -> Vec<Spoken> {
        heard.iter().map(|&heard| phone.next_frame(heard)).collect()
    }

    fn speaking(spoken: &[Spoken]) -> Vec<bool> {
        spoken.iter().map(|s| s.frame[0] == LOUD).collect()
    }

    #[test]
    fn a_silent_phone_sends_line_noise() {
        let mut phone = Phone::default();
        let frame = phone.next_frame(false).frame;
        assert!(!is_speech(&frame));
        assert!(frame.iter().all(|byte| [0xFF, 0x7F, 0xFE, 0x7E].contains(byte)));
        assert!(frame.iter().any(|&byte| byte != frame[0]));
    }

    #[test]
    fn a_script_runs_step_by_step() {
        let script = CallerScript::new().wait_ms(40).say(vec![LOUD; 240]).press('5').hang_up();
        let mut phone = Phone::new(&script);
        let spoken = frames(&mut phone, &[false; 6]);

        assert_eq!(speaking(&spoken), [false, false, true, true, false, false]);
        assert_eq!(spoken[3].frame[79], LOUD);
        assert_ne!(spoken[3].frame[80], LOUD);
        assert_eq!(spoken[4].acts, [PhoneAct::Press('5'), PhoneAct::HangUp]);
    }

    #[test]
    fn the_caller_interrupts_after_the_agent_has_spoken() {
        let script = CallerScript::new().interrupt_after_agent_spoke(60).say(vec![LOUD; 160]);
        let mut phone = Phone::new(&script);
        let spoken = frames(&mut phone, &[true, false, true, false, true, true]);
        assert_eq!(speaking(&spoken), [false, false, false, false, true, false]);
    }

    #[test]
    fn the_caller_waits_for_a_whole_turn_of_the_agent() {
        let script = CallerScript::new()
            .wait_for_agent_speech()
            .wait_for_agent_silence(40)
            .say(vec![LOUD; 160]);
        let mut phone = Phone::new(&script);
        let heard = [false, true, true, true, true, false, true, false, false];
        let spoken = frames(&mut phone, &heard);
        assert_eq!(speaking(&spoken).iter().position(|s| *s), Some(8));
    }

    #[test]
    fn a_clip_said_by_hand_reports_when_it_is_spoken() {
        let mut phone = Phone::default();
        let (done, mut spoken) = oneshot::channel();
        phone.say(vec![LOUD; 320].into(), done);
        phone.next_frame(false);
        assert!(spoken.try_recv().is_err());
        phone.next_frame(false);
        assert!(spoken.try_recv().is_ok());
    }
}
