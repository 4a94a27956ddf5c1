//! Calls that come in. One function a promise; `main.rs` runs each on both engines.

use actors::call::{CallStatus, Direction};
use actors::ids::CompanyId;
use actors::ports::TwilioAccount;
use callspan::store::{CompanySettings, NewCall, NodeId, TwilioSettings};
use secrecy::SecretString;

use crate::calls::sid;
use crate::db::{COMPANY, Db, at, new_call};

fn incoming(from: &str) -> NewCall {
    NewCall { from: from.into(), direction: Direction::Inbound, ..new_call(NodeId::generate()) }
}

pub(crate) async fn a_call_that_comes_in_is_stored_once(db: Db) {
    let store = db.store_with_company().await;
    let (first, again) = (incoming("sip:alice@example.com"), incoming("anonymous"));
    assert!(store.insert_inbound(&first, &sid(1)).await.expect("stored"));
    assert!(!store.insert_inbound(&again, &sid(1)).await.expect("answers"));
    let row = store.call_by_sid(&sid(1)).await.expect("read").expect("is there");
    assert_eq!((row.id, row.node, row.direction), (first.id, first.node, Direction::Inbound));
    assert_eq!((row.status, row.answered_at), (CallStatus::Ringing, None));
    assert_eq!((&row.from, &row.to, row.created_at), (&first.from, &first.to, at(0)));
    assert!(store.call(again.id).await.expect("read").is_none());
    assert_eq!(store.live_calls_of_node(first.node).await.expect("read").len(), 1);

    let nobody = incoming("");
    assert!(store.insert_inbound(&nobody, &sid(2)).await.expect("stored"));
    let row = store.call(nobody.id).await.expect("read").expect("is there");
    assert_eq!(row.from.as_str(), "");
}

pub(crate) async fn two_nodes_that_are_asked_at_once_store_one_call(db: Db) {
    let stores = [db.store_with_company().await, db.store().await];
    let calls: Vec<NewCall> = (0..8).map(|_| incoming("+12125550123")).collect();
    let call_sid = sid(1);
    let inserts = calls
        .iter()
        .enumerate()
        .map(|(n, call)| stores[n % stores.len()].insert_inbound(call, &call_sid));
    let inserted = futures_util::future::join_all(inserts).await;
    let first = inserted.into_iter().filter(|inserted| *inserted.as_ref().expect("answers"));
    assert_eq!(first.count(), 1);
    assert_eq!(stores[0].count_live().await.expect("read"), 1);
}

pub(crate) async fn a_number_leads_to_its_company(db: Db) {
    let store = db.store_with_company().await;
    let line = |number: &str| TwilioAccount {
        account_sid: "AC00000000000000000000000000000001".parse().expect("a sid"),
        auth_token: SecretString::from("token"),
        phone_number: number.parse().expect("a number"),
    };
    for (company, number) in [(1, "+12125550101"), (3, "+12125550103"), (2, "+12125550103")] {
        let twilio = TwilioSettings::from(line(number));
        let name = Some(format!("Number {company}"));
        let settings = CompanySettings { name, twilio: Some(twilio), ..Default::default() };
        store.upsert_company(CompanyId(company), &settings, at(0)).await.expect("stored");
    }
    for (number, company) in [
        ("+12125550101", Some(1)),
        ("+12125550103", Some(2)),
        ("+12125550102", None),
        ("+1212555010", None),
        ("%", None),
        ("", None),
    ] {
        let route = store.company_of_number(number).await.expect("read");
        assert_eq!(route.map(|route| route.company), company.map(CompanyId), "{number}");
    }
    assert_eq!(store.company_name(COMPANY).await.expect("read").as_deref(), Some("Number 1"));
    assert_eq!(store.company_name(CompanyId(9)).await.expect("read"), None);
}
