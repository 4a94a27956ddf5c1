//! Calls that come in.

use super::*;

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
