//! Whom a company must not call. One function a promise; `main.rs` runs each on both engines.

use actors::ids::{CompanyId, PhoneNumber};
use callspan::store::{Added, DncSource, NewDoNotCall, Store};

use crate::db::{COMPANY, Db, at};

const OTHER: CompanyId = CompanyId(2);

fn number(n: usize) -> PhoneNumber {
    format!("+1212{n:07}").parse().expect("a number")
}

fn new(n: usize) -> NewDoNotCall {
    NewDoNotCall { number: number(n), source: DncSource::Upload, note: None }
}

async fn add(store: &Store, numbers: &[NewDoNotCall]) -> Added {
    store.add_do_not_call(COMPANY, numbers, at(5)).await.expect("stored")
}

pub(crate) async fn a_number_is_on_the_list_of_its_company_until_it_is_taken_off(db: Db) {
    let store = db.store_with_company().await;
    store.upsert_company(OTHER, &Default::default(), at(0)).await.expect("stored");
    assert_eq!(store.is_do_not_call(COMPANY, &number(1)).await.expect("read"), None);
    for (n, source) in DncSource::ALL.into_iter().enumerate() {
        let note = Some(format!("said so: {source}"));
        let new = NewDoNotCall { number: number(n), source, note: note.clone() };
        assert_eq!(add(&store, &[new]).await, Added { added: 1, known: 0 });
        let row = store.is_do_not_call(COMPANY, &number(n)).await.expect("read").expect("is there");
        assert_eq!((row.number, row.source, row.note), (number(n), source, note));
        assert_eq!(row.created_at, at(5));
    }
    assert_eq!(store.is_do_not_call(OTHER, &number(1)).await.expect("read"), None);
    assert!(!store.remove_do_not_call(OTHER, &number(1)).await.expect("read"));
    assert!(store.remove_do_not_call(COMPANY, &number(1)).await.expect("stored"));
    assert!(!store.remove_do_not_call(COMPANY, &number(1)).await.expect("read"));
    assert_eq!(store.is_do_not_call(COMPANY, &number(1)).await.expect("read"), None);
    let left = store.do_not_call(COMPANY, None, 100).await.expect("read");
    let left: Vec<_> = left.into_iter().map(|row| row.number).collect();
    assert_eq!(left, [number(0), number(2), number(3)]);
    let nobody = store.add_do_not_call(CompanyId(9), &[new(1)], at(5)).await;
    nobody.expect_err("there is no such company");
}

pub(crate) async fn numbers_that_are_known_or_named_twice_stay_as_they_were(db: Db) {
    let store = db.store_with_company().await;
    assert_eq!(add(&store, &[]).await, Added { added: 0, known: 0 });
    assert_eq!(add(&store, &[new(1), new(2)]).await, Added { added: 2, known: 0 });
    let noted = |n, note: &str| NewDoNotCall {
        note: Some(note.to_owned()),
        source: DncSource::Cli,
        ..new(n)
    };
    let again = [noted(3, "first"), noted(2, "later"), noted(3, "second")];
    assert_eq!(add(&store, &again).await, Added { added: 1, known: 2 });
    let rows = store.do_not_call(COMPANY, None, 100).await.expect("read");
    let notes: Vec<_> = rows.iter().map(|row| (row.source, row.note.as_deref())).collect();
    let upload = (DncSource::Upload, None);
    assert_eq!(notes, [upload, upload, (DncSource::Cli, Some("first"))]);
}

pub(crate) async fn a_hundred_thousand_numbers_are_listed_in_pages(db: Db) {
    const NUMBERS: usize = 100_000;
    let store = db.store_with_company().await;
    // In no order, and the last of them in both halves.
    let all: Vec<NewDoNotCall> = (0..NUMBERS).map(|n| new(n * 7_919 % NUMBERS)).collect();
    let (first, second) = all.split_at(NUMBERS / 2);
    let count = |count: usize| u64::try_from(count).expect("few");
    let done = add(&store, first).await;
    assert_eq!(done, Added { added: count(first.len()), known: 0 });
    let done = add(&store, &[second, &first[..7]].concat()).await;
    assert_eq!(done, Added { added: count(second.len()), known: 7 });

    let (mut seen, mut after) = (Vec::new(), None);
    loop {
        let page = store.do_not_call(COMPANY, after.as_ref(), 9_999).await.expect("read");
        assert!(page.len() <= 9_999);
        let Some(last) = page.last() else { break };
        after = Some(last.number.clone());
        seen.extend(page.into_iter().map(|row| row.number));
    }
    assert_eq!(seen.len(), NUMBERS);
    assert!(seen.iter().enumerate().all(|(n, seen)| *seen == number(n)), "they are in order");
}

pub(crate) async fn many_who_add_the_same_numbers_add_each_once(db: Db) {
    let store = db.store_with_company().await;
    let adders = (0..8).map(|shift| {
        let store = store.clone();
        tokio::spawn(async move {
            let numbers: Vec<NewDoNotCall> =
                (0..3_000).map(|n| new((n + shift * 571) % 3_000)).collect();
            add(&store, &numbers).await
        })
    });
    let mut total = Added::default();
    for adder in adders.collect::<Vec<_>>() {
        let done = adder.await.expect("no panic");
        total = Added { added: total.added + done.added, known: total.known + done.known };
    }
    assert_eq!(total, Added { added: 3_000, known: 7 * 3_000 });
}
