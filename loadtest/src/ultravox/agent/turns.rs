//! Whose turn it is: the agent's, the user's, or neither's while a tool runs.

use super::*;

impl Agent {
    pub(super) fn user_started(&mut self, now: Instant) {
        self.note(AgentEvent::UserStartedSpeaking);
        self.text("userStartedSpeaking", &json!({"type": "user_started_speaking"}));
        self.speaks_unasked_at = None;
        match self.phase {
            Phase::Speaking if self.can_be_interrupted(now) => self.interrupt(now),
            Phase::Thinking { .. } => self.listen(false),
            _ => {}
        }
    }

    pub(super) fn user_stopped(&mut self, now: Instant, text: String) {
        self.note(AgentEvent::UserStoppedSpeaking);
        self.text("userStoppedSpeaking", &json!({"type": "user_stopped_speaking"}));
        self.user_said(text, "voice");
        match self.phase {
            Phase::Waiting { then_hang_up: true } => self.say_goodbye(),
            Phase::Waiting { then_hang_up: false } => self.think(now),
            _ => {}
        }
    }

    /// Enters the user's words in the transcript.
    pub(super) fn user_said(&mut self, text: String, medium: &'static str) {
        let ordinal = self.ordinal();
        let message = json!({
            "type": "transcript", "role": "user", "medium": medium,
            "text": text, "delta": null, "final": true, "ordinal": ordinal,
        });
        self.text("transcript", &message);
        self.actions.push_back(Action::Said(Said { by_agent: false, text, medium, ordinal }));
    }

    fn can_be_interrupted(&self, now: Instant) -> bool {
        self.playout.is_running(now)
            && self.speech.as_ref().is_some_and(|speech| !speech.uninterruptible)
    }

    /// Falls silent at once, and drops what has not been heard.
    pub(super) fn interrupt(&mut self, now: Instant) {
        self.tell_words(now);
        let unheard = self.playout.clear(now);
        if self.settings.messages.contains("playbackClearBuffer") {
            self.actions.push_back(Action::Text(CLEAR.into()));
        }
        self.note(AgentEvent::Interrupted { unheard });
        let Some(speech) = self.speech.take() else { return };
        self.close_entry(&speech);
        self.listen(speech.then == Then::HangUp);
    }

    /// Lets the user speak.
    pub(super) fn listen(&mut self, then_hang_up: bool) {
        self.phase = Phase::Waiting { then_hang_up };
        self.state("listening");
    }

    /// Prepares to speak, if there is anything to say.
    pub(super) fn think(&mut self, now: Instant) {
        if self.turns.is_empty() && self.asides.is_empty() {
            return self.listen(false);
        }
        self.phase = Phase::Thinking { until: now + self.settings.think };
        self.state("thinking");
    }

    /// Begins the next aside or scripted turn.
    pub(super) fn take_turn(&mut self, now: Instant) {
        let (turn, pacing) = match self.asides.pop_front() {
            Some(aside) => aside,
            None => match self.turns.pop_front() {
                Some(turn) => {
                    self.turns_begun += 1;
                    (turn, None)
                }
                None => return self.listen(false),
            },
        };
        self.speaks_unasked_at = None;
        self.owes_answer = false;
        let text = turn.text();
        let pacing = pacing.unwrap_or(self.settings.pacing);
        // Manual audio may still be playing; words are heard when their own sound is.
        let from = self.playout.heard_until().max(now);
        let bytes: usize = turn.lines.iter().map(|line| line.pcm.len()).sum();
        let length = if self.text_only { Duration::ZERO } else { self.playout.duration(bytes) };
        let speech = Speech::begin(&turn, self.ordinal(), from, length);
        if !self.text_only {
            for line in turn.lines {
                self.playout.say(now, line.pcm, pacing);
            }
        }
        self.phase = Phase::Speaking;
        self.state("speaking");
        self.note(AgentEvent::TurnStarted { text });
        self.speech = Some(speech);
        // The first frames are due at once.
        while let Some(frame) = self.playout.poll(now) {
            self.actions.push_back(Action::Audio(frame));
        }
        self.tell_words(now);
        self.finish_speech(now);
    }

    pub(super) fn tell_words(&mut self, now: Instant) {
        while let Some(word) = self.speech.as_mut().and_then(|speech| speech.tell_word(now)) {
            self.text("transcript", &word);
        }
    }

    /// Ends what is being said once all of it has been heard, and goes on to what follows.
    pub(super) fn finish_speech(&mut self, now: Instant) {
        let leaves_early = self.settings.hang_up == HangUpWhen::Sent && self.playout.all_sent();
        let done = self.speech.take_if(|speech| {
            !self.playout.is_running(now) || (leaves_early && speech.then == Then::HangUp)
        });
        let Some(mut speech) = done else { return };
        speech.tell_all();
        self.close_entry(&speech);
        self.note(AgentEvent::TurnEnded);
        match speech.then {
            Then::HangUp => self.say_goodbye(),
            Then::Invoke { tool, parameters } => {
                let invocation = uuid::Uuid::new_v4().to_string();
                self.phase = Phase::Frozen { invocation: invocation.clone() };
                self.invoke(now, invocation, tool, parameters);
            }
            Then::Listen if self.asides.is_empty() && !self.owes_answer => self.listen(false),
            Then::Listen => self.think(now),
        }
    }

    fn close_entry(&mut self, speech: &Speech) {
        self.text("transcript", &speech.final_message());
        self.actions.push_back(Action::Said(Said {
            by_agent: true,
            text: speech.heard_text(),
            medium: speech.medium(),
            ordinal: speech.ordinal,
        }));
    }

    /// The agent ends the call.
    pub(super) fn say_goodbye(&mut self) {
        self.close(1000, "", EndReason::AgentHangup);
    }
}
