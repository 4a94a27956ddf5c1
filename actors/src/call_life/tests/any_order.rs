//! Whatever comes, in whatever order.

use super::*;

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
