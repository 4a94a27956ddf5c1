//! Calls that follow somebody else's TwiML.

use super::*;

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
