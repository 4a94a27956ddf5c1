//! Companies as people see, change and remove them. One function a promise; `main.rs` runs each on
//! both engines.

use std::collections::BTreeSet;

use actors::call::{CallEvent, CallStatus, EndReason};
use actors::ids::{AgentId, CompanyId, PhoneNumber};
use actors::ports::FirstSpeaker;
use callspan::store::{
    AgentConfig, ApiCall, CompanyPatch, CompanySettings, Configured, IdempotentRequest,
    InboundRoute, KeyHash, Medium, NewAgent, NewApiKey, NewCall, NodeId, NumberRoute, Removed,
    Scope, Store, StoreError, TwilioSettings, UltravoxSettings,
};
use secrecy::{ExposeSecret, SecretString};

use crate::calls::ended;
use crate::companies::settings;
use crate::db::{COMPANY, Db, at, new_call};

const OTHER: CompanyId = CompanyId(2);

fn number(raw: &str) -> PhoneNumber {
    raw.parse().expect("a number")
}

fn agent(raw: &str) -> AgentId {
    raw.parse().expect("an id")
}

fn route(raw: &str, to: Option<&str>) -> NumberRoute {
    NumberRoute { number: number(raw), agent: to.map(agent) }
}

async fn insert(store: &Store, settings: &CompanySettings) -> CompanyId {
    store.insert_company(settings, at(5)).await.expect("stored")
}

async fn update(store: &Store, company: CompanyId, patch: &CompanyPatch) -> bool {
    store.update_company(company, patch, at(6)).await.expect("stored")
}

pub(crate) async fn a_company_is_made_shown_and_changed(db: Db) {
    let store = db.store().await;
    let new = CompanySettings {
        name: Some("Acme </Say>".to_owned()),
        inbound_agent: Some(Some(agent("agent-1"))),
        numbers: Some(vec![route("+12125550102", Some("agent-2")), route("+12125550101", None)]),
        twilio: Some(TwilioSettings {
            max_cps: Some(Some(2.5)),
            fallback_number: Some(Some(number("+12125550100"))),
            allowed_prefixes: Some(Some(vec!["+1".to_owned(), "+44".to_owned()])),
            ..settings("token", "key").twilio.expect("is given")
        }),
        ultravox: Some(UltravoxSettings {
            api_url: Some(Some("https://ultravox.example".to_owned())),
            first_speaker: Some(FirstSpeaker::Agent),
            ..settings("token", "key").ultravox.expect("is given")
        }),
    };
    let company = insert(&store, &new).await;
    assert_eq!(company, COMPANY);
    let row = store.company(company).await.expect("read").expect("is there");
    assert_eq!((row.id, row.name.as_str(), row.created_at), (COMPANY, "Acme </Say>", at(5)));
    assert_eq!(row.inbound_agent, Some(agent("agent-1")));
    assert_eq!(row.numbers, [route("+12125550101", None), route("+12125550102", Some("agent-2"))]);
    let twilio = row.twilio.clone().expect("is there");
    assert_eq!((twilio.phone_number, twilio.max_cps), (number("+12125550199"), Some(2.5)));
    assert_eq!(twilio.fallback_number, Some(number("+12125550100")));
    let prefixes = Some(vec!["+1".to_owned(), "+44".to_owned()]);
    assert_eq!(twilio.allowed_prefixes, prefixes);
    assert_eq!(store.allowed_prefixes(company).await.expect("read"), prefixes);
    let ultravox = row.ultravox.clone().expect("is there");
    assert_eq!(ultravox.apiurl.as_deref(), Some("https://ultravox.example"));
    assert_eq!(
        (ultravox.firstspeaker, ultravox.medium),
        (FirstSpeaker::Agent, Medium::ServerWebSocket)
    );

    assert!(update(&store, company, &CompanyPatch::default()).await);
    assert_eq!(store.company(company).await.expect("read"), Some(row), "nothing was given");

    let cleared = CompanyPatch {
        inbound_agent: Some(None),
        numbers: Some(vec![route("+12125550103", None), route("+12125550103", Some("last"))]),
        twilio: Some(TwilioSettings {
            phone_number: Some(number("+12125550198")),
            max_cps: Some(None),
            fallback_number: Some(None),
            allowed_prefixes: Some(None),
            ..Default::default()
        }),
        ultravox: Some(UltravoxSettings { api_url: Some(None), ..Default::default() }),
        ..Default::default()
    };
    assert!(update(&store, company, &cleared).await);
    let row = store.company(company).await.expect("read").expect("is there");
    assert_eq!((row.name.as_str(), row.inbound_agent), ("Acme </Say>", None));
    assert_eq!(row.numbers, [route("+12125550103", Some("last"))], "the last word counts");
    let twilio = row.twilio.expect("is there");
    assert_eq!(
        (twilio.max_cps, twilio.fallback_number, twilio.allowed_prefixes),
        (None, None, None)
    );
    assert_eq!(row.ultravox.expect("is there").apiurl, None);
    assert_eq!(store.allowed_prefixes(company).await.expect("read"), None);
    let account = store.twilio_account(company).await.expect("read").expect("is there");
    assert_eq!(
        (account.auth_token.expose_secret(), account.phone_number),
        ("token", number("+12125550198"))
    );

    assert!(!update(&store, OTHER, &cleared).await);
    assert_eq!(store.company(OTHER).await.expect("read"), None);
    assert_eq!(store.allowed_prefixes(OTHER).await.expect("read"), None);
}

