//! Lists of calls. One function a promise; `main.rs` runs each on both engines.

use actors::call::{CallStatus, CallUpdate};
use actors::ids::{AgentId, CallId, CompanyId};
use callspan::store::{CallCursor, CallFilter, Direction, NewCall, NodeId, Store};

use crate::db::{COMPANY, Db, at, new_call};

async fn list(store: &Store, filter: &CallFilter) -> Vec<CallId> {
    let rows = store.calls(filter, None, 100).await.expect("read");
    rows.into_iter().map(|row| row.id).collect()
}

pub(crate) async fn calls_are_listed_by_what_is_asked(db: Db) {
    let store = db.store_with_company().await;
    store.upsert_company(CompanyId(2), &Default::default(), at(0)).await.expect("stored");
    let node = NodeId::generate();
    let agent: AgentId = "agent-1".parse().expect("an id");
    let inbound = NewCall { direction: Direction::Inbound, at: at(1), ..new_call(node) };
    let outbound = NewCall { agent: Some(agent.clone()), at: at(2), ..new_call(node) };
    let of_another = NewCall { company: CompanyId(2), at: at(3), ..new_call(node) };
    for call in [&outbound, &inbound, &of_another] {
        store.insert_call(call).await.expect("stored");
    }
    store.apply(outbound.id, CallUpdate::Status(CallStatus::Busy), at(4)).await.expect("stored");
    let row = store.call(outbound.id).await.expect("read").expect("is there");
    assert_eq!(row.agent, Some(agent.clone()));

    let (old, new) = (inbound.id, outbound.id);
    let all = CallFilter::all(COMPANY);
    assert_eq!(list(&store, &all).await, [new, old]);
    let status = |status| CallFilter { status: Some(status), ..all.clone() };
    assert_eq!(list(&store, &status(CallStatus::Busy)).await, [new]);
    assert_eq!(list(&store, &status(CallStatus::Initiated)).await, [old]);
    let by_agent = CallFilter { agent: Some(agent), ..all.clone() };
    assert_eq!(list(&store, &by_agent).await, [new]);
    let direction = |direction| CallFilter { direction: Some(direction), ..all.clone() };
    assert_eq!(list(&store, &direction(Direction::Inbound)).await, [old]);
    assert_eq!(list(&store, &direction(Direction::Outbound)).await, [new]);
    // `new_call` is to …0123 and from …0199: the person is whoever is no company.
    let person = |person: &str| CallFilter { person: Some(person.to_owned()), ..all.clone() };
    assert_eq!(list(&store, &person("+12125550123")).await, [new]);
    assert_eq!(list(&store, &person("+12125550199")).await, [old]);
    for nobody in ["", "' OR 1=1 --", "\0"] {
        assert!(list(&store, &person(nobody)).await.is_empty(), "{nobody:?}");
    }
    let after = |ms| CallFilter { created_after: Some(at(ms)), ..all.clone() };
    assert_eq!(list(&store, &after(1)).await, [new, old], "at this time counts");
    assert_eq!(list(&store, &after(2)).await, [new]);
    let before = |ms| CallFilter { created_before: Some(at(ms)), ..all.clone() };
    assert_eq!(list(&store, &before(2)).await, [old], "at this time does not count");
    let everything = CallFilter {
        status: Some(CallStatus::Busy),
        agent: by_agent.agent.clone(),
        direction: Some(Direction::Outbound),
        person: Some("+12125550123".to_owned()),
        created_after: Some(at(2)),
        created_before: Some(at(3)),
        company: COMPANY,
    };
    assert_eq!(list(&store, &everything).await, [new]);
    assert!(list(&store, &CallFilter { company: CompanyId(2), ..everything }).await.is_empty());
}

pub(crate) async fn pages_of_calls_miss_none_and_repeat_none(db: Db) {
    let store = db.store_with_company().await;
    let node = NodeId::generate();
    let mut expected = Vec::new();
    for number in 0..23 {
        // Many in one millisecond, where only the id tells them apart.
        let call = NewCall { at: at(number / 10), ..new_call(node) };
        store.insert_call(&call).await.expect("stored");
        expected.push((call.at, call.id));
    }
    expected.sort_by(|one, other| other.cmp(one));
    let filter = CallFilter::all(COMPANY);
    let (mut seen, mut cursor) = (Vec::new(), None);
    loop {
        let page = store.calls(&filter, cursor.as_ref(), 5).await.expect("read");
        let Some(last) = page.last() else { break };
        // As a client hands it back.
        let text = CallCursor::from(last).to_string();
        cursor = Some(text.parse::<CallCursor>().expect("is ours"));
        assert!(page.len() <= 5);
        seen.extend(page.iter().map(|row| (row.created_at, row.id)));
        // Whoever calls meanwhile is on no later page.
        let late = NewCall { at: at(99), ..new_call(node) };
        store.insert_call(&late).await.expect("stored");
    }
    assert_eq!(seen, expected);
}
