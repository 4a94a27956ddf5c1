//! Looking at a database without changing it.

use callspan::store::{SchemaState, Store};

use crate::db::{Db, sealer};

pub(crate) async fn a_database_is_looked_at_as_it_is(db: Db) {
    let look = async || Store::open_as_it_is(&db.url, sealer(&[1])).await.expect("opens");

    let empty = look().await;
    let SchemaState::Behind(all) = empty.schema().await.expect("is looked at") else {
        panic!("an empty database has no schema");
    };
    assert!(all > 0);
    assert!(empty.check_writable().await.is_err(), "there is nothing to write to");
    empty.close().await;

    db.store().await.close().await;
    let current = look().await;
    assert_eq!(current.schema().await.expect("is looked at"), SchemaState::Current);
    current.check_writable().await.expect("may be written");

    db.execute("UPDATE _sqlx_migrations SET version = version + 99000000000000").await;
    assert_eq!(current.schema().await.expect("is looked at"), SchemaState::Ahead);
    db.execute("DELETE FROM _sqlx_migrations").await;
    assert_eq!(current.schema().await.expect("is looked at"), SchemaState::Behind(all));
    current.close().await;
}

pub(crate) async fn a_database_that_may_only_be_read_is_told(db: Db) {
    db.store().await.close().await;
    if db.is_postgres() {
        // For this database alone: the role is that of all tests.
        let name = db.text("SELECT current_database()::text").await.expect("a name");
        let sql = format!("ALTER DATABASE {name} SET default_transaction_read_only = on");
        db.execute(&sql).await;
    }
    let url = match db.is_postgres() {
        true => db.url.clone(),
        false => db.url.replace("mode=rwc", "mode=ro"),
    };
    let store = Store::open_as_it_is(&url, sealer(&[1])).await.expect("opens");
    let told = store.check_writable().await.expect_err("cannot be written").to_string();
    assert!(told.contains("read"), "{told}");
    store.close().await;
}
