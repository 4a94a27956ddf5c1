//! Calls and their timelines. One function a promise; `main.rs` runs each on both engines.

use std::time::Duration;

use actors::call::{CallEvent, CallStatus, CallUpdate, EndReason};
use actors::ids::{CallId, CallSid};
use actors::machine::AnsweredBy;
use actors::ports::AgentCall;
use callspan::store::{Change, Direction, Entry, NewCall, NodeId, Store, StoreError};
use secrecy::{ExposeSecret, SecretString};

use crate::db::{COMPANY, Db, at, insert_call, new_call};

pub(crate) fn sid(number: u32) -> CallSid {
    format!("CA{number:032x}").parse().expect("a call sid")
}

pub(crate) fn agent() -> CallUpdate {
    CallUpdate::AgentReady(AgentCall {
        ultravox_call_id: "agent-1".to_owned(),
        join_url: SecretString::from("wss://ultravox.example/join/hush"),
    })
}

pub(crate) fn ended(status: CallStatus, reason: EndReason) -> CallUpdate {
    let duration = (status == CallStatus::Completed).then_some(Duration::from_millis(2500));
    CallUpdate::Ended { status, reason, detail: None, duration }
}

async fn status(store: &Store, call: CallId) -> CallStatus {
    store.call(call).await.expect("read").expect("is there").status
}

pub(crate) async fn a_second_start_finds_the_first_ones_data(db: Db) {
    let store = db.store_with_company().await;
    let call = insert_call(&store, NodeId::generate()).await;
    store.close().await;
    let store = db.store().await;
    store.ping().await.expect("answers");
    assert_eq!(store.company_of_call(call).await.expect("read"), Some(COMPANY));
    assert_eq!(store.company_of_call(CallId::generate()).await.expect("read"), None);
}

pub(crate) async fn a_call_is_stored_from_first_to_last(db: Db) {
    let store = db.store_with_company().await;
    let new = new_call(NodeId::generate());
    store.insert_call(&new).await.expect("stored");
    let call = new.id;
    let row = store.call(call).await.expect("read").expect("is there");
    assert_eq!(
        (row.status, row.node, row.direction),
        (CallStatus::Initiated, new.node, new.direction)
    );
    assert_eq!((&row.to, &row.from, row.created_at), (&new.to, &new.from, at(0)));
    assert_eq!((row.call_sid, row.answered_at, row.join_url.is_none()), (None, None, true));
    assert_eq!(store.count_live().await.expect("read"), 1);

    let stream = "MZ00000000000000000000000000000001".parse().expect("a stream sid");
    for (ms, update) in [
        (1, agent()),
        (2, CallUpdate::Placed(sid(1))),
        (3, CallUpdate::Status(CallStatus::Ringing)),
        (4, CallUpdate::Status(CallStatus::InProgress)),
        (5, CallUpdate::StreamStarted(stream)),
    ] {
        assert!(store.apply(call, update.clone(), at(ms)).await.expect("stored"), "{update:?}");
    }
    let row = store.call(call).await.expect("read").expect("is there");
    assert_eq!((row.status, row.answered_at), (CallStatus::InProgress, Some(at(4))));
    assert_eq!((row.call_sid, row.updated_at), (Some(sid(1)), at(5)));
    assert_eq!(row.ultravox_call_id.as_deref(), Some("agent-1"));
    let join_url = row.join_url.expect("a live call has one");
    assert_eq!(join_url.expose_secret(), "wss://ultravox.example/join/hush");
    let stored = db.text("SELECT join_url FROM calls").await.expect("is there");
    assert!(stored.starts_with("v1.") && !stored.contains("hush"), "{stored}");
    assert_eq!(store.live_calls_of_node(new.node).await.expect("read").len(), 1);
    assert!(store.live_calls_of_node(NodeId::generate()).await.expect("read").is_empty());

    let end = CallUpdate::Ended {
        status: CallStatus::Completed,
        reason: EndReason::PhoneHungUp,
        detail: Some("goodbye".to_owned()),
        duration: Some(Duration::from_millis(2500)),
    };
    assert!(store.apply(call, end, at(3000)).await.expect("stored"));
    let row = store.call(call).await.expect("read").expect("is there");
    assert_eq!((row.status, row.end_reason), (CallStatus::Completed, Some(EndReason::PhoneHungUp)));
    assert_eq!((row.ended_at, row.duration), (Some(at(3000)), Some(Duration::from_millis(2500))));
    assert_eq!((row.answered_at, row.detail.as_deref()), (Some(at(4)), Some("goodbye")));
    assert_eq!(db.text("SELECT join_url FROM calls").await, None, "the credential is erased");
    assert_eq!(store.count_live().await.expect("read"), 0);
    assert!(store.live_calls_of_node(new.node).await.expect("read").is_empty());
    assert!(!store.apply(CallId::generate(), agent(), at(1)).await.expect("no such call"));
}

