//! Whom campaigns call. One function a promise; `main.rs` runs each on both engines.

use std::time::Duration;

use actors::call::{CallStatus, CallUpdate, EndReason};
use actors::campaign::RecipientState;
use actors::ids::{CallId, CampaignId};
use actors::machine::AnsweredBy;
use callspan::store::{
    CampaignState, Change, Claimed, ClaimedCall, Entry, NewRecipient, NodeId, RecipientRow,
    SettledCall, Settlement, Store,
};
use secrecy::ExposeSecret as _;

use crate::campaigns::{new_campaign, row, running};
use crate::db::{COMPANY, Db, at};

fn recipient(seq: u32) -> NewRecipient {
    NewRecipient {
        seq,
        number: format!("+1{seq:09}"),
        context: None,
        timezone: None,
        priority: 0,
        not_before: None,
        state: RecipientState::Waiting,
        detail: None,
    }
}

/// A campaign that runs, with so many who wait.
async fn campaign(store: &Store, node: NodeId, count: u32) -> CampaignId {
    let new = new_campaign(node, 0);
    store.insert_campaign(&new).await.expect("stored");
    let recipients: Vec<NewRecipient> = (1..=count).map(recipient).collect();
    store.add_recipients(new.id, &recipients, at(0)).await.expect("stored");
    assert!(store.open_campaign(new.id, at(0)).await.expect("stored"));
    new.id
}

fn call(node: NodeId) -> ClaimedCall {
    ClaimedCall {
        id: CallId::generate(),
        node,
        from: "+12125550199".parse().expect("a number"),
        agent: None,
        at: at(1),
    }
}

async fn claim(store: &Store, campaign: CampaignId, seq: u32, call: &ClaimedCall) -> Claimed {
    store.claim_recipient(campaign, seq, 1, call).await.expect("stored")
}

fn settled(seq: u32, state: RecipientState) -> Settlement {
    Settlement { seq, state, attempts: 1, due: None, end: None }
}

async fn rows(store: &Store, campaign: CampaignId) -> Vec<RecipientRow> {
    store.recipients(campaign, None, 0, u32::MAX).await.expect("read")
}

/// What is counted is what is there.
async fn assert_counted(db: &Db, store: &Store, campaign: CampaignId) {
    let counts = store.campaign_counts(campaign).await.expect("read");
    for state in RecipientState::ALL {
        let sql = format!(
            "SELECT CAST(count(*) AS TEXT) FROM campaign_calls \
             WHERE campaign_id = '{campaign}' AND state = '{state}'"
        );
        let there = db.text(&sql).await.expect("a number");
        assert_eq!(counts.of(state).to_string(), there, "{state}");
    }
}

