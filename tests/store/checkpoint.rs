//! What a checkpoint of SQLite brings to the disk.

use std::path::{Path, PathBuf};

use callspan::store::NodeId;

use crate::db::{Db, insert_call};

/// Copies the database without its log and counts the calls in it.
async fn calls_without_log(db: &Db, folder: &Path) -> String {
    let original = callspan::store::database_file(&db.url).expect("a file");
    let copy: PathBuf = folder.join("copy.db");
    std::fs::copy(original, &copy).expect("a copy");
    let copy = Db::named(format!("sqlite://{}", copy.display()));
    copy.text("SELECT CAST(count(*) AS TEXT) FROM calls").await.expect("a number")
}

#[tokio::test]
async fn a_checkpoint_leaves_nothing_only_in_the_log() {
    let (db, folder) = (Db::sqlite(), tempfile::tempdir().expect("a folder"));
    let store = db.store_with_company().await;
    store.checkpoint().await.expect("the log is empty");
    let node = NodeId::generate();
    for _ in 0..3 {
        insert_call(&store, node).await;
    }
    assert_eq!(calls_without_log(&db, folder.path()).await, "0", "a commit waits for no disk");
    store.checkpoint().await.expect("the log is written");
    assert_eq!(calls_without_log(&db, folder.path()).await, "3");
    store.close().await;
}

#[tokio::test]
async fn a_closed_database_is_one_file() {
    let db = Db::sqlite();
    let store = db.store_with_company().await;
    let file = callspan::store::database_file(&db.url).expect("a file");
    let log = file.with_extension("db-wal");
    assert!(log.exists(), "{} is in use", log.display());
    store.close().await;
    assert!(!log.exists(), "{} holds nothing any more", log.display());
}