pub(crate) async fn a_call_only_moves_forward(db: Db) {
    let store = db.store_with_company().await;
    let node = NodeId::generate();
    for first in CallStatus::ALL {
        for second in CallStatus::ALL {
            let call = insert_call(&store, node).await;
            let moved = store.apply(call, CallUpdate::Status(first), at(1)).await.expect("stored");
            assert_eq!(moved, CallStatus::Initiated.may_become(first), "{first}");
            let moved = store.apply(call, CallUpdate::Status(second), at(2)).await.expect("stored");
            assert_eq!(moved, first.may_become(second), "{first}, {second}");
            let expected = if moved { second } else { first };
            let row = store.call(call).await.expect("read").expect("is there");
            assert_eq!(row.status, expected, "{first}, {second}");
            let answered = match (first, second) {
                (CallStatus::InProgress, _) => Some(at(1)),
                (_, CallStatus::InProgress) if moved => Some(at(2)),
                _ => None,
            };
            assert_eq!(row.answered_at, answered, "{first}, {second}");
        }
    }
}

pub(crate) async fn a_call_that_is_over_stays_as_it_is(db: Db) {
    let store = db.store_with_company().await;
    let call = insert_call(&store, NodeId::generate()).await;
    let busy = ended(CallStatus::Busy, EndReason::Busy);
    assert!(store.apply(call, busy, at(1)).await.expect("stored"));
    let before = format!("{:?}", store.call(call).await.expect("read"));
    for late in [
        agent(),
        CallUpdate::Status(CallStatus::InProgress),
        CallUpdate::Status(CallStatus::Completed),
        ended(CallStatus::Completed, EndReason::PhoneHungUp),
    ] {
        assert!(!store.apply(call, late.clone(), at(2)).await.expect("read"), "{late:?}");
    }
    assert_eq!(format!("{:?}", store.call(call).await.expect("read")), before);

    // Twilio's id is worth having whenever it comes, but only once.
    assert!(store.apply(call, CallUpdate::Placed(sid(1)), at(3)).await.expect("stored"));
    assert!(!store.apply(call, CallUpdate::Placed(sid(2)), at(4)).await.expect("read"));
    let row = store.call(call).await.expect("read").expect("is there");
    assert_eq!((row.call_sid, row.status), (Some(sid(1)), CallStatus::Busy));

    let live = insert_call(&store, NodeId::generate()).await;
    let no_end = ended(CallStatus::Ringing, EndReason::HungUp);
    let error = store.apply(live, no_end, at(5)).await.expect_err("ringing is no end");
    assert!(matches!(error, StoreError::NotAnEnd { .. }) && !error.is_unavailable(), "{error}");
}

