//! What other people make the agent do: messages of the client, and commands of a test.

use super::*;
use crate::ultravox::script::Line;

impl Agent {
    pub(super) fn message(&mut self, now: Instant, message: &Value) {
        let text = |field: &str| message[field].as_str().unwrap_or_default().to_owned();
        match message["type"].as_str().unwrap_or_default() {
            "ping" => {
                let pong = json!({"type": "pong", "timestamp": message["timestamp"]});
                self.text("pong", &pong);
            }
            "user_text_message" => {
                self.user_said(text("text"), "text");
                match message["urgency"].as_str().unwrap_or("soon") {
                    "immediate" => {
                        self.fall_silent(now);
                        self.think_unless_frozen(now);
                    }
                    "later" => {}
                    _ if self.speech.is_none() => self.think_unless_frozen(now),
                    // Answered when the current words are over.
                    _ => self.owes_answer = true,
                }
            }
            "forced_agent_message" => {
                let mut turn = Turn::of(Line::murmur(text("content")));
                turn.uninterruptible = message["uninterruptible"] == true;
                if message["urgency"] == "immediate" {
                    self.fall_silent(now);
                    self.asides.push_front((turn, None));
                } else {
                    self.asides.push_back((turn, None));
                }
                if self.speech.is_none() {
                    self.take_turn(now);
                }
            }
            "hang_up" => {
                self.fall_silent(now);
                let goodbye = text("message");
                if goodbye.is_empty() {
                    return self.say_goodbye();
                }
                let turn = Turn::of(Line::murmur(goodbye)).then_hang_up().uninterruptible();
                self.asides.push_front((turn, None));
                self.take_turn(now);
            }
            "set_output_medium" => self.text_only = message["medium"] == "text",
            "client_tool_result" => self.tool_result(now, message),
            "spawn_thread" => {
                let spawned = json!({"type": "thread_spawned", "threadId": message["newThreadId"]});
                self.actions.push_back(Action::Text(spawned.to_string()));
            }
            other => self.actions.push_back(Action::Violation(format!(
                "{other} is a message the simulated agent does not know"
            ))),
        }
    }

    pub(super) fn command(&mut self, now: Instant, command: Command) {
        match command {
            Command::Say(turn, pacing) => {
                self.asides.push_back((turn, pacing));
                if self.speech.is_none() {
                    self.take_turn(now);
                }
            }
            Command::Play(pcm, pacing) => self.playout.say(now, pcm, pacing),
            Command::Frames(frames) => {
                for frame in frames {
                    self.playout.sent(now, frame.len());
                    self.actions.push_back(Action::Audio(frame));
                }
            }
            Command::Clear => self.interrupt(now),
            Command::Text(text) => self.actions.push_back(Action::Text(text)),
            Command::Invoke { invocation, tool, parameters } => {
                self.invoke(now, invocation, tool, parameters);
            }
            Command::Message(message) => self.message(now, &message),
            Command::HangUp => self.say_goodbye(),
            Command::Close(code, reason) => {
                let end =
                    if code == 1000 { EndReason::AgentHangup } else { EndReason::SystemError };
                self.close(code, &reason, end);
            }
            Command::Ping | Command::Reset | Command::StopReading(_) => {}
        }
    }

    pub(super) fn invoke(
        &mut self,
        now: Instant,
        invocation: String,
        tool: String,
        parameters: Value,
    ) {
        let message = json!({
            "type": "client_tool_invocation", "toolName": tool,
            "invocationId": invocation, "parameters": parameters,
        });
        self.text("clientToolInvocation", &message);
        let deadline = now + self.settings.tool_timeout;
        self.tools.insert(invocation, Tool { deadline, answered: false });
    }

    fn tool_result(&mut self, now: Instant, message: &Value) {
        let invocation = message["invocationId"].as_str().unwrap_or_default();
        let Some(tool) = self.tools.get_mut(invocation) else {
            let what = format!("a result for {invocation}, which was never invoked");
            return self.actions.push_back(Action::Violation(what));
        };
        if tool.answered {
            let what = format!("a second or late result for tool invocation {invocation}");
            return self.actions.push_back(Action::Violation(what));
        }
        tool.answered = true;
        if message.get("result").is_some() == message.get("errorType").is_some() {
            let what = "a tool result needs either a result or an errorType".to_owned();
            self.actions.push_back(Action::Violation(what));
        }
        if message["responseType"] == "hang-up" {
            return self.say_goodbye();
        }
        if self.phase == (Phase::Frozen { invocation: invocation.into() }) {
            if message["agentReaction"] == "listens" {
                self.listen(false);
            } else {
                self.think(now);
            }
        }
    }

    pub(super) fn expire_tools(&mut self, now: Instant) {
        let late: Vec<String> = self
            .tools
            .iter_mut()
            .filter(|(_, tool)| !tool.answered && tool.deadline <= now)
            .map(|(invocation, tool)| {
                tool.answered = true;
                invocation.clone()
            })
            .collect();
        for invocation in late {
            let what = format!("no result in time for tool invocation {invocation}");
            self.actions.push_back(Action::Violation(what));
            if self.phase == (Phase::Frozen { invocation }) {
                self.think(now);
            }
        }
    }

    /// Stops what is being said, if anything is.
    fn fall_silent(&mut self, now: Instant) {
        if self.playout.is_running(now) {
            self.interrupt(now);
        }
    }

    fn think_unless_frozen(&mut self, now: Instant) {
        if !matches!(self.phase, Phase::Frozen { .. }) {
            self.think(now);
        }
    }
}
