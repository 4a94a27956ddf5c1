//! Requests that may be sent twice. One function a promise; `main.rs` runs each on both engines.

use actors::ids::{CallId, CompanyId};
use callspan::store::{Claim, IdempotentRequest, NodeId, Store};

use crate::db::{COMPANY, Db, at};

const DAY_MS: i64 = 24 * 60 * 60 * 1000;

fn request(node: NodeId, ms: i64) -> IdempotentRequest {
    IdempotentRequest {
        company: COMPANY,
        key: "key/1".to_owned(),
        route: "POST /api/v1/calls/agent_1".to_owned(),
        body_hash: "abc".to_owned(),
        node,
        call: Some(CallId::generate()),
        at: at(ms),
    }
}

async fn claim(store: &Store, request: &IdempotentRequest) -> Claim {
    store.claim_idempotency(request).await.expect("stored")
}

fn running(first: &IdempotentRequest) -> Claim {
    Claim::Running { node: first.node, call: first.call, since: first.at }
}

pub(crate) async fn a_request_is_carried_out_once(db: Db) {
    let store = db.store().await;
    let first = request(NodeId::generate(), 0);
    let second = request(NodeId::generate(), 1);
    assert_eq!(claim(&store, &first).await, Claim::Mine);
    assert_eq!(claim(&store, &second).await, running(&first));
    let other_body = IdempotentRequest { body_hash: "abd".to_owned(), ..second.clone() };
    assert_eq!(claim(&store, &other_body).await, Claim::OtherRequest);
    let other_route = IdempotentRequest { route: "POST /elsewhere".to_owned(), ..second.clone() };
    assert_eq!(claim(&store, &other_route).await, Claim::OtherRequest);
    let other_company = IdempotentRequest { company: CompanyId(2), ..second.clone() };
    assert_eq!(claim(&store, &other_company).await, Claim::Mine);

    let body = r#"{"joinUrl":"wss://hush"}"#;
    store.finish_idempotency(COMPANY, "key/1", 201, body).await.expect("stored");
    let done = Claim::Done { status: 201, body: body.to_owned() };
    assert_eq!(claim(&store, &second).await, done);
    assert!(!format!("{done:?}").contains("hush"), "{done:?}");
    assert_eq!(claim(&store, &other_body).await, Claim::OtherRequest);
    store.release_idempotency(COMPANY, "key/1").await.expect("stored");
    assert_eq!(claim(&store, &second).await, done, "what is finished stays");
    let sealed = "SELECT body FROM idempotency_keys WHERE body IS NOT NULL";
    let sealed = db.text(sealed).await.expect("is there");
    assert!(sealed.starts_with("v1.") && !sealed.contains("hush"), "{sealed}");
}

pub(crate) async fn a_released_or_old_key_is_to_be_had_again(db: Db) {
    let store = db.store().await;
    let first = request(NodeId::generate(), 0);
    assert_eq!(claim(&store, &first).await, Claim::Mine);
    store.release_idempotency(COMPANY, &first.key).await.expect("stored");
    assert_eq!(claim(&store, &first).await, Claim::Mine);
    store.finish_idempotency(COMPANY, &first.key, 201, "first").await.expect("stored");

    let in_time = request(NodeId::generate(), DAY_MS);
    let first_answer = Claim::Done { status: 201, body: "first".to_owned() };
    assert_eq!(claim(&store, &in_time).await, first_answer);
    let late = IdempotentRequest {
        body_hash: "another body".to_owned(),
        ..request(NodeId::generate(), DAY_MS + 1)
    };
    assert_eq!(claim(&store, &late).await, Claim::Mine);
    assert_eq!(claim(&store, &late).await, running(&late), "the old answer is gone");

    assert_eq!(store.purge_idempotency(late.at).await.expect("stored"), 0);
    assert_eq!(store.purge_idempotency(at(DAY_MS + 2)).await.expect("stored"), 1);
    assert_eq!(claim(&store, &late).await, Claim::Mine);
}

pub(crate) async fn of_many_claims_at_once_one_wins(db: Db) {
    let db_url = db.url.clone();
    for round in 0..5 {
        let mut claims = tokio::task::JoinSet::new();
        for _ in 0..6 {
            let store = Db::named(db_url.clone()).store().await;
            // The later rounds find a row that is too old.
            let request = request(NodeId::generate(), round * (DAY_MS + 1));
            claims.spawn(async move { claim(&store, &request).await });
        }
        let claims = claims.join_all().await;
        let mine = claims.iter().filter(|claim| **claim == Claim::Mine).count();
        let running = claims.iter().filter(|claim| matches!(claim, Claim::Running { .. })).count();
        assert_eq!((mine, running), (1, 5), "{claims:?}");
    }
}

pub(crate) async fn a_dead_nodes_request_is_taken_over_once(db: Db) {
    let store = db.store().await;
    let (dead, alive) = (NodeId::generate(), NodeId::generate());
    store.register(dead, at(0)).await.expect("stored");
    store.register(alive, at(0)).await.expect("stored");
    store.heartbeat(alive, at(100)).await.expect("stored");
    assert!(store.is_node_alive(alive, at(50)).await.expect("read"));
    assert!(!store.is_node_alive(dead, at(50)).await.expect("read"));
    assert!(!store.is_node_alive(NodeId::generate(), at(50)).await.expect("read"));

    let first = request(dead, 0);
    assert_eq!(claim(&store, &first).await, Claim::Mine);
    let (one, other) = (request(alive, 100), request(NodeId::generate(), 100));
    assert!(store.take_over_idempotency(&one, dead, first.at).await.expect("stored"));
    assert!(!store.take_over_idempotency(&other, dead, first.at).await.expect("came second"));
    assert_eq!(claim(&store, &other).await, running(&one));
    store.finish_idempotency(COMPANY, &one.key, 200, "").await.expect("stored");
    assert!(!store.take_over_idempotency(&other, alive, one.at).await.expect("is finished"));
}
