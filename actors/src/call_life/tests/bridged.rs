//! Calls we place, with an agent.

use super::*;

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
