//! What only several nodes, or a network, can bring about.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use actors::ids::CallId;
use callspan::store::{Journal, NodeId};
use sqlx::postgres::PgConnectOptions;
use tokio::io::{AsyncRead, AsyncWrite, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::watch;

use crate::db::{Db, at, insert_call};

/// Stands between a store and the server, and can be cut like a cable.
pub(crate) struct Proxy {
    address: SocketAddr,
    database: String,
    user: String,
    up: watch::Sender<bool>,
}

impl Proxy {
    pub(crate) async fn start(server: PgConnectOptions) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("is bound");
        let (up, seen) = watch::channel(true);
        let (database, user) = (server.get_database().expect("named"), server.get_username());
        let (database, user) = (database.to_owned(), user.to_owned());
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                if *seen.borrow() {
                    tokio::spawn(join(client, server.clone(), seen.clone()));
                }
            }
        });
        Proxy { address, database, user, up }
    }

    pub(crate) fn url(&self) -> String {
        format!("postgres://{}@{}/{}?sslmode=disable", self.user, self.address, self.database)
    }

    /// Breaks every connection and refuses new ones.
    pub(crate) fn cut(&self) {
        self.up.send_replace(false);
    }

    pub(crate) fn mend(&self) {
        self.up.send_replace(true);
    }
}

async fn join(client: TcpStream, server: PgConnectOptions, up: watch::Receiver<bool>) {
    let port = server.get_port();
    // The folder of a Unix socket may be given as the host.
    let folder = server.get_socket().map(|path| path.display().to_string());
    let folder =
        folder.or_else(|| Some(server.get_host().to_owned()).filter(|h| h.starts_with('/')));
    match folder {
        Some(folder) => {
            let path = format!("{folder}/.s.PGSQL.{port}");
            carry(client, UnixStream::connect(path).await.expect("the server is up"), up).await;
        }
        None => {
            let server = TcpStream::connect((server.get_host(), port)).await;
            carry(client, server.expect("the server is up"), up).await;
        }
    }
}

async fn carry(
    mut client: TcpStream,
    mut server: impl AsyncRead + AsyncWrite + Unpin,
    mut up: watch::Receiver<bool>,
) {
    tokio::select! {
        _ = copy_bidirectional(&mut client, &mut server) => {}
        _ = up.wait_for(|up| !up) => {}
    }
}

#[tokio::test]
#[ignore = "needs PostgreSQL: run ./scripts/test"]
async fn two_nodes_share_orphans_and_none_goes_to_both() {
    const CALLS: usize = 50;
    let db = Db::postgres().await;
    let store = db.store_with_company().await;
    let dead = NodeId::generate();
    let mut expected = BTreeSet::new();
    for _ in 0..CALLS {
        expected.insert(insert_call(&store, dead).await);
    }
    let nodes = [NodeId::generate(), NodeId::generate(), NodeId::generate()];
    let mut takers = tokio::task::JoinSet::new();
    for node in nodes {
        store.register(node, at(0)).await.expect("stored");
    }
    for node in nodes {
        let store = db.store().await;
        takers.spawn(async move {
            let taken = store.take_orphans(node, at(1), at(0)).await.expect("taken");
            taken.into_iter().map(|row| row.id).collect::<Vec<CallId>>()
        });
    }
    let taken: Vec<CallId> = takers.join_all().await.into_iter().flatten().collect();
    assert_eq!(taken.len(), CALLS, "none is taken twice");
    assert_eq!(taken.into_iter().collect::<BTreeSet<_>>(), expected);
}

#[tokio::test]
#[ignore = "needs PostgreSQL: run ./scripts/test"]
async fn a_living_node_keeps_its_calls() {
    let db = Db::postgres().await;
    let store = db.store_with_company().await;
    let (alive, me) = (NodeId::generate(), NodeId::generate());
    store.register(alive, at(0)).await.expect("stored");
    store.register(me, at(0)).await.expect("stored");
    insert_call(&store, alive).await;
    store.heartbeat(alive, at(90)).await.expect("stored");
    assert!(store.take_orphans(me, at(100), at(80)).await.expect("taken").is_empty());
    assert_eq!(store.live_calls_of_node(alive).await.expect("read").len(), 1);
    assert_eq!(store.take_orphans(me, at(200), at(180)).await.expect("taken").len(), 1);
}

#[tokio::test]
#[ignore = "needs PostgreSQL: run ./scripts/test"]
async fn a_terminated_connection_is_replaced() {
    let db = Db::postgres().await;
    let store = db.store_with_company().await;
    let call = insert_call(&store, NodeId::generate()).await;
    let journal = Journal::spawn(store.clone());
    for round in 1..=5 {
        db.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
             WHERE datname = current_database() AND pid <> pg_backend_pid()",
        )
        .await;
        actors::ports::CallLog::event(&journal, call, actors::call::CallEvent::Ringing);
        assert!(journal.flush(std::time::Duration::from_secs(60)).await);
        assert_eq!(store.events(call).await.expect("read").len(), round);
    }
}

#[tokio::test]
#[ignore = "needs PostgreSQL: run ./scripts/test"]
async fn an_unreachable_server_is_told_without_the_password() {
    let nobody = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = nobody.local_addr().expect("is bound");
    drop(nobody);
    let url = format!("postgres://calls:hush@{address}/calls?sslmode=disable");
    let error = callspan::store::Store::connect(&url, crate::db::sealer(&[1])).await;
    let error = error.expect_err("nobody is there");
    assert!(error.is_unavailable(), "{error}");
    assert!(!format!("{error} {error:?}").contains("hush"), "{error:?}");
}
