//! A fresh database for each test.

use actors::ids::{CallId, CompanyId};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use callspan::secrets::Sealer;
use callspan::store::{Direction, NewCall, NodeId, Store};
use jiff::Timestamp;
use secrecy::SecretString;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Row};

pub(crate) const COMPANY: CompanyId = CompanyId(1);

/// A database of its own, gone with the folder or the throw-away server it is in.
pub(crate) struct Db {
    pub(crate) url: String,
    _folder: Option<tempfile::TempDir>,
}

impl Db {
    pub(crate) fn sqlite() -> Db {
        let folder = tempfile::tempdir().expect("a folder");
        let url = format!("sqlite://{}?mode=rwc", folder.path().join("calls.db").display());
        Db { url, _folder: Some(folder) }
    }

    pub(crate) async fn postgres() -> Db {
        let server = std::env::var("TEST_POSTGRES_URL")
            .expect("TEST_POSTGRES_URL must name a server: run scripts/with-postgres");
        let mut admin = PgConnection::connect(&server).await.expect("the server answers");
        let name = format!("t_{}", CallId::generate().to_string().replace('-', ""));
        let create = AssertSqlSafe(format!("CREATE DATABASE {name}"));
        sqlx::query(create).execute(&mut admin).await.expect("may create databases");
        let mut url: url::Url = server.parse().expect("a URL");
        url.set_path(&name);
        Db { url: url.to_string(), _folder: None }
    }

    /// A database that is there already.
    pub(crate) fn named(url: String) -> Db {
        Db { url, _folder: None }
    }

    pub(crate) fn is_postgres(&self) -> bool {
        self.url.starts_with("postgres")
    }

    /// What the URL says, for connections that go round the store.
    pub(crate) fn postgres_options(&self) -> PgConnectOptions {
        self.url.parse().expect("a URL of PostgreSQL")
    }

    pub(crate) async fn store(&self) -> Store {
        self.store_with(&[1]).await
    }

    /// With these keys, each told by the byte it is made of.
    pub(crate) async fn store_with(&self, keys: &[u8]) -> Store {
        Store::connect(&self.url, sealer(keys)).await.expect("opens")
    }

    /// A store with company 1 in it.
    pub(crate) async fn store_with_company(&self) -> Store {
        let store = self.store().await;
        store.upsert_company(COMPANY, &Default::default(), at(0)).await.expect("stored");
        store
    }

    /// Goes round the store.
    pub(crate) async fn execute(&self, sql: &str) {
        let sql = AssertSqlSafe(sql.to_owned());
        if self.is_postgres() {
            let mut direct = self.postgres_options().connect().await.expect("connects");
            sqlx::query(sql).execute(&mut direct).await.expect("is good SQL");
        } else {
            let mut direct = sqlx::SqliteConnection::connect(&self.url).await.expect("opens");
            sqlx::query(sql).execute(&mut direct).await.expect("is good SQL");
        }
    }

    /// Goes round the store, for one text.
    pub(crate) async fn text(&self, sql: &str) -> Option<String> {
        let sql = AssertSqlSafe(sql.to_owned());
        if self.is_postgres() {
            let mut direct = self.postgres_options().connect().await.expect("connects");
            sqlx::query(sql).fetch_one(&mut direct).await.expect("is good SQL").get(0)
        } else {
            let mut direct = sqlx::SqliteConnection::connect(&self.url).await.expect("opens");
            sqlx::query(sql).fetch_one(&mut direct).await.expect("is good SQL").get(0)
        }
    }
}

pub(crate) fn sealer(keys: &[u8]) -> Sealer {
    let list: Vec<String> = keys.iter().map(|key| STANDARD.encode([*key; 32])).collect();
    Sealer::from_keys(&SecretString::from(list.join(","))).expect("good keys")
}

/// A moment, by its milliseconds.
pub(crate) fn at(ms: i64) -> Timestamp {
    Timestamp::from_millisecond(1_800_000_000_000 + ms).expect("in range")
}

pub(crate) fn new_call(node: NodeId) -> NewCall {
    NewCall {
        id: CallId::generate(),
        company: COMPANY,
        node,
        to: "+12125550123".parse().expect("a number"),
        from: "+12125550199".parse().expect("a number"),
        direction: Direction::Outbound,
        agent: None,
        at: at(0),
    }
}

/// Stores a call that has just been asked for.
pub(crate) async fn insert_call(store: &Store, node: NodeId) -> CallId {
    let call = new_call(node);
    store.insert_call(&call).await.expect("stored");
    call.id
}
