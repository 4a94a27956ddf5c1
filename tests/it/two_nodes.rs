//! Two nodes over one PostgreSQL.

use actors::ids::CallId;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use loadtest::twilio::{PhoneBehaviour, PhoneOutcome};
use serde_json::json;
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection as _};
use std::time::Duration;

use crate::harness::requests::{Answer, INITIATE};
use crate::harness::{ADMIN_KEY, CALLEE, Setup, soon};

/// A fresh database of the throw-away server.
pub(crate) async fn database() -> String {
    let server = std::env::var("TEST_POSTGRES_URL")
        .expect("TEST_POSTGRES_URL must name a server: run scripts/with-postgres");
    let mut admin = PgConnection::connect(&server).await.expect("the server answers");
    let name = format!("t_{}", CallId::generate().to_string().replace('-', ""));
    let create = AssertSqlSafe(format!("CREATE DATABASE {name}"));
    sqlx::query(create).execute(&mut admin).await.expect("may create databases");
    let mut url: url::Url = server.parse().expect("a URL");
    url.set_path(&name);
    url.to_string()
}

#[actix_web::test]
#[ignore = "needs PostgreSQL: run ./scripts/test"]
async fn an_idempotency_key_dials_once_whichever_node_is_asked() {
    let app = Setup::new()
        .set("DATABASE_URL", database().await)
        .set("CALLSPAN_MASTER_KEY", STANDARD.encode([7; 32]))
        .phones(PhoneBehaviour::ends_in(PhoneOutcome::Busy))
        .start()
        .await;
    let second = app.another_node().await;
    let nodes = [app.app.address(), second.address()];
    let body = json!({"companyId": 1, "destinationNumber": CALLEE});
    for round in 0..5 {
        let key = format!("round-{round}");
        let asks = (0..6).map(|n| {
            let url = format!("http://{}{INITIATE}", nodes[n % 2]);
            let request = app.http.post(url).header("X-API-Key", ADMIN_KEY);
            Answer::to(request.header("Idempotency-Key", &key).json(&body))
        });
        let answers = futures_util::future::join_all(asks).await;
        for answer in &answers {
            assert_eq!((answer.status, &answer.body), (200, &answers[0].body), "{answer:?}");
        }
        let fresh = answers.iter().filter(|answer| answer.header("idempotent-replayed").is_none());
        assert_eq!(fresh.count(), 1, "one node carried it out");
        assert_eq!(app.twilio.calls().len(), round + 1);
    }
    app.quiet().await;
    while second.live_calls() > 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    soon("the second node to stop", second.drain(Duration::ZERO)).await;
    app.finish().await;
}
