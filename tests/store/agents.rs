//! Agents. One function a promise; `main.rs` runs each on both engines.

use actors::ids::{AgentId, CompanyId};
use callspan::store::{AgentConfig, AgentCounts, AgentStatus, NewAgent, Store};

use crate::db::{COMPANY, Db, at};

fn config(name: &str) -> AgentConfig {
    let variables = [("city", "Zürich"), ("a", "\"quoted\" '; DROP TABLE agents")];
    AgentConfig {
        name: name.to_owned(),
        prompt: "Be kind to {{city}}.".to_owned(),
        voice: "default".to_owned(),
        language: "en".to_owned(),
        template_variables: variables.map(|(k, v)| (k.to_owned(), v.to_owned())).into(),
    }
}

async fn insert(store: &Store, name: &str, ms: i64) -> AgentId {
    let id = AgentId::generate();
    let agent = NewAgent { id: id.clone(), company: COMPANY, config: config(name), at: at(ms) };
    store.insert_agent(&agent).await.expect("stored");
    id
}

async fn names(store: &Store, limit: Option<u32>, offset: u32) -> Vec<String> {
    let rows = store.agents(COMPANY, limit, offset).await.expect("read");
    rows.into_iter().map(|row| row.config.name).collect()
}

pub(crate) async fn an_agent_is_stored_from_first_to_last(db: Db) {
    let store = db.store_with_company().await;
    let id = insert(&store, "Ann", 0).await;
    let row = store.agent(COMPANY, &id).await.expect("read").expect("is there");
    assert_eq!((&row.id, row.company, row.status), (&id, COMPANY, AgentStatus::Creating));
    assert_eq!((&row.config, row.ultravox_agent_id), (&config("Ann"), None));
    assert_eq!((row.created_at, row.updated_at, row.detail), (at(0), at(0), None));

    assert!(store.agent_ready(&id, "uv-1", at(1)).await.expect("stored"));
    let row = store.agent(COMPANY, &id).await.expect("read").expect("is there");
    assert_eq!((row.status, row.ultravox_agent_id.as_deref()), (AgentStatus::Active, Some("uv-1")));
    assert_eq!((row.created_at, row.updated_at), (at(0), at(1)));

    let error = AgentStatus::Error;
    let set = store.set_agent(&id, &config("Bob"), error, Some("refused"), at(2)).await;
    assert!(set.expect("stored"));
    let row = store.agent(COMPANY, &id).await.expect("read").expect("is there");
    assert_eq!((row.config.name.as_str(), row.status), ("Bob", error));
    assert_eq!((row.detail.as_deref(), row.updated_at), (Some("refused"), at(2)));
    assert_eq!(row.ultravox_agent_id.as_deref(), Some("uv-1"), "Ultravox still has it");

    let set = store.set_agent_status(&id, AgentStatus::Inactive, None, at(3)).await;
    assert!(set.expect("stored"));
    let row = store.agent(COMPANY, &id).await.expect("read").expect("is there");
    assert_eq!((row.status, row.detail, row.updated_at), (AgentStatus::Inactive, None, at(3)));
}

pub(crate) async fn an_agent_whose_making_was_cut_short_is_found(db: Db) {
    let store = db.store_with_company().await;
    let cut_short = insert(&store, "Ann", 0).await;
    let ready = insert(&store, "Bob", 0).await;
    assert!(store.agent_ready(&ready, "uv-1", at(1)).await.expect("stored"));
    insert(&store, "Cid", 10).await;
    let found = store.unsettled_agents(at(10)).await.expect("read");
    let ids: Vec<&AgentId> = found.iter().map(|agent| &agent.id).collect();
    assert_eq!(ids, [&cut_short]);
}

pub(crate) async fn a_deleted_agent_is_found_no_more(db: Db) {
    let store = db.store_with_company().await;
    let id = insert(&store, "Ann", 0).await;
    assert!(store.delete_agent(&id, at(1)).await.expect("stored"));
    assert!(!store.delete_agent(&id, at(2)).await.expect("is deleted already"));
    assert_eq!(store.agent(COMPANY, &id).await.expect("read"), None);
    assert!(names(&store, None, 0).await.is_empty());
    assert!(!store.agent_ready(&id, "uv-1", at(3)).await.expect("comes too late"));
    let set = store.set_agent_status(&id, AgentStatus::Active, None, at(3)).await;
    assert!(!set.expect("comes too late"));
    let kept = db.text("SELECT CAST(deleted_at - created_at AS TEXT) FROM agents").await;
    assert_eq!(kept.as_deref(), Some("1"), "calls still name it");

    store.forget_agent(&id).await.expect("stored");
    let rows = db.text("SELECT CAST(count(*) AS TEXT) FROM agents").await;
    assert_eq!(rows.as_deref(), Some("0"));
}

pub(crate) async fn agents_are_listed_and_counted_by_company(db: Db) {
    let store = db.store_with_company().await;
    store.upsert_company(CompanyId(2), &Default::default(), at(0)).await.expect("stored");
    let mut ids = Vec::new();
    for (ms, name) in [(3, "third"), (1, "first"), (2, "second")] {
        ids.push(insert(&store, name, ms).await);
    }
    assert_eq!(names(&store, None, 0).await, ["first", "second", "third"]);
    assert_eq!(names(&store, Some(1), 1).await, ["second"]);
    assert_eq!(names(&store, None, 2).await, ["third"]);
    assert!(names(&store, Some(0), 0).await.is_empty());
    assert!(names(&store, Some(u32::MAX), u32::MAX).await.is_empty());

    assert!(store.agents(CompanyId(2), None, 0).await.expect("read").is_empty());
    assert_eq!(store.agent(CompanyId(2), &ids[0]).await.expect("read"), None, "another's agent");

    store.agent_ready(&ids[0], "uv-1", at(4)).await.expect("stored");
    store.agent_ready(&ids[1], "uv-2", at(4)).await.expect("stored");
    store.delete_agent(&ids[1], at(5)).await.expect("stored");
    let expected = AgentCounts { total: 2, active: 1 };
    assert_eq!(store.count_agents(Some(COMPANY)).await.expect("read"), expected);
    assert_eq!(store.count_agents(None).await.expect("read"), expected);
    let none = AgentCounts { total: 0, active: 0 };
    assert_eq!(store.count_agents(Some(CompanyId(2))).await.expect("read"), none);
}