pub(crate) async fn companies_are_listed_by_their_numbers(db: Db) {
    let store = db.store().await;
    for name in ["one", "two"] {
        let settings = CompanySettings { name: Some(name.to_owned()), ..Default::default() };
        insert(&store, &settings).await;
    }
    let routes = vec![route("+12125550101", None)];
    let third = CompanySettings { numbers: Some(routes.clone()), ..settings("token", "key") };
    assert_eq!(insert(&store, &third).await, CompanyId(3));

    let rows = store.companies(None, 10).await.expect("read");
    let names: Vec<&str> = rows.iter().map(|row| row.name.as_str()).collect();
    assert_eq!(names, ["one", "two", "Company 3"]);
    assert_eq!((&rows[0].twilio, &rows[0].ultravox, rows[0].numbers.len()), (&None, &None, 0));
    assert_eq!((rows[2].twilio.is_some(), rows[2].ultravox.is_some()), (true, true));
    assert_eq!(rows[2].numbers, routes);
    assert_eq!(store.companies(None, 2).await.expect("read"), rows[..2]);
    assert_eq!(store.companies(Some(OTHER), 2).await.expect("read"), rows[2..]);
    assert!(store.companies(Some(CompanyId(3)), 2).await.expect("read").is_empty());
    assert_eq!(store.company_name(OTHER).await.expect("read").as_deref(), Some("two"));
    assert_eq!(store.company_name(CompanyId(9)).await.expect("read"), None);
}

pub(crate) async fn companies_made_at_once_get_numbers_of_their_own(db: Db) {
    let mut made = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let store = db.store().await;
        made.spawn(async move { insert(&store, &settings("token", "key")).await });
    }
    let numbers: BTreeSet<i64> = made.join_all().await.into_iter().map(|id| id.0).collect();
    assert_eq!(numbers, (1..=8).collect());
}

pub(crate) async fn a_number_reaches_one_company(db: Db) {
    let store = db.store().await;
    let calls_from = |to: &str| CompanySettings {
        inbound_agent: Some(Some(agent(to))),
        ..settings("token", "key")
    };
    let (first, second) =
        (insert(&store, &calls_from("a1")).await, insert(&store, &calls_from("a2")).await);
    let reach = async |raw: &str| store.company_of_number(raw).await.expect("read");
    let to = |company, to: &str| Some(InboundRoute { company, agent: Some(agent(to)) });
    // Both call from …0199.
    assert_eq!(reach("+12125550199").await, to(first, "a1"), "the first one's");
    let numbers = |routes| CompanyPatch { numbers: Some(routes), ..Default::default() };
    let given = numbers(vec![route("+12125550199", None), route("+12125550101", Some("b"))]);
    assert!(update(&store, second, &given).await);
    assert_eq!(reach("+12125550199").await, to(second, "a2"), "it was given to the second");
    assert_eq!(reach("+12125550101").await, to(second, "b"));
    for nobodys in ["+12125550102", "", "anonymous", "\0"] {
        assert_eq!(reach(nobodys).await, None, "{nobodys:?}");
    }

    let mut taken = numbers(vec![route("+12125550100", None), route("+12125550101", None)]);
    taken.name = Some("not stored".to_owned());
    let error = store.update_company(first, &taken, at(6)).await.expect_err("is the second one's");
    assert!(
        matches!(&error, StoreError::NumberTaken { number } if number.as_str().ends_with("0101"))
    );
    assert!(!error.to_string().contains("2125550101"), "{error}");
    assert_eq!(reach("+12125550100").await, None, "nothing is stored by halves");
    assert_eq!(store.company_name(first).await.expect("read").as_deref(), Some("Company 1"));
}