pub(crate) async fn an_end_fills_in_what_a_callback_could_not_know(db: Db) {
    let store = db.store_with_company().await;
    let call = insert_call(&store, NodeId::generate()).await;
    store.apply(call, agent(), at(1)).await.expect("stored");
    let over = CallUpdate::Status(CallStatus::Completed);
    assert!(store.apply(call, over, at(4000)).await.expect("stored"));
    assert_eq!(db.text("SELECT join_url FROM calls").await, None);
    let end = ended(CallStatus::Failed, EndReason::PhoneHungUp);
    assert!(store.apply(call, end, at(5000)).await.expect("stored"));
    let row = store.call(call).await.expect("read").expect("is there");
    assert_eq!((row.status, row.end_reason), (CallStatus::Completed, Some(EndReason::PhoneHungUp)));
    assert_eq!(row.ended_at, Some(at(4000)));

    // No callback said so, but a call that lasted was answered.
    let call = insert_call(&store, NodeId::generate()).await;
    let end = ended(CallStatus::Completed, EndReason::PhoneHungUp);
    assert!(store.apply(call, end, at(5000)).await.expect("stored"));
    let row = store.call(call).await.expect("read").expect("is there");
    assert_eq!(row.answered_at, Some(at(2500)));
}

pub(crate) async fn of_many_ends_at_once_one_counts(db: Db) {
    let (store, other) = (db.store_with_company().await, db.store().await);
    let call = insert_call(&store, NodeId::generate()).await;
    let mut attempts = tokio::task::JoinSet::new();
    for round in 0..4 {
        for status in CallStatus::ALL {
            let store = if round % 2 == 0 { store.clone() } else { other.clone() };
            attempts.spawn(async move {
                let moved = store.apply(call, CallUpdate::Status(status), at(1)).await;
                (status, moved.expect("stored"))
            });
        }
    }
    let attempts = attempts.join_all().await;
    let ends: Vec<CallStatus> = attempts
        .into_iter()
        .filter(|(status, moved)| *moved && status.is_final())
        .map(|(status, _)| status)
        .collect();
    assert_eq!(ends, [status(&store, call).await]);
}

pub(crate) async fn calls_are_found_by_twilios_id(db: Db) {
    let store = db.store_with_company().await;
    let call = insert_call(&store, NodeId::generate()).await;
    store.apply(call, CallUpdate::Placed(sid(1)), at(1)).await.expect("stored");
    let found = store.call_by_sid(&sid(1)).await.expect("read").expect("is there");
    assert_eq!(found.id, call);
    assert!(store.call_by_sid(&sid(2)).await.expect("read").is_none());
    assert!(store.call(CallId::generate()).await.expect("read").is_none());

    let unclaimed = store.unclaimed(&[sid(3), sid(1), sid(2)]).await.expect("read");
    assert_eq!(unclaimed, [sid(3), sid(2)]);
    assert!(store.unclaimed(&[]).await.expect("read").is_empty());

    let second = insert_call(&store, NodeId::generate()).await;
    let error = store.apply(second, CallUpdate::Placed(sid(1)), at(2)).await.expect_err("taken");
    assert!(!error.is_unavailable(), "{error}");
}

fn said(text: impl std::fmt::Display) -> CallEvent {
    let text = text.to_string();
    CallEvent::Transcript { speaker: actors::call::Speaker::Phone, text }
}

