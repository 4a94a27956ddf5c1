//! Machines that are left a message.

use super::*;

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
