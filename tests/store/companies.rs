//! Companies, keys and the secrets of both. One function a promise; `main.rs` runs each on both
//! engines.

use actors::ids::CompanyId;
use actors::ports::{FirstSpeaker, TwilioAccount};
use callspan::store::{
    Claim, CompanySettings, IdempotentRequest, KeyHash, Medium, NewApiKey, NodeId, StoreError,
    TwilioSettings, UltravoxSettings,
};
use secrecy::{ExposeSecret, SecretString};

use crate::calls::agent;
use crate::db::{COMPANY, Db, at, insert_call, sealer};

fn account(token: &str) -> TwilioAccount {
    TwilioAccount {
        account_sid: "AC00000000000000000000000000000001".parse().expect("a sid"),
        auth_token: SecretString::from(token),
        phone_number: "+12125550199".parse().expect("a number"),
    }
}

pub(crate) fn settings(token: &str, api_key: &str) -> CompanySettings {
    CompanySettings {
        twilio: Some(TwilioSettings::from(account(token))),
        ultravox: Some(UltravoxSettings {
            api_key: Some(SecretString::from(api_key)),
            ..Default::default()
        }),
        ..Default::default()
    }
}

pub(crate) async fn a_company_is_refreshed_field_by_field(db: Db) {
    let store = db.store().await;
    let mut first = settings("token-1", "key-1");
    first.name = Some("Acme".to_owned());
    if let Some(ultravox) = &mut first.ultravox {
        ultravox.system_prompt = Some("Be kind.".to_owned());
        ultravox.first_speaker = Some(FirstSpeaker::Agent);
        ultravox.medium = Some(Medium::Twilio);
        ultravox.api_url = Some(Some("https://ultravox.example".to_owned()));
    }
    store.upsert_company(COMPANY, &first, at(0)).await.expect("stored");
    store.upsert_company(COMPANY, &settings("token-2", "key-2"), at(1)).await.expect("stored");

    let twilio = store.twilio_account(COMPANY).await.expect("read").expect("is there");
    assert_eq!(twilio.auth_token.expose_secret(), "token-2");
    assert_eq!(twilio.phone_number.as_str(), "+12125550199");
    let ultravox = store.ultravox_config(COMPANY).await.expect("read").expect("is there");
    assert_eq!(ultravox.account.api_key.expose_secret(), "key-2");
    assert_eq!(ultravox.account.api_url.as_deref(), Some("https://ultravox.example"));
    assert_eq!(ultravox.system_prompt, "Be kind.");
    assert_eq!(ultravox.first_speaker, FirstSpeaker::Agent);
    assert_eq!(ultravox.medium, Medium::Twilio);
    assert_eq!(db.text("SELECT name FROM companies").await.as_deref(), Some("Acme"));

    let limits = TwilioSettings {
        max_cps: Some(Some(0.5)),
        fallback_number: Some(Some("+12125550100".parse().expect("a number"))),
        allowed_prefixes: Some(Some(vec!["+1".to_owned()])),
        ..Default::default()
    };
    let limits = CompanySettings { twilio: Some(limits), ..Default::default() };
    store.upsert_company(COMPANY, &limits, at(2)).await.expect("stored");
    let twilio = store.twilio_account(COMPANY).await.expect("read").expect("is there");
    assert_eq!(twilio.auth_token.expose_secret(), "token-2");
    let prefixes = db.text("SELECT allowed_prefixes FROM twilio_config").await;
    assert_eq!(prefixes.as_deref(), Some(r#"["+1"]"#));

    assert!(store.twilio_account(CompanyId(2)).await.expect("read").is_none());
    assert!(store.ultravox_config(CompanyId(2)).await.expect("read").is_none());
}

pub(crate) async fn two_nodes_that_start_at_once_refresh_a_company(db: Db) {
    let (one, other) = (db.store().await, db.store().await);
    let (from_one, from_other) = (settings("token-1", "key-1"), settings("token-2", "key-2"));
    let (first, second) = tokio::join!(
        one.upsert_company(COMPANY, &from_one, at(0)),
        other.upsert_company(COMPANY, &from_other, at(0)),
    );
    first.and(second).expect("both are stored, one after the other");
    let twilio = one.twilio_account(COMPANY).await.expect("read").expect("is there");
    let ultravox = one.ultravox_config(COMPANY).await.expect("read").expect("is there");
    let (token, key) = (twilio.auth_token.expose_secret(), ultravox.account.api_key);
    assert_eq!(token.replace("token", "key"), key.expose_secret(), "of one start, not of both");
}

pub(crate) async fn a_company_has_the_documented_defaults(db: Db) {
    let store = db.store().await;
    store.upsert_company(COMPANY, &settings("token", "key"), at(0)).await.expect("stored");
    let ultravox = store.ultravox_config(COMPANY).await.expect("read").expect("is there");
    assert_eq!(ultravox.model, "fixie-ai/ultravox");
    assert_eq!(ultravox.voice, "terrence");
    assert_eq!(ultravox.first_speaker, FirstSpeaker::User);
    assert_eq!(ultravox.medium, Medium::ServerWebSocket);
    assert_eq!((ultravox.system_prompt.as_str(), ultravox.account.api_url), ("", None));
}

pub(crate) async fn a_new_configuration_needs_its_credentials(db: Db) {
    let store = db.store().await;
    let twilio = CompanySettings { twilio: Some(Default::default()), ..Default::default() };
    let error = store.upsert_company(COMPANY, &twilio, at(0)).await.expect_err("no account");
    assert!(matches!(error, StoreError::Incomplete { .. }), "{error}");
    let ultravox = CompanySettings { ultravox: Some(Default::default()), ..Default::default() };
    let error = store.upsert_company(COMPANY, &ultravox, at(0)).await.expect_err("no key");
    assert!(error.to_string().contains("the API key must be given"), "{error}");
    let companies = db.text("SELECT CAST(count(*) AS TEXT) FROM companies").await;
    assert_eq!(companies.as_deref(), Some("0"), "nothing is stored by halves");
}

pub(crate) async fn api_keys_are_found_by_hash_until_revoked(db: Db) {
    let store = db.store_with_company().await;
    assert!(!store.has_admin_key().await.expect("read"));
    let key = |text: &str, company| NewApiKey {
        id: text.to_owned(),
        name: format!("the key {text}"),
        hash: KeyHash::of(&SecretString::from(text)),
        prefix: "cs_".to_owned(),
        company,
        at: at(0),
    };
    let of_company = key("one", Some(COMPANY));
    assert!(store.insert_api_key(&of_company).await.expect("stored"));
    assert!(!store.insert_api_key(&of_company).await.expect("is stored already"));
    assert!(!store.has_admin_key().await.expect("read"));
    assert!(store.insert_api_key(&key("admin", None)).await.expect("stored"));
    assert!(store.has_admin_key().await.expect("read"));

    let found = store.find_api_key(&of_company.hash).await.expect("read").expect("is there");
    assert_eq!((found.id.as_str(), found.company()), ("one", Some(COMPANY)));
    let unknown = KeyHash::of(&SecretString::from("two"));
    assert_eq!(store.find_api_key(&unknown).await.expect("read"), None);

    assert!(store.revoke_api_key("admin", at(1)).await.expect("stored"));
    assert!(!store.revoke_api_key("admin", at(2)).await.expect("was revoked"));
    assert!(!store.has_admin_key().await.expect("read"));
    let admin = key("admin", None);
    assert_eq!(store.find_api_key(&admin.hash).await.expect("read"), None);
    assert!(!store.insert_api_key(&admin).await.expect("stays revoked"));
}

pub(crate) async fn keys_are_listed_newest_first(db: Db) {
    let store = db.store_with_company().await;
    for (ms, id, company) in [(1, "old", Some(COMPANY)), (2, "b", None), (2, "a", Some(COMPANY))] {
        let key = NewApiKey {
            id: id.to_owned(),
            name: format!("key {id}"),
            hash: KeyHash::of(&SecretString::from(id)),
            prefix: format!("cs_{id}"),
            company,
            at: at(ms),
        };
        store.insert_api_key(&key).await.expect("stored");
    }
    store.revoke_api_key("old", at(3)).await.expect("stored");
    let list = async |company, after, limit| -> Vec<String> {
        let rows = store.api_keys(company, after, limit).await.expect("read");
        rows.into_iter().map(|row| row.id).collect()
    };
    assert_eq!(list(None, None, 10).await, ["b", "a", "old"]);
    assert_eq!(list(None, None, 1).await, ["b"]);
    assert_eq!(list(None, Some("b"), 10).await, ["a", "old"]);
    assert_eq!(list(Some(COMPANY), None, 10).await, ["a", "old"]);
    assert!(list(Some(COMPANY), Some("old"), 10).await.is_empty());
    assert!(list(None, Some("no such key"), 10).await.is_empty());
    assert!(list(Some(CompanyId(2)), None, 10).await.is_empty());

    let old = store.api_key("old").await.expect("read").expect("revoked keys are still listed");
    assert_eq!((old.name.as_str(), old.prefix.as_str()), ("key old", "cs_old"));
    assert_eq!((old.company, old.created_at, old.revoked_at), (Some(COMPANY), at(1), Some(at(3))));
    assert_eq!(store.api_key("no such key").await.expect("read"), None);
}

pub(crate) async fn secrets_are_sealed_and_resealed(db: Db) {
    let store = db.store_with(&[1]).await;
    store.upsert_company(COMPANY, &settings("hush", "hush"), at(0)).await.expect("stored");
    let call = insert_call(&store, NodeId::generate()).await;
    store.apply(call, agent(), at(1)).await.expect("stored");
    let request = IdempotentRequest {
        company: COMPANY,
        key: "a/b".to_owned(),
        route: "POST /".to_owned(),
        body_hash: "abc".to_owned(),
        node: NodeId::generate(),
        call: None,
        at: at(1),
    };
    assert_eq!(store.claim_idempotency(&request).await.expect("stored"), Claim::Mine);
    store.finish_idempotency(COMPANY, "a/b", 200, "hush").await.expect("stored");
    assert_eq!(store.reseal().await.expect("all is well"), 0);

    let columns = [
        "SELECT auth_token FROM twilio_config",
        "SELECT apikey FROM ultravox_config",
        "SELECT join_url FROM calls",
        "SELECT body FROM idempotency_keys",
    ];
    let rotated = db.store_with(&[2, 1]).await;
    assert_eq!(rotated.reseal().await.expect("both keys are there"), columns.len());
    assert_eq!(rotated.reseal().await.expect("all is well"), 0);
    for column in columns {
        let sealed = db.text(column).await.expect("is there");
        let new_key = format!("v1.{}.", sealer(&[2]).first_key_id());
        assert!(sealed.starts_with(&new_key) && !sealed.contains("hush"), "{sealed}");
    }
    let after = db.store_with(&[2]).await;
    assert_eq!(after.reseal().await.expect("all is well"), 0);
    let twilio = after.twilio_account(COMPANY).await.expect("opens").expect("is there");
    assert_eq!(twilio.auth_token.expose_secret(), "hush");
    let ultravox = after.ultravox_config(COMPANY).await.expect("opens").expect("is there");
    assert_eq!(ultravox.account.api_key.expose_secret(), "hush");
    let row = after.call(call).await.expect("read").expect("is there");
    assert!(row.join_url.is_some_and(|url| url.expose_secret().ends_with("hush")));
    let claim = after.claim_idempotency(&request).await.expect("opens");
    assert_eq!(claim, Claim::Done { status: 200, body: "hush".to_owned() });
}

pub(crate) async fn a_missing_key_is_named(db: Db) {
    let store = db.store_with(&[1]).await;
    store.upsert_company(COMPANY, &settings("hush", "hush"), at(0)).await.expect("stored");
    let call = insert_call(&store, NodeId::generate()).await;
    store.apply(call, agent(), at(1)).await.expect("stored");

    let wrong = db.store_with(&[3, 2]).await;
    let error = wrong.reseal().await.expect_err("key 1 is missing").to_string();
    for key in [1, 2, 3] {
        assert!(error.contains(sealer(&[key]).first_key_id()), "{error}");
    }
    assert!(error.starts_with("3 stored secrets"), "{error}");
    let error = wrong.twilio_account(COMPANY).await.expect_err("key 1 is missing");
    assert!(error.to_string().contains("twilio_config.auth_token:1"), "{error}");
    let row = wrong.call(call).await.expect("a row can be read without it").expect("is there");
    assert!(row.join_url.is_none());
}

pub(crate) async fn a_secret_copied_to_another_row_does_not_open(db: Db) {
    let store = db.store().await;
    for company in [COMPANY, CompanyId(2)] {
        let token = format!("token-{company}");
        store.upsert_company(company, &settings(&token, "key"), at(0)).await.expect("stored");
    }
    db.execute(
        "UPDATE twilio_config SET auth_token = \
         (SELECT auth_token FROM twilio_config WHERE company_id = 2) WHERE company_id = 1",
    )
    .await;
    let error = store.twilio_account(COMPANY).await.expect_err("copied");
    assert!(matches!(error, StoreError::Seal(_)) && !error.is_unavailable(), "{error}");
    assert!(store.twilio_account(CompanyId(2)).await.expect("opens").is_some());
    assert!(store.reseal().await.is_err(), "a start finds it");
}