pub(crate) async fn a_timeline_keeps_its_order(db: Db) {
    let store = db.store_with_company().await;
    let (one, two) = {
        let node = NodeId::generate();
        (insert_call(&store, node).await, insert_call(&store, node).await)
    };
    let lines = [
        (two, at(9), CallEvent::Initiated),
        (one, at(3), CallEvent::Initiated),
        (two, at(8), said("it's \"quoted\" – and ünicode")),
        (one, at(2), CallEvent::Dtmf { digit: '#' }),
        (two, at(7), CallEvent::AgentLeft { code: Some(1000), reason: String::new() }),
    ];
    store.append_events(&lines).await.expect("stored");
    store.append_events(&[(two, at(6), CallEvent::Ringing)]).await.expect("stored");
    store.append_events(&[]).await.expect("nothing to do");

    let of_one = store.events(one).await.expect("read");
    assert_eq!(of_one.iter().map(|line| line.seq).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(of_one[1].event, CallEvent::Dtmf { digit: '#' });
    let of_two = store.events(two).await.expect("read");
    assert_eq!(of_two.iter().map(|line| line.seq).collect::<Vec<_>>(), [1, 2, 3, 4]);
    assert_eq!((of_two[1].at, &of_two[1].event), (at(8), &lines[2].2));
    let kind = db.text("SELECT kind FROM call_events WHERE detail LIKE '%quoted%'").await;
    assert_eq!(kind.as_deref(), Some("transcript"));
    assert!(store.events(CallId::generate()).await.expect("read").is_empty());
}

pub(crate) async fn two_writers_of_one_timeline_leave_no_gap(db: Db) {
    const LINES: usize = 40;
    let (store, other) = (db.store_with_company().await, db.store().await);
    let call = insert_call(&store, NodeId::generate()).await;
    let write = async |store: &Store, who: &str| {
        for line in 0..LINES {
            let line = (call, at(0), said(format!("{who} {line}")));
            store.append_events(&[line]).await.expect("stored");
        }
    };
    tokio::join!(write(&store, "one"), write(&other, "two"));
    let lines = store.events(call).await.expect("read");
    let expected: Vec<i64> = (1..).take(2 * LINES).collect();
    assert_eq!(lines.iter().map(|line| line.seq).collect::<Vec<_>>(), expected);
    for who in ["one", "two"] {
        let expected: Vec<CallEvent> = (0..LINES).map(|n| said(format!("{who} {n}"))).collect();
        let own = lines.iter().map(|line| &line.event).filter(|event| expected.contains(event));
        assert!(own.eq(expected.iter()), "{who}'s lines are out of order");
    }
}

pub(crate) async fn lines_of_an_unknown_call_are_refused_whole(db: Db) {
    let store = db.store_with_company().await;
    let call = insert_call(&store, NodeId::generate()).await;
    let lines =
        [(call, at(1), CallEvent::Initiated), (CallId::generate(), at(2), CallEvent::Ringing)];
    let error = store.append_events(&lines).await.expect_err("no such call");
    assert!(matches!(error, StoreError::UnknownCall(_)) && !error.is_unavailable(), "{error}");
    assert!(store.events(call).await.expect("read").is_empty());
}

pub(crate) async fn two_stores_write_at_once(db: Db) {
    const CALLS: usize = 60;
    let (store, other) = (db.store_with_company().await, db.store().await);
    let node = NodeId::generate();
    let mut writers = tokio::task::JoinSet::new();
    for number in 0..CALLS {
        let store = if number % 2 == 0 { store.clone() } else { other.clone() };
        writers.spawn(async move {
            let call = insert_call(&store, node).await;
            store.append_events(&[(call, at(1), CallEvent::Initiated)]).await.expect("stored");
            let ringing = CallUpdate::Status(CallStatus::Ringing);
            assert!(store.apply(call, ringing, at(2)).await.expect("stored"));
        });
    }
    writers.join_all().await;
    assert_eq!(store.count_live().await.expect("read"), CALLS as u64);
    let rows = other.live_calls_of_node(node).await.expect("read");
    assert!(rows.iter().all(|row| row.status == CallStatus::Ringing));
}

pub(crate) async fn orphans_go_to_the_node_that_takes_them(db: Db) {
    let store = db.store_with_company().await;
    let (me, gone, never_there) = (NodeId::generate(), NodeId::generate(), NodeId::generate());
    store.register(gone, at(0)).await.expect("stored");
    store.register(me, at(100)).await.expect("stored");
    let mine = insert_call(&store, me).await;
    let silent = insert_call(&store, gone).await;
    let unregistered = insert_call(&store, never_there).await;
    let over = insert_call(&store, gone).await;
    let failed = ended(CallStatus::Failed, EndReason::PhoneFailed);
    store.apply(over, failed, at(1)).await.expect("stored");

    let taken = store.take_orphans(me, at(100), at(50)).await.expect("taken");
    let mut ids: Vec<CallId> = taken.iter().map(|row| row.id).collect();
    ids.sort_unstable();
    assert_eq!(ids, [silent, unregistered]);
    assert!(taken.iter().all(|row| row.node == me && row.updated_at == at(100)));
    let mut ids: Vec<CallId> =
        store.live_calls_of_node(me).await.expect("read").iter().map(|row| row.id).collect();
    ids.sort_unstable();
    assert_eq!(ids, [mine, silent, unregistered]);
    assert!(store.take_orphans(me, at(101), at(50)).await.expect("taken").is_empty());
    let over = store.call(over).await.expect("read").expect("is there");
    assert_eq!(over.node, gone, "a call that is over stays where it was");

    store.heartbeat(me, at(200)).await.expect("stored");
    store.unregister(me).await.expect("stored");
    let next = NodeId::generate();
    store.register(next, at(201)).await.expect("stored");
    let taken = store.take_orphans(next, at(202), at(150)).await.expect("taken");
    assert_eq!(taken.len(), 3, "whoever left in good order leaves its calls too");
}

pub(crate) async fn the_first_word_on_who_took_a_call_stands(db: Db) {
    let store = db.store_with_company().await;
    let call = insert_call(&store, NodeId::generate()).await;
    assert_eq!(store.call(call).await.expect("read").expect("is there").answered_by, None);
    let by = |answered_by| store.apply(call, CallUpdate::AnsweredBy(answered_by), at(1));
    assert!(by(AnsweredBy::MachineEndBeep).await.expect("written"));
    assert!(!by(AnsweredBy::Human).await.expect("written"));
    let over = ended(CallStatus::Completed, EndReason::Machine);
    assert!(store.apply(call, over, at(2)).await.expect("written"));
    let row = store.call(call).await.expect("read").expect("is there");
    assert_eq!(row.answered_by, Some(AnsweredBy::MachineEndBeep));
    assert_eq!(row.end_reason, Some(EndReason::Machine));

    // Of a call that is over it may still become known.
    let call = insert_call(&store, NodeId::generate()).await;
    let over = ended(CallStatus::Failed, EndReason::NeverPlaced);
    assert!(store.apply(call, over, at(3)).await.expect("written"));
    let late = CallUpdate::AnsweredBy(AnsweredBy::Human);
    assert!(store.apply(call, late, at(4)).await.expect("written"));
    let row = store.call(call).await.expect("read").expect("is there");
    assert_eq!((row.answered_by, row.status), (Some(AnsweredBy::Human), CallStatus::Failed));
    assert_eq!(row.end_reason, Some(EndReason::NeverPlaced));
}

pub(crate) async fn whoever_wants_no_calls_is_put_on_the_list_once(db: Db) {
    let store = db.store_with_company().await;
    let node = NodeId::generate();
    let called = insert_call(&store, node).await;
    let caller =
        |from: &str| NewCall { from: from.into(), direction: Direction::Inbound, ..new_call(node) };
    let (known, hidden) = (caller("+12125550177"), caller("anonymous"));
    for (n, call) in [&known, &hidden].into_iter().enumerate() {
        let sid = sid(u32::try_from(n).expect("two"));
        assert!(store.insert_inbound(call, &sid).await.expect("stored"));
    }
    let wish = |call, ms| Entry { call, at: at(ms), change: Change::DoNotCall };
    let wishes = [wish(called, 1), wish(known.id, 2), wish(hidden.id, 3), wish(called, 4)];
    store.write(&wishes).await.expect("written");
    store.write(&[wish(called, 5)]).await.expect("written");

    let list = db.text(
        "SELECT CAST(count(*) AS TEXT) || ' ' || min(number) || ' ' || max(number) || ' ' || \
         min(source) FROM do_not_call WHERE company_id = 1",
    );
    let expected = "2 +12125550123 +12125550177 agent";
    assert_eq!(
        list.await.as_deref(),
        Some(expected),
        "both people, once each, and no lines of ours"
    );
    let note = db.text("SELECT note FROM do_not_call WHERE number = '+12125550123'").await;
    assert_eq!(note, Some(format!("said in call {called}")));

    // Whoever was on the list for another reason stays there for that reason.
    db.execute("UPDATE do_not_call SET source = 'api' WHERE number = '+12125550123'").await;
    store.write(&[wish(called, 6)]).await.expect("written");
    let source = db.text("SELECT source FROM do_not_call WHERE number = '+12125550123'").await;
    assert_eq!(source.as_deref(), Some("api"));
}
