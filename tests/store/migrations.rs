//! Databases of older versions. One function a promise; `main.rs` runs each on both engines.

use actors::call::{CallStatus, EndReason};
use callspan::store::{CallFilter, Scope};
use sqlx::{ConnectOptions, Connection};

use crate::calls::ended;
use crate::db::{COMPANY, Db, at};

const FIRST_VERSION: i64 = 1;

pub(crate) async fn calls_of_the_first_version_are_counted_and_listed(db: Db) {
    if db.is_postgres() {
        let mut direct = db.postgres_options().connect().await.expect("connects");
        let migrations = sqlx::migrate!("migrations/postgres");
        migrations.run_to(FIRST_VERSION, &mut direct).await.expect("is good SQL");
    } else {
        let mut direct = sqlx::SqliteConnection::connect(&db.url).await.expect("opens");
        let migrations = sqlx::migrate!("migrations/sqlite");
        migrations.run_to(FIRST_VERSION, &mut direct).await.expect("is good SQL");
    }
    db.execute("INSERT INTO companies (id, name, created_at) VALUES (1, 'Acme', 0)").await;
    for (number, status) in CallStatus::ALL.into_iter().enumerate() {
        db.execute(&format!(
            "INSERT INTO calls (id, company_id, node_id, direction, to_number, from_number, \
             status, created_at, updated_at) VALUES ('00000000-0000-7000-8000-00000000000{number}', \
             1, '00000000-0000-7000-8000-000000000000', 'outbound', '+12125550123', \
             '+12125550199', '{status}', {number}, 0)"
        ))
        .await;
    }
    let store = db.store().await;
    let totals = store.totals(Scope::Company(COMPANY)).await.expect("read");
    assert_eq!((totals.calls_total, totals.calls_successful, totals.calls_failed), (8, 1, 4));
    let person = Some("+12125550123".to_owned());
    let filter = CallFilter { person, ..CallFilter::all(COMPANY) };
    let rows = store.calls(&filter, None, 10).await.expect("read");
    let newest_first: Vec<CallStatus> = rows.iter().map(|row| row.status).collect();
    let expected: Vec<CallStatus> = CallStatus::ALL.into_iter().rev().collect();
    assert_eq!(newest_first, expected);
    // What was counted then is not counted again.
    let over = rows[0].id;
    store
        .apply(over, ended(CallStatus::Canceled, EndReason::Canceled), at(1))
        .await
        .expect("stored");
    assert_eq!(store.totals(Scope::Company(COMPANY)).await.expect("read"), totals);
}
