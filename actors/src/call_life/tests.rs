//! Lives of calls, as small scripts: what happens, and what is to be done.

#![expect(clippy::disallowed_methods, reason = "a script begins now and then keeps its own time")]

use super::*;

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

#[test]
fn a_call_the_agent_ends_is_hung_up_and_completed() {
    let mut call = Script::live();
    call.give(Input::StreamOver(EndReason::AgentHungUp));
    assert_eq!(call.actions(), [Action::HangUpPhone]);
    call.give(Input::HungUp(Some(CallStatus::Completed)));
    assert_eq!(call.finish(), Some((CallStatus::Completed, EndReason::AgentHungUp)));
}

#[test]
fn a_person_who_hangs_up_is_not_hung_up_on() {
    let mut call = Script::live();
    call.give(Input::StreamOver(EndReason::PhoneHungUp));
    assert_eq!(call.actions(), []);
    call.give(Input::PhoneStatus(CallStatus::Completed));
    assert_eq!(call.finish(), Some((CallStatus::Completed, EndReason::PhoneHungUp)));
}

#[test]
fn a_call_that_never_got_its_stream_has_time_for_an_apology() {
    let mut call = Script::dialled();
    call.give(Input::Answered);
    call.actions();
    call.give(Input::StreamLeft);
    assert_eq!(call.actions(), []);
    call.give(Input::PhoneStatus(CallStatus::Completed));
    assert_eq!(call.finish(), Some((CallStatus::Completed, EndReason::StreamMissing)));
}

#[test]
fn a_lost_stream_is_hung_up_after_five_seconds() {
    let mut call = Script::live();
    call.give(Input::StreamOver(EndReason::PhoneLost));
    call.wait(4);
    assert_eq!(call.actions(), []);
    call.wait(1);
    assert_eq!(call.actions(), [Action::HangUpPhone]);
}

#[test]
fn twilio_may_say_our_apology_to_its_end() {
    let mut call = Script::live();
    call.give(Input::StreamOver(EndReason::PhoneLost));
    call.wait(1);
    call.give(Input::StreamLeft);
    call.wait(19);
    assert_eq!(call.actions(), []);
    call.wait(1);
    assert_eq!(call.actions(), [Action::HangUpPhone]);
}

#[test]
fn an_agent_that_could_not_be_joined_is_given_back() {
    let mut call = Script::live();
    call.give(Input::StreamOver(EndReason::AgentUnreachable));
    assert_eq!(call.actions(), [Action::ReleaseAgent]);
}

#[test]
fn the_news_of_the_end_may_come_before_the_streams() {
    let mut call = Script::live();
    call.give(Input::PhoneStatus(CallStatus::Completed));
    assert_eq!(call.actions(), [Action::EndStream(EndReason::PhoneHungUp)]);
    call.give(Input::StreamOver(EndReason::PhoneHungUp));
    assert_eq!(call.finish(), Some((CallStatus::Completed, EndReason::PhoneHungUp)));
}

#[test]
fn a_pump_that_never_reports_does_not_keep_a_call_alive() {
    let mut call = Script::live();
    call.give(Input::PhoneStatus(CallStatus::Completed));
    call.wait(5);
    assert_eq!(call.finish(), Some((CallStatus::Completed, EndReason::PhoneHungUp)));
}

#[test]
fn calls_nobody_answers_give_the_agent_back() {
    for (status, reason) in [
        (CallStatus::Busy, EndReason::Busy),
        (CallStatus::NoAnswer, EndReason::NoAnswer),
        (CallStatus::Failed, EndReason::PhoneFailed),
        (CallStatus::Canceled, EndReason::Canceled),
    ] {
        let mut call = Script::dialled();
        call.give(Input::Placed);
        call.give(Input::PhoneStatus(CallStatus::Ringing));
        call.give(Input::PhoneStatus(status));
        let actions = call.actions();
        assert_eq!(actions[0], Action::Status(CallStatus::Ringing));
        assert_eq!(actions[1], Action::ReleaseAgent);
        assert!(
            matches!(actions[2], Action::Finish { status: s, reason: r, duration: None, .. } if s == status && r == reason),
            "{actions:?}"
        );
    }
}