pub(crate) async fn health_finds_the_first_company_with_both_vendors(db: Db) {
    let store = db.store().await;
    let configured = async || store.first_configured().await.expect("read");
    let nothing = Configured { company: None, any_twilio: false, any_ultravox: false };
    assert_eq!(configured().await, nothing);
    let both = settings("token", "key");
    insert(&store, &CompanySettings { ultravox: None, ..both.clone() }).await;
    assert_eq!(configured().await, Configured { any_twilio: true, ..nothing });
    insert(&store, &CompanySettings { twilio: None, ..both.clone() }).await;
    assert_eq!(configured().await, Configured { any_twilio: true, any_ultravox: true, ..nothing });
    let third = insert(&store, &both).await;
    insert(&store, &both).await;
    assert_eq!(configured().await.company, Some(third));
}

pub(crate) async fn a_removed_company_leaves_nothing_but_what_was_counted(db: Db) {
    let store = db.store().await;
    for _ in [COMPANY, OTHER] {
        insert(&store, &settings("token", "key")).await;
    }
    let node = NodeId::generate();
    let call = NewCall { company: OTHER, ..new_call(node) };
    store.insert_call(&call).await.expect("stored");
    store.append_events(&[(call.id, at(1), CallEvent::Initiated)]).await.expect("stored");
    let config = AgentConfig {
        name: "Ann".to_owned(),
        prompt: "Be kind.".to_owned(),
        voice: "default".to_owned(),
        language: "en".to_owned(),
        template_variables: Default::default(),
    };
    let ann = NewAgent { id: AgentId::generate(), company: OTHER, config, at: at(1) };
    store.insert_agent(&ann).await.expect("stored");
    let hash = KeyHash::of(&SecretString::from("key"));
    let (id, name, prefix) = ("k".to_owned(), String::new(), "k".to_owned());
    let key = NewApiKey { id, name, hash, prefix, company: Some(OTHER), at: at(1) };
    store.insert_api_key(&key).await.expect("stored");
    let request = |company, endpoint: &str| ApiCall {
        company,
        at: at(1),
        method: "GET".to_owned(),
        endpoint: endpoint.to_owned(),
        status: 200,
        duration: Default::default(),
    };
    let requests = [request(None, "/nobody"), request(Some(OTHER), "/other")];
    store.record_requests(&requests).await.expect("stored");
    let claim = IdempotentRequest {
        company: OTHER,
        key: "k".to_owned(),
        route: "/".to_owned(),
        body_hash: String::new(),
        node,
        call: None,
        at: at(1),
    };
    store.claim_idempotency(&claim).await.expect("stored");

    let of_campaigns = [
        "campaigns (id, company_id, name, state, settings, created_at, updated_at) \
         VALUES ('c', 2, '', 'completed', '{}', 1, 1)",
        "campaign_calls (campaign_id, seq, number, state, updated_at) VALUES ('c', 1, '', 'done', 1)",
        "campaign_counts (campaign_id, name, count) VALUES ('c', 'done', 1)",
        "do_not_call (company_id, number, source, created_at) VALUES (2, '+12125550123', 'api', 1)",
        "dial_slots (company_id, slot, used_at) VALUES (2, 1, 1)",
    ];
    for row in of_campaigns {
        db.execute(&format!("INSERT INTO {row}")).await;
    }

    assert_eq!(store.remove_company(OTHER).await.expect("read"), Removed::HasLiveCalls);
    assert!(store.company(OTHER).await.expect("read").is_some());
    let end = ended(CallStatus::Failed, EndReason::PhoneFailed);
    store.apply(call.id, end, at(2)).await.expect("stored");
    let before = store.totals(Scope::All).await.expect("read");

    for nobody in [CompanyId(0), CompanyId(9)] {
        assert_eq!(store.remove_company(nobody).await.expect("read"), Removed::Unknown);
    }
    assert_eq!(store.remove_company(OTHER).await.expect("stored"), Removed::Removed);
    assert_eq!(store.remove_company(OTHER).await.expect("read"), Removed::Unknown);
    for table in [
        "companies WHERE id = 2",
        "twilio_config WHERE company_id = 2",
        "ultravox_config WHERE company_id = 2",
        "api_keys WHERE company_id = 2",
        "agents WHERE company_id = 2",
        "calls WHERE company_id = 2",
        "call_events",
        "events WHERE company_id = 2",
        "api_calls WHERE company_id = 2",
        "idempotency_keys WHERE company_id = 2",
        "campaigns",
        "campaign_calls",
        "campaign_counts",
        "do_not_call",
        "dial_slots",
    ] {
        let rows = db.text(&format!("SELECT CAST(count(*) AS TEXT) FROM {table}")).await;
        assert_eq!(rows.as_deref(), Some("0"), "{table}");
    }
    assert_eq!(store.totals(Scope::All).await.expect("read"), before);
    assert_eq!((before.calls_failed, before.requests_success), (1, 2));
    assert!(store.company(COMPANY).await.expect("read").is_some());
    let next = insert(&store, &CompanySettings::default()).await;
    assert_eq!(next, CompanyId(3), "a number is not given twice");
}