pub(crate) async fn recipients_are_stored_as_they_were_given(db: Db) {
    let store = db.store_with_company().await;
    let new = new_campaign(NodeId::generate(), 0);
    store.insert_campaign(&new).await.expect("stored");
    let given = [
        NewRecipient {
            context: Some(r#"{"name":"Zoë \u0000"}"#.to_owned()),
            timezone: Some("Europe/Berlin".to_owned()),
            priority: -7,
            not_before: Some(at(500)),
            ..recipient(1)
        },
        NewRecipient {
            number: "'; DROP TABLE campaigns".to_owned(),
            state: RecipientState::Invalid,
            detail: Some("is no number".to_owned()),
            ..recipient(2)
        },
        recipient(3),
    ];
    store.add_recipients(new.id, &given[..2], at(0)).await.expect("stored");
    store.add_recipients(new.id, &given[2..], at(1)).await.expect("stored");
    store.add_recipients(new.id, &[], at(1)).await.expect("nothing to store");
    assert_eq!(row(&store, new.id).await.recipients, 3);
    let stored = rows(&store, new.id).await;
    let first = &stored[0];
    assert_eq!((first.seq, first.number.as_str(), first.priority), (1, "+1000000001", -7));
    assert_eq!((&first.context, &first.timezone), (&given[0].context, &given[0].timezone));
    assert_eq!((first.due, first.attempts, first.call), (Some(at(500)), 0, None));
    assert_eq!((first.state, first.updated_at), (RecipientState::Waiting, at(0)));
    let second = &stored[1];
    assert_eq!((&second.number, second.state), (&given[1].number, RecipientState::Invalid));
    assert_eq!(second.detail.as_deref(), Some("is no number"));
    assert_counted(&db, &store, new.id).await;

    let (state, id) = (RecipientState::Waiting, new.id);
    let to_schedule = store.recipients_to_schedule(id, state, 0, 10).await.expect("read");
    let seqs: Vec<u32> = to_schedule.iter().map(|one| one.recipient.seq).collect();
    assert_eq!(seqs, [1, 3]);
    let first = &to_schedule[0];
    assert_eq!((first.recipient.priority, first.recipient.due), (-7, Some(at(500))));
    assert_eq!((first.timezone.as_deref(), first.call), (Some("Europe/Berlin"), None));
    let rest = store.recipients_to_schedule(id, state, 1, 1).await.expect("read");
    assert_eq!(rest.len(), 1);
    assert_eq!(rest[0].recipient.seq, 3);
}

pub(crate) async fn results_are_read_a_page_at_a_time(db: Db) {
    let store = db.store_with_company().await;
    let id = campaign(&store, NodeId::generate(), 5).await;
    store
        .settle_recipients(
            id,
            &[settled(2, RecipientState::Busy), settled(4, RecipientState::Busy)],
            at(1),
        )
        .await
        .expect("stored");
    let page = async |state, after, limit| -> Vec<u32> {
        let rows = store.recipients(id, state, after, limit).await.expect("read");
        rows.iter().map(|row| row.seq).collect()
    };
    assert_eq!(page(None, 0, 2).await, [1, 2]);
    assert_eq!(page(None, 2, 2).await, [3, 4]);
    assert_eq!(page(None, 4, 2).await, [5]);
    assert_eq!(page(None, 5, 2).await, [0; 0]);
    assert_eq!(page(Some(RecipientState::Busy), 0, 1).await, [2]);
    assert_eq!(page(Some(RecipientState::Busy), 2, 9).await, [4]);
    assert_eq!(page(Some(RecipientState::Failed), 0, 9).await, [0; 0]);
}

pub(crate) async fn a_recipient_is_claimed_with_its_call_or_not_at_all(db: Db) {
    let store = db.store_with_company().await;
    let node = NodeId::generate();
    let id = campaign(&store, node, 3).await;
    let first = call(node);
    let yes = Claimed::Yes { number: "+1000000001".parse().expect("a number"), context: None };
    assert_eq!(claim(&store, id, 1, &first).await, yes);
    let stored = store.call(first.id).await.expect("read").expect("is stored");
    assert_eq!((stored.to.as_str(), stored.from.as_str()), ("+1000000001", "+12125550199"));
    assert_eq!((stored.company, stored.status), (COMPANY, CallStatus::Initiated));
    let of_campaign = format!("SELECT campaign_id FROM calls WHERE id = '{}'", first.id);
    assert_eq!(db.text(&of_campaign).await, Some(id.to_string()));
    let claimed = rows(&store, id).await.remove(0);
    assert_eq!((claimed.state, claimed.attempts), (RecipientState::Calling, 1));
    assert_eq!(claimed.call, Some(first.id));
    assert_counted(&db, &store, id).await;

    let later = ClaimedCall { at: at(9), ..first.clone() };
    assert_eq!(claim(&store, id, 1, &later).await, yes, "who was told nothing asks again");
    assert_eq!(rows(&store, id).await[0].updated_at, at(1), "and changes nothing");
    let second = call(node);
    assert_eq!(claim(&store, id, 1, &second).await, Claimed::Gone);
    assert_eq!(claim(&store, id, 99, &second).await, Claimed::Gone);
    store.settle_recipients(id, &[settled(2, RecipientState::Expired)], at(2)).await.expect("ok");
    assert_eq!(claim(&store, id, 2, &second).await, Claimed::Gone);
    assert!(store.call(second.id).await.expect("read").is_none(), "nobody is dialled");
    assert_counted(&db, &store, id).await;
}

pub(crate) async fn only_who_runs_a_campaign_claims_for_it(db: Db) {
    let store = db.store_with_company().await;
    let node = NodeId::generate();
    let id = campaign(&store, node, 2).await;
    assert_eq!(claim(&store, id, 1, &call(NodeId::generate())).await, Claimed::NotRunning);
    assert_eq!(claim(&store, CampaignId::generate(), 1, &call(node)).await, Claimed::NotRunning);
    let (running, paused) = (CampaignState::Running, CampaignState::Paused);
    assert!(store.move_campaign(id, &[running], paused, None, at(1)).await.expect("stored"));
    assert_eq!(claim(&store, id, 1, &call(node)).await, Claimed::NotRunning);
    assert!(store.move_campaign(id, &[paused], running, None, at(1)).await.expect("stored"));
    assert!(matches!(claim(&store, id, 1, &call(node)).await, Claimed::Yes { .. }));
    assert!(store.cancel_campaign(id, false, at(2)).await.expect("stored"));
    assert_eq!(claim(&store, id, 2, &call(node)).await, Claimed::NotRunning);
    let other = campaigns_node_taken(&store, id).await;
    assert_eq!(claim(&store, id, 2, &call(other)).await, Claimed::NotRunning, "it is canceled");
    assert_counted(&db, &store, id).await;
}

async fn campaigns_node_taken(store: &Store, id: CampaignId) -> NodeId {
    let other = NodeId::generate();
    store.take_campaigns(other, at(60_000)).await.expect("stored");
    assert_eq!(row(store, id).await.node, Some(other));
    other
}

pub(crate) async fn who_does_not_want_to_be_called_is_not_claimed(db: Db) {
    let store = db.store_with_company().await;
    let node = NodeId::generate();
    let id = campaign(&store, node, 2).await;
    let first = call(node);
    assert!(matches!(claim(&store, id, 1, &first).await, Claimed::Yes { .. }));
    for seq in [1, 2] {
        db.execute(&format!(
            "INSERT INTO do_not_call (company_id, number, source, created_at) \
             VALUES (1, '+100000000{seq}', 'api', 0)"
        ))
        .await;
    }
    let refused = call(node);
    assert_eq!(claim(&store, id, 2, &refused).await, Claimed::DoNotCall);
    assert!(store.call(refused.id).await.expect("read").is_none());
    assert_eq!(rows(&store, id).await[1].state, RecipientState::Waiting, "nothing was changed");
    assert_eq!(claim(&store, id, 1, &refused).await, Claimed::Gone, "its call is under way");
    assert!(matches!(claim(&store, id, 1, &first).await, Claimed::Yes { .. }));
    assert_counted(&db, &store, id).await;
}

pub(crate) async fn of_many_claims_at_once_one_counts(db: Db) {
    let (one, other) = (db.store_with_company().await, db.store().await);
    let node = NodeId::generate();
    let id = campaign(&one, node, 20).await;
    for seq in 1..=20 {
        let (first, second) = (call(node), call(node));
        let (a, b) = tokio::join!(claim(&one, id, seq, &first), claim(&other, id, seq, &second));
        let yes = [a, b].iter().filter(|claimed| matches!(claimed, Claimed::Yes { .. })).count();
        assert_eq!(yes, 1, "recipient {seq}");
    }
    assert_counted(&db, &one, id).await;
}

pub(crate) async fn claims_and_settlements_at_once_are_counted(db: Db) {
    let (one, other) = (db.store_with_company().await, db.store().await);
    let node = NodeId::generate();
    let id = campaign(&one, node, 60).await;
    for seq in 1..=30 {
        claim(&one, id, seq, &call(node)).await;
    }
    let claims = async {
        for seq in 31..=60 {
            claim(&one, id, seq, &call(node)).await;
        }
    };
    let settlements = async {
        for seq in 1..=30 {
            let busy = [settled(seq, RecipientState::Busy)];
            other.settle_recipients(id, &busy, at(2)).await.expect("stored");
        }
    };
    let repeated = async {
        for seq in 1..=30 {
            let failed = [settled(seq, RecipientState::Failed)];
            one.settle_recipients(id, &failed, at(2)).await.expect("stored");
        }
    };
    tokio::join!(claims, settlements, repeated);
    assert_counted(&db, &one, id).await;
    let counts = one.campaign_counts(id).await.expect("read");
    let settled = counts.of(RecipientState::Busy) + counts.of(RecipientState::Failed);
    assert_eq!((settled, counts.of(RecipientState::Calling)), (30, 30));
}

pub(crate) async fn an_attempt_is_settled_with_how_it_ended(db: Db) {
    let store = db.store_with_company().await;
    let node = NodeId::generate();
    let id = campaign(&store, node, 2).await;
    let first = call(node);
    claim(&store, id, 1, &first).await;
    let end = SettledCall {
        call_sid: Some("CA00000000000000000000000000000001".parse().expect("a sid")),
        join_url: Some("wss://example.org/join".into()),
        reason: "machine".to_owned(),
        detail: Some("nobody was there".to_owned()),
        answered_by: Some(AnsweredBy::MachineEndBeep),
        duration: Some(Duration::from_millis(4_321)),
    };
    let again = Settlement {
        due: Some(at(900_000)),
        end: Some(end),
        ..settled(1, RecipientState::Waiting)
    };
    store.settle_recipients(id, &[again], at(5)).await.expect("stored");
    let waiting = rows(&store, id).await.remove(0);
    assert_eq!((waiting.state, waiting.attempts), (RecipientState::Waiting, 1));
    assert_eq!((waiting.due, waiting.updated_at), (Some(at(900_000)), at(5)));
    assert_eq!(waiting.call_sid.as_deref(), Some("CA00000000000000000000000000000001"));
    let join_url = waiting.join_url.as_ref().expect("is stored");
    assert_eq!(join_url.expose_secret(), "wss://example.org/join");
    assert_eq!(
        (waiting.reason.as_deref(), waiting.duration),
        (Some("machine"), Some(Duration::from_millis(4_321)))
    );
    assert_eq!(waiting.answered_by.as_deref(), Some("machine_end_beep"));
    let sealed = db.text("SELECT join_url FROM campaign_calls WHERE seq = 1").await;
    assert!(!sealed.expect("is stored").contains("example.org"));
    assert!(!format!("{waiting:?}").contains("example.org"));

    let second = call(node);
    assert!(matches!(
        store.claim_recipient(id, 1, 2, &second).await.expect("stored"),
        Claimed::Yes { .. }
    ));
    let calling = rows(&store, id).await.remove(0);
    assert_eq!((calling.attempts, calling.call), (2, Some(second.id)));
    assert_eq!((calling.call_sid, calling.answered_by, calling.duration), (None, None, None));
    let done = Settlement { attempts: 2, ..settled(1, RecipientState::Completed) };
    store
        .settle_recipients(id, &[done.clone(), settled(9, RecipientState::Busy)], at(6))
        .await
        .expect("who is not there is passed over");
    let late = Settlement { attempts: 3, ..settled(1, RecipientState::Failed) };
    store.settle_recipients(id, &[late], at(7)).await.expect("comes too late");
    let completed = rows(&store, id).await.remove(0);
    assert_eq!((completed.state, completed.attempts), (RecipientState::Completed, 2));
    assert_eq!((completed.call, completed.updated_at), (Some(second.id), at(6)));
    assert_counted(&db, &store, id).await;
    let counts = store.campaign_counts(id).await.expect("read");
    assert_eq!(counts.answered_by, [("machine_end_beep".to_owned(), 1)].into());
    assert_eq!(counts.finished(), 1);
}

pub(crate) async fn everybody_who_waits_is_settled_and_nobody_else(db: Db) {
    let store = db.store_with_company().await;
    let node = NodeId::generate();
    let id = campaign(&store, node, 12_000).await;
    claim(&store, id, 7_000, &call(node)).await;
    store.settle_recipients(id, &[settled(1, RecipientState::Busy)], at(1)).await.expect("stored");
    let detail = Some("the campaign was canceled");
    let skipped = RecipientState::Skipped;
    store.settle_waiting(id, skipped, detail, at(2)).await.expect("stored");
    store.settle_waiting(id, RecipientState::Expired, None, at(3)).await.expect("nobody waits");
    let counts = store.campaign_counts(id).await.expect("read");
    assert_eq!((counts.of(skipped), counts.of(RecipientState::Waiting)), (11_998, 0));
    assert_eq!((counts.of(RecipientState::Calling), counts.of(RecipientState::Busy)), (1, 1));
    assert_counted(&db, &store, id).await;
    let row = &store.recipients(id, Some(skipped), 0, 1).await.expect("read")[0];
    assert_eq!((row.seq, row.detail.as_deref(), row.updated_at), (2, detail, at(2)));
}

pub(crate) async fn how_calls_ended_is_found_by_their_ids(db: Db) {
    let store = db.store_with_company().await;
    let node = NodeId::generate();
    let id = campaign(&store, node, 3).await;
    let calls = [call(node), call(node), call(node)];
    for (seq, call) in (1..).zip(&calls) {
        claim(&store, id, seq, call).await;
    }
    let ended = CallUpdate::Ended {
        status: CallStatus::Busy,
        reason: EndReason::Busy,
        detail: None,
        duration: None,
    };
    let entry = Entry { call: calls[1].id, at: at(5), change: Change::Update(ended) };
    store.write(&[entry]).await.expect("stored");
    let ids: Vec<CallId> = calls.iter().map(|call| call.id).collect();
    let ends = store.ends_of_calls(&ids).await.expect("read");
    assert_eq!(ends.len(), 1);
    let (call, end, sid) = &ends[0];
    assert_eq!((*call, end.status, end.reason), (ids[1], CallStatus::Busy, EndReason::Busy));
    assert_eq!(*sid, None);
    assert!(store.ends_of_calls(&[]).await.expect("read").is_empty());
}

pub(crate) async fn a_hundred_thousand_are_stored_and_deleted(db: Db) {
    let store = db.store_with_company().await;
    let id = campaign(&store, NodeId::generate(), 100_000).await;
    assert_eq!(row(&store, id).await.recipients, 100_000);
    let counts = store.campaign_counts(id).await.expect("read");
    assert_eq!(counts.of(RecipientState::Waiting), 100_000);
    let last = store.recipients(id, None, 99_999, 10).await.expect("read");
    assert_eq!((last.len(), last[0].number.as_str()), (1, "+1000100000"));
    let kept = campaign(&store, NodeId::generate(), 1).await;
    store.delete_campaign(id).await.expect("stored");
    assert_eq!(store.campaign(id).await.expect("read"), None);
    assert!(rows(&store, id).await.is_empty());
    assert_eq!(store.campaign_counts(id).await.expect("read"), Default::default());
    assert_eq!(rows(&store, kept).await.len(), 1);
}

pub(crate) async fn a_company_goes_with_its_campaigns(db: Db) {
    let store = db.store_with_company().await;
    let id = campaign(&store, NodeId::generate(), 2).await;
    let running = running(&store, NodeId::generate(), 0).await;
    store.remove_company(COMPANY).await.expect("stored");
    for id in [id, running] {
        assert_eq!(store.campaign(id).await.expect("read"), None);
    }
    let rows = "SELECT CAST(count(*) AS TEXT) FROM campaign_calls";
    assert_eq!(db.text(rows).await.as_deref(), Some("0"));
}