#[test]
fn a_phone_twilio_forgets_is_given_up_after_the_ring_timeout() {
    let mut call = Script::dialled();
    call.give(Input::Placed);
    call.wait(74);
    assert_eq!(call.actions(), []);
    call.wait(1);
    assert_eq!(call.actions(), [Action::HangUpPhone]);
    call.give(Input::HungUp(None));
    assert_eq!(call.finish(), Some((CallStatus::NoAnswer, EndReason::NoAnswer)));
}

#[test]
fn an_answered_call_without_a_stream_is_ended() {
    let mut call = Script::dialled();
    call.give(Input::Placed);
    call.give(Input::Answered);
    call.wait(15);
    assert!(call.actions().contains(&Action::HangUpPhone));
    assert_eq!(call.life.reason(), Some(EndReason::StreamMissing));
}

#[test]
fn a_call_may_last_no_longer_than_allowed() {
    let mut call = Script::live();
    call.wait(3_599);
    assert_eq!(call.actions(), []);
    call.wait(1);
    assert_eq!(call.actions(), [Action::EndStream(EndReason::MaxDuration), Action::HangUpPhone]);
}

#[test]
fn hanging_up_is_tried_until_it_works_or_is_hopeless() {
    let mut call = Script::live();
    call.give(Input::StreamOver(EndReason::AgentHungUp));
    let mut tries = 0;
    while call.actions().contains(&Action::HangUpPhone) {
        tries += 1;
        call.give(Input::HangUpFailed);
        if call.life.next_deadline().is_none() {
            break;
        }
        call.wait(60);
    }
    assert_eq!(tries, HANG_UP_TRIES);
    assert_eq!(call.finish(), Some((CallStatus::Completed, EndReason::AgentHungUp)));
}

#[test]
fn an_end_wished_for_while_dialling_waits_for_the_phone() {
    let mut call = Script::dialled();
    call.give(Input::End(EndReason::ShutDown));
    assert_eq!(call.actions(), []);
    call.give(Input::Placed);
    assert_eq!(call.actions(), [Action::HangUpPhone]);
    call.give(Input::HungUp(Some(CallStatus::Canceled)));
    assert_eq!(call.finish(), Some((CallStatus::Canceled, EndReason::ShutDown)));
}

#[test]
fn a_call_that_could_not_be_placed_fails_and_says_why() {
    let mut call = Script::dialled();
    call.give(Input::DialFailed {
        reason: EndReason::PhoneCreateFailed,
        detail: "not valid".into(),
    });
    assert_eq!(
        call.actions(),
        [
            Action::ReleaseAgent,
            Action::Finish {
                status: CallStatus::Failed,
                reason: EndReason::PhoneCreateFailed,
                detail: Some("not valid".into()),
                duration: None
            }
        ]
    );
}

#[test]
fn a_call_that_comes_in_is_answered_by_its_stream() {
    let mut call = Script::ringing();
    assert!(!call.life.awaits_stream());
    call.wait(9);
    call.give(Input::AgentReady);
    assert_eq!((call.life.status(), call.actions()), (CallStatus::Ringing, vec![]));
    assert!(call.life.awaits_stream());
    call.wait(14);
    call.give(Input::StreamOpened);
    assert_eq!(call.actions(), [Action::Status(CallStatus::InProgress)]);
    call.give(Input::PhoneStatus(CallStatus::InProgress));
    call.wait(3_599);
    assert_eq!(call.actions(), []);
    call.wait(1);
    assert_eq!(call.actions(), [Action::EndStream(EndReason::MaxDuration), Action::HangUpPhone]);
}

