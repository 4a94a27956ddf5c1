//! Lives of calls, as small scripts: what happens, and what is to be done.

#![expect(clippy::disallowed_methods, reason = "a script begins now and then keeps its own time")]

mod any_order;
mod bridged;
mod inbound;
mod messages;
mod tracked;

use super::*;

/// How long a message may take.
const MESSAGE: Duration = Duration::from_secs(40);

struct Script {
    life: CallLife,
    now: Instant,
}

impl Script {
    fn dialled() -> Self {
        let life = CallLife::outbound(Duration::from_secs(60), Duration::from_secs(3_600));
        let mut call = Script { life, now: Instant::now() };
        call.give(Input::AgentReady);
        call
    }

    /// Dialled for somebody else's TwiML.
    fn tracked() -> Self {
        let life = CallLife::tracked(Duration::from_secs(60), Duration::from_secs(180));
        let mut call = Script { life, now: Instant::now() };
        call.give(Input::Placed);
        call
    }

    /// Somebody calls, and the agent is being made ready.
    fn ringing() -> Self {
        let now = Instant::now();
        Script { life: CallLife::inbound(now, Duration::from_secs(3_600)), now }
    }

    fn live() -> Self {
        let mut call = Script::dialled();
        call.give(Input::Placed);
        call.give(Input::Answered);
        call.give(Input::StreamOpened);
        call.actions();
        call
    }

    fn give(&mut self, input: Input) {
        self.life.handle(self.now, input);
    }

    fn wait(&mut self, seconds: u64) {
        let until = self.now + Duration::from_secs(seconds);
        while let Some(at) = self.life.next_deadline().filter(|&at| at <= until) {
            self.now = self.now.max(at);
            self.give(Input::Tick);
        }
        self.now = until;
    }

    fn actions(&mut self) -> Vec<Action> {
        std::iter::from_fn(|| self.life.poll_action()).collect()
    }

    fn finish(&mut self) -> Option<(CallStatus, EndReason)> {
        self.actions().into_iter().find_map(|action| match action {
            Action::Finish { status, reason, .. } => Some((status, reason)),
            _ => None,
        })
    }
}
