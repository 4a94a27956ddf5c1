//! Totals, events and requests. One function a promise; `main.rs` runs each on both engines.

use std::time::Duration;

use actors::call::{CallStatus, CallUpdate, EndReason};
use actors::ids::{AgentId, CompanyId};
use callspan::store::{ApiCall, EventKind, KEPT, NewCall, NewEvent, NodeId, Scope, Store, Totals};

use crate::calls::{ended, sid};
use crate::db::{COMPANY, Db, at, new_call};

const OTHER: CompanyId = CompanyId(2);

fn api_call(company: Option<CompanyId>, ms: i64, status: u16) -> ApiCall {
    ApiCall {
        company,
        at: at(ms),
        method: "GET".to_owned(),
        endpoint: format!("/api/v1/agents?'\"{ms}"),
        status,
        duration: Duration::from_micros(ms.unsigned_abs()),
    }
}

fn event(company: CompanyId, ms: i64) -> NewEvent {
    let kind = EventKind::AgentCreated;
    let agent = Some("agent-1".parse().expect("an id"));
    NewEvent { company, at: at(ms), kind, agent, call_sid: None, call: None }
}

async fn totals(store: &Store, scope: Scope) -> Totals {
    store.totals(scope).await.expect("read")
}

pub(crate) async fn requests_are_counted_for_whom_they_speak(db: Db) {
    let store = db.store().await;
    let first = [
        api_call(Some(COMPANY), 1, 200),
        api_call(Some(OTHER), 2, 404),
        api_call(None, 3, 401),
        api_call(Some(COMPANY), 4, 399),
        api_call(Some(COMPANY), 5, 400),
    ];
    store.record_requests(&first).await.expect("stored");
    store.record_requests(&[api_call(Some(COMPANY), 6, 500)]).await.expect("stored");
    store.record_requests(&[]).await.expect("nothing to store");

    let requests = |totals: Totals| (totals.requests_success, totals.requests_errors);
    assert_eq!(requests(totals(&store, Scope::Company(COMPANY)).await), (2, 2));
    assert_eq!(requests(totals(&store, Scope::Company(OTHER)).await), (0, 1));
    assert_eq!(requests(totals(&store, Scope::All).await), (2, 4));

    let all = store.recent_api_calls(Scope::All, 3).await.expect("read");
    assert_eq!(all, [api_call(Some(COMPANY), 6, 500), first[4].clone(), first[3].clone()]);
    let of_other = store.recent_api_calls(Scope::Company(OTHER), 10).await.expect("read");
    assert_eq!(of_other, [first[1].clone()]);
    let times = store.response_times(Scope::Company(COMPANY)).await.expect("read");
    assert_eq!(times, [6, 5, 4, 1].map(Duration::from_micros));
    let times = store.response_times(Scope::All).await.expect("read");
    assert_eq!(times, [6, 5, 4, 3, 2, 1].map(Duration::from_micros));

    let odd = ApiCall { endpoint: "/a\0b".to_owned(), ..api_call(None, 7, 404) };
    store.record_requests(&[odd]).await.expect("a path may be anything");
    let newest = store.recent_api_calls(Scope::All, 1).await.expect("read");
    assert_eq!(newest[0].endpoint, "/ab");
}

pub(crate) async fn the_newest_thousand_are_kept_of_each_company(db: Db) {
    let store = db.store().await;
    let few = [api_call(None, 1, 200), api_call(Some(OTHER), 2, 200)];
    store.record_requests(&few).await.expect("stored");
    store.record_events(&[event(OTHER, 1)]).await.expect("stored");
    let extra = 205;
    let many = i64::from(KEPT) + extra;
    for batch in [1..=700, 701..=many] {
        let requests: Vec<ApiCall> =
            batch.clone().map(|ms| api_call(Some(COMPANY), ms, 200)).collect();
        store.record_requests(&requests).await.expect("stored");
        let events: Vec<NewEvent> = batch.map(|ms| event(COMPANY, ms)).collect();
        store.record_events(&events).await.expect("stored");
    }
    for table in ["events", "api_calls"] {
        let of_company = format!("FROM {table} WHERE company_id = 1");
        let rows = db.text(&format!("SELECT CAST(count(*) AS TEXT) {of_company}")).await;
        assert_eq!(rows, Some(KEPT.to_string()), "{table}");
        let oldest = db.text(&format!("SELECT CAST(min(at) AS TEXT) {of_company}")).await;
        assert_eq!(oldest, Some(at(extra + 1).as_millisecond().to_string()), "{table}");
        let others = format!("SELECT CAST(count(*) AS TEXT) FROM {table} WHERE company_id <> 1");
        let expected = if table == "events" { "1" } else { "2" };
        assert_eq!(db.text(&others).await.as_deref(), Some(expected), "{table}");
    }
    let all = totals(&store, Scope::All).await;
    assert_eq!(all.requests_success, many.unsigned_abs() + 2, "what is forgotten still counts");
    let events = store.recent_events(Scope::Company(COMPANY), KEPT).await.expect("read");
    assert_eq!((events.len(), events[0].at), (1000, at(many)));
}