#[test]
fn a_caller_who_hangs_up_ends_the_call_though_no_callback_comes() {
    let mut call = Script::ringing();
    call.give(Input::AgentReady);
    call.give(Input::StreamOpened);
    call.give(Input::StreamOver(EndReason::PhoneHungUp));
    call.wait(5);
    assert!(call.actions().ends_with(&[Action::HangUpPhone]));
    call.give(Input::HungUp(Some(CallStatus::Completed)));
    assert_eq!(call.finish(), Some((CallStatus::Completed, EndReason::PhoneHungUp)));
}

#[test]
fn a_caller_whose_agent_is_refused_has_time_for_an_apology() {
    let mut call = Script::ringing();
    let (reason, detail) = (EndReason::AgentCreateFailed, "no such voice".to_owned());
    call.give(Input::DialFailed { reason, detail });
    assert_eq!(call.life.reason(), Some(reason));
    call.wait(19);
    assert_eq!(call.actions(), []);
    call.wait(1);
    assert_eq!(call.actions(), [Action::HangUpPhone]);
    call.give(Input::HungUp(Some(CallStatus::Completed)));
    let detail = Some("no such voice".into());
    let status = CallStatus::Completed;
    assert_eq!(call.actions(), [Action::Finish { status, reason, detail, duration: None }]);
}

#[test]
fn an_agent_that_comes_too_late_is_given_back_at_once() {
    let mut call = Script::ringing();
    call.wait(9);
    assert_eq!(call.life.reason(), None);
    call.wait(1);
    assert_eq!(call.life.reason(), Some(EndReason::AgentCreateFailed));
    call.give(Input::AgentReady);
    assert_eq!(call.actions(), [Action::ReleaseAgent]);
    assert!(!call.life.awaits_stream());
    call.give(Input::PhoneStatus(CallStatus::Completed));
    assert!(matches!(
        call.actions().as_slice(),
        [Action::Finish { reason: EndReason::AgentCreateFailed, detail: Some(_), .. }]
    ));
}

#[test]
fn a_caller_who_does_not_wait_for_the_agent_ends_the_call() {
    let mut call = Script::ringing();
    call.give(Input::PhoneStatus(CallStatus::NoAnswer));
    assert_eq!(call.finish(), Some((CallStatus::NoAnswer, EndReason::NoAnswer)));

    // The same without a word from Twilio: no stream comes.
    let mut call = Script::ringing();
    call.give(Input::AgentReady);
    call.wait(15);
    assert_eq!(call.actions(), [Action::HangUpPhone]);
    call.give(Input::HungUp(Some(CallStatus::NoAnswer)));
    assert_eq!(call.finish(), Some((CallStatus::NoAnswer, EndReason::StreamMissing)));
}

const MESSAGE: Duration = Duration::from_secs(40);

#[test]
fn a_machine_hears_the_message_to_its_end() {
    let mut call = Script::live();
    call.give(Input::Say(MESSAGE));
    assert_eq!(call.actions(), [Action::Say], "the stream is left to Twilio");
    call.give(Input::Saying);
    assert_eq!(call.actions(), [Action::EndStream(EndReason::Machine)]);
    call.give(Input::StreamOver(EndReason::PhoneHungUp));
    call.wait(39);
    assert_eq!(call.actions(), []);
    call.give(Input::PhoneStatus(CallStatus::Completed));
    assert_eq!(call.finish(), Some((CallStatus::Completed, EndReason::Machine)));
}

#[test]
fn twilio_may_leave_the_stream_before_it_answers() {
    let mut call = Script::live();
    call.give(Input::Say(MESSAGE));
    call.give(Input::StreamOver(EndReason::PhoneHungUp));
    call.give(Input::StreamLeft);
    call.wait(30);
    call.give(Input::Saying);
    assert_eq!(call.actions(), [Action::Say], "nobody hangs up on the message");
    call.give(Input::PhoneStatus(CallStatus::Completed));
    assert_eq!(call.finish(), Some((CallStatus::Completed, EndReason::Machine)));
}

#[test]
fn a_message_without_end_is_cut_off() {
    let mut call = Script::live();
    call.give(Input::Say(MESSAGE));
    call.give(Input::Saying);
    call.actions();
    call.wait(40);
    assert_eq!(call.actions(), [Action::HangUpPhone]);
}

#[test]
fn a_message_nobody_hears_of_ends_the_stream_with_the_phone() {
    let mut call = Script::live();
    call.give(Input::Say(MESSAGE));
    call.actions();
    call.wait(40);
    assert_eq!(call.actions(), [Action::EndStream(EndReason::Machine), Action::HangUpPhone]);
    for _ in 0..HANG_UP_TRIES {
        call.give(Input::HangUpFailed);
        call.wait(60);
    }
    assert_eq!(call.finish(), Some((CallStatus::Completed, EndReason::Machine)));
}

#[test]
fn a_message_that_twilio_does_not_take_ends_the_call() {
    let mut call = Script::live();
    call.give(Input::Say(MESSAGE));
    call.actions();
    call.give(Input::NotSaid);
    assert_eq!(call.actions(), [Action::EndStream(EndReason::Machine), Action::HangUpPhone]);
    call.give(Input::StreamOver(EndReason::Machine));
    call.give(Input::HungUp(Some(CallStatus::Completed)));
    assert_eq!(call.finish(), Some((CallStatus::Completed, EndReason::Machine)));
}

#[test]
fn whoever_ends_a_call_waits_for_no_message() {
    let mut call = Script::live();
    call.give(Input::Say(MESSAGE));
    call.actions();
    call.give(Input::End(EndReason::ShutDown));
    assert_eq!(call.actions(), [Action::EndStream(EndReason::Machine), Action::HangUpPhone]);
}

#[test]
fn a_call_that_ends_is_left_no_message() {
    let mut call = Script::live();
    call.give(Input::StreamOver(EndReason::AgentHungUp));
    call.actions();
    call.give(Input::Say(MESSAGE));
    assert_eq!(call.actions(), []);
    let mut call = Script::dialled();
    call.give(Input::Say(MESSAGE));
    assert_eq!((call.actions(), call.life.reason()), (vec![], None), "nor one that is not there");
}

#[test]
fn an_agent_that_has_not_been_joined_is_given_back_after_the_message() {
    let mut call = Script::dialled();
    call.give(Input::Answered);
    call.give(Input::Say(MESSAGE));
    call.give(Input::Saying);
    assert!(!call.life.awaits_stream());
    call.wait(30);
    call.actions();
    call.give(Input::PhoneStatus(CallStatus::Completed));
    assert_eq!(call.actions()[0], Action::ReleaseAgent);
}

#[test]
fn a_tracked_call_lives_by_what_twilio_reports() {
    let mut call = Script::tracked();
    call.give(Input::PhoneStatus(CallStatus::Ringing));
    call.give(Input::PhoneStatus(CallStatus::InProgress));
    call.wait(179);
    assert_eq!(
        call.actions(),
        [Action::Status(CallStatus::Ringing), Action::Status(CallStatus::InProgress)],
        "no stream is waited for"
    );
    assert!(!call.life.awaits_stream());
    call.give(Input::PhoneStatus(CallStatus::Completed));
    assert_eq!(call.finish(), Some((CallStatus::Completed, EndReason::PhoneHungUp)));
}

#[test]
fn a_tracked_call_may_last_no_longer_than_allowed() {
    let mut call = Script::tracked();
    call.give(Input::PhoneStatus(CallStatus::InProgress));
    call.actions();
    call.wait(180);
    assert_eq!(call.actions(), [Action::HangUpPhone]);
    call.give(Input::HungUp(Some(CallStatus::Completed)));
    assert_eq!(call.finish(), Some((CallStatus::Completed, EndReason::MaxDuration)));
}