pub(crate) async fn a_call_is_told_and_counted_once(db: Db) {
    let store = db.store_with_company().await;
    store.upsert_company(OTHER, &Default::default(), at(0)).await.expect("stored");
    let node = NodeId::generate();
    let agent: AgentId = "agent-1".parse().expect("an id");
    let good = NewCall { agent: Some(agent.clone()), ..new_call(node) };
    let bad = NewCall { company: OTHER, ..new_call(node) };
    for call in [&good, &bad] {
        store.insert_call(call).await.expect("stored");
    }
    let live = Totals { calls_total: 1, ..Totals::default() };
    assert_eq!(totals(&store, Scope::Company(COMPANY)).await, live);
    assert!(store.recent_events(Scope::All, 10).await.expect("read").is_empty());

    // A repeated callback, a late one and two words for the end.
    for (ms, update) in [
        (1, CallUpdate::Placed(sid(1))),
        (2, CallUpdate::Placed(sid(1))),
        (3, CallUpdate::Status(CallStatus::InProgress)),
        (4, CallUpdate::Status(CallStatus::InProgress)),
        (5, CallUpdate::Status(CallStatus::Ringing)),
        (6, CallUpdate::Status(CallStatus::Completed)),
        (7, ended(CallStatus::Completed, EndReason::PhoneHungUp)),
        (8, CallUpdate::Status(CallStatus::Failed)),
    ] {
        store.apply(good.id, update, at(ms)).await.expect("stored");
    }
    let end = ended(CallStatus::NoAnswer, EndReason::NoAnswer);
    store.apply(bad.id, end.clone(), at(9)).await.expect("stored");
    store.apply(bad.id, end, at(10)).await.expect("stored");

    let events = store.recent_events(Scope::Company(COMPANY), 10).await.expect("read");
    let told: Vec<_> = events.iter().map(|event| (event.kind, event.at)).collect();
    let expected = [
        (EventKind::CallCompleted, at(6)),
        (EventKind::CallAnswered, at(3)),
        (EventKind::CallInitiated, at(1)),
    ];
    assert_eq!(told, expected);
    for event in &events {
        assert_eq!((&event.agent, &event.call_sid), (&Some(agent.clone()), &Some(sid(1))));
        assert_eq!(event.call, Some(good.id));
    }
    let all = store.recent_events(Scope::All, 1).await.expect("read");
    assert_eq!((all[0].kind, &all[0].call_sid), (EventKind::CallFailed, &None));

    let one = Totals { calls_total: 1, calls_successful: 1, ..Totals::default() };
    assert_eq!(totals(&store, Scope::Company(COMPANY)).await, one);
    let one = Totals { calls_total: 1, calls_failed: 1, ..Totals::default() };
    assert_eq!(totals(&store, Scope::Company(OTHER)).await, one);
    let both = Totals { calls_total: 2, calls_successful: 1, calls_failed: 1, ..one };
    assert_eq!(totals(&store, Scope::All).await, both);
}

pub(crate) async fn two_nodes_count_the_same_calls_without_an_error(db: Db) {
    let store = db.store_with_company().await;
    store.upsert_company(OTHER, &Default::default(), at(0)).await.expect("stored");
    let node = NodeId::generate();
    let mut calls = Vec::new();
    for number in 0..40 {
        let company = if number % 2 == 0 { COMPANY } else { OTHER };
        let call = NewCall { company, ..new_call(node) };
        store.insert_call(&call).await.expect("stored");
        calls.push(call.id);
    }
    let mut nodes = tokio::task::JoinSet::new();
    for turn in 0..4 {
        let store = db.store().await;
        let mut calls = calls.clone();
        calls.rotate_left(turn * 10);
        nodes.spawn(async move {
            for some in calls.chunks(5) {
                let entries: Vec<_> = some
                    .iter()
                    .map(|call| callspan::store::Entry {
                        call: *call,
                        at: at(1),
                        change: callspan::store::Change::Update(CallUpdate::Status(
                            CallStatus::Busy,
                        )),
                    })
                    .collect();
                store.write(&entries).await.expect("nobody waits in a circle");
                let requests = [OTHER, COMPANY].map(|company| api_call(Some(company), 1, 200));
                store.record_requests(&requests).await.expect("nobody waits in a circle");
            }
        });
    }
    nodes.join_all().await;
    let all = totals(&store, Scope::All).await;
    assert_eq!((all.calls_total, all.calls_failed, all.requests_success), (40, 40, 64));
    let events = store.recent_events(Scope::All, KEPT).await.expect("read");
    assert_eq!(events.len(), 40, "each end is told once");
}