#[test]
fn a_tracked_call_is_not_cut_off_over_a_callback_that_was_lost() {
    let mut call = Script::tracked();
    call.wait(60 + 180 + 14);
    assert_eq!(call.actions(), []);
    // Longer than Twilio itself lets it ring and last.
    call.wait(1);
    assert_eq!(call.actions(), [Action::HangUpPhone]);
    call.give(Input::HungUp(Some(CallStatus::Completed)));
    assert_eq!(call.finish(), Some((CallStatus::Completed, EndReason::NoAnswer)));
}

#[test]
fn news_of_a_stream_means_nothing_to_a_tracked_call() {
    let mut call = Script::tracked();
    call.give(Input::PhoneStatus(CallStatus::InProgress));
    call.actions();
    for input in [
        Input::AgentReady,
        Input::StreamOpened,
        Input::StreamLeft,
        Input::StreamOver(EndReason::AgentHungUp),
    ] {
        call.give(input);
        call.wait(20);
        assert_eq!((call.actions(), call.life.reason()), (vec![], None));
    }
    call.give(Input::PhoneStatus(CallStatus::Completed));
    assert_eq!(call.actions().len(), 1, "there is no agent to give back");
}

#[test]
fn a_tracked_call_that_twilio_does_not_place_fails() {
    let life = CallLife::tracked(Duration::from_secs(60), Duration::from_secs(180));
    let mut call = Script { life, now: Instant::now() };
    let (reason, detail) = (EndReason::PhoneCreateFailed, "not valid".to_owned());
    call.give(Input::DialFailed { reason, detail });
    assert_eq!(call.finish(), Some((CallStatus::Failed, reason)));
}

fn any_input() -> impl proptest::strategy::Strategy<Value = Input> {
    use proptest::prelude::*;
    let status = prop::sample::select(CallStatus::ALL.to_vec());
    let reason = prop::sample::select(vec![
        EndReason::AgentHungUp,
        EndReason::PhoneHungUp,
        EndReason::PhoneLost,
        EndReason::AgentLost,
    ]);
    prop_oneof![
        Just(Input::AgentReady),
        Just(Input::DialFailed { reason: EndReason::AgentCreateFailed, detail: String::new() }),
        Just(Input::Placed),
        status.clone().prop_map(Input::PhoneStatus),
        Just(Input::Answered),
        Just(Input::StreamOpened),
        Just(Input::StreamLeft),
        reason.clone().prop_map(Input::StreamOver),
        reason.prop_map(Input::End),
        prop::option::of(status).prop_map(Input::HungUp),
        Just(Input::HangUpFailed),
        Just(Input::Say(MESSAGE)),
        Just(Input::Saying),
        Just(Input::NotSaid),
    ]
}

proptest::proptest! {
    #[test]
    fn whatever_comes_it_ends_once_and_never_goes_back(
        kind in 0..3,
        inputs in proptest::collection::vec((any_input(), 0_u64..90), 0..30)
    ) {
        let mut call = match kind {
            0 => Script::ringing(),
            1 => Script::tracked(),
            _ => Script::dialled(),
        };
        let mut finishes = 0;
        let mut unanswered = false;
        let mut status = call.life.status();
        let mut check = |call: &mut Script| {
            let hang_up = call.actions().into_iter().fold(false, |hang_up, action| {
                finishes += u32::from(matches!(action, Action::Finish { .. }));
                hang_up || action == Action::HangUpPhone
            });
            let next = call.life.status();
            assert!(next == status || status.may_become(next), "{status} became {next}");
            status = next;
            hang_up
        };
        for (input, seconds) in inputs {
            call.give(input);
            unanswered |= check(&mut call);
            call.wait(seconds);
            unanswered |= check(&mut call);
        }
        // From here on the world answers as it should; two hours later all is over.
        call.give(Input::Placed);
        for _ in 0..200 {
            if std::mem::take(&mut unanswered) {
                call.give(Input::HangUpFailed);
            }
            unanswered = check(&mut call);
            call.wait(60);
        }
        check(&mut call);
        proptest::prop_assert_eq!(finishes, 1);
        proptest::prop_assert_eq!(call.life.next_deadline(), None);
    }
}
