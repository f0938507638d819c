//! Retry and discard of quarantined events.

mod records;

use passbook_shared::partition::{PartitionCount, partition_of};
use projection_service::quarantine::{Resolution, Unresolved, discard, retry};
use projection_service::store::apply::{QuarantinedRecord, apply};
use projection_service::store::replay_target::ReplayTarget;
use projection_service::store::{accounts, checkpoints, discarded, history, quarantine, replays};
use sqlx::PgPool;

use self::records::{document, given, head, quarantined};
use crate::batches::{PARTITION, batch, database, rewind, write};
use crate::events::{at, deposited, id, opened};
use crate::scope::everything;

async fn epoch(pool: &PgPool) -> i64 {
    checkpoints::all(pool).await.unwrap()[PARTITION.index()].epoch
}

async fn versions(pool: &PgPool) -> Vec<i64> {
    let sql = "SELECT version FROM history WHERE account_id = $1 ORDER BY version";
    sqlx::query_scalar(sql).bind(id(1)).fetch_all(pool).await.unwrap()
}

#[tokio::test]
async fn an_unknown_event_stays_quarantined_and_a_corrected_one_is_applied_with_all_behind_it() {
    let database = database().await;
    let pool = &database.pool;
    given(pool, &["MoneyBurnt", "MoneyDeposited", "MoneyBurnt", "MoneyDeposited"]).await;
    let mut connection = pool.acquire().await.unwrap();
    let first = head(pool).await;
    let refused = retry(&mut connection, first).await.unwrap_err();
    let Unresolved::StillUnapplicable(reason) = &refused else { panic!("{refused}") };
    assert!(reason.contains("`MoneyBurnt`"), "{refused}");
    assert_eq!(epoch(pool).await, 0, "nothing of the views was changed");
    let kept = quarantine::find(pool, first).await.unwrap().unwrap();
    assert!(kept.reason.contains("`MoneyBurnt`") && kept.waiting == 3, "{kept:?}");

    let repair = "UPDATE quarantine SET document = $2 WHERE id = $1";
    let repaired = document(2, "MoneyDeposited");
    sqlx::query(repair).bind(first).bind(repaired).execute(pool).await.unwrap();
    assert_eq!(retry(&mut connection, first).await.unwrap(), Resolution { applied: 2, left: 2 });
    let account = accounts::find(pool, &everything(), id(1)).await.unwrap().unwrap();
    assert_eq!(
        (account.state.balance, account.state.version, account.position.number),
        (150, 3, 3)
    );
    assert_eq!((versions(pool).await, epoch(pool).await), (vec![1, 2, 3], 1));

    let second = quarantine::find(pool, head(pool).await).await.unwrap().unwrap();
    assert_eq!(
        (second.position, second.waiting),
        (Some(4), 1),
        "the next that is not known: {second:?}"
    );
    let waiting = quarantine::waiting(pool, id(1), 10).await.unwrap();
    assert_eq!(waiting, [(5, 5)]);
    let behind = waiting[0].1;
    let number: i64 = sqlx::query_scalar("SELECT id FROM quarantine WHERE position = $1")
        .bind(behind)
        .fetch_one(pool)
        .await
        .unwrap();
    assert!(
        matches!(retry(&mut connection, number).await, Err(Unresolved::NotThere(_))),
        "it only waits"
    );
    assert!(
        matches!(retry(&mut connection, first).await, Err(Unresolved::NotThere(_))),
        "it is gone"
    );
}

#[tokio::test]
async fn a_discarded_event_leaves_a_gap_that_past_states_and_rewinds_skip() {
    let database = database().await;
    let pool = &database.pool;
    given(pool, &["MoneyBurnt", "MoneyDeposited", "MoneyDeposited"]).await;
    let mut connection = pool.acquire().await.unwrap();
    let resolution = discard(&mut connection, head(pool).await, "a test's").await.unwrap();
    assert_eq!(resolution, Resolution { applied: 2, left: 0 });
    assert_eq!((versions(pool).await, epoch(pool).await), (vec![1, 3, 4], 1));
    let account = accounts::find(pool, &everything(), id(1)).await.unwrap().unwrap();
    assert_eq!(
        (account.state.balance, account.state.version, account.state.transaction_count),
        (150, 4, 3)
    );
    let list = discarded::list(pool, i64::MAX, 10).await.unwrap();
    assert_eq!(list.len(), 1);
    assert_eq!((list[0].version, list[0].discard_reason.as_str()), (Some(2), "a test's"));
    assert_eq!(
        (list[0].reason.as_str(), list[0].document.clone()),
        ("not known", document(2, "MoneyBurnt"))
    );

    for (moment, balance) in [(1, 100), (2, 100), (3, 125), (4, 150), (50, 150)] {
        let then = history::as_of(pool, &everything(), id(1), at(moment)).await.unwrap().unwrap();
        assert_eq!(then.state.balance, balance, "as of {moment}");
    }
    let shown = history::at_version(pool, &everything(), id(1), 2).await.unwrap().unwrap();
    assert_eq!(
        (shown.state.version, shown.state.balance),
        (1, 100),
        "as the one before it left it"
    );
    let period = history::period(pool, &everything(), id(1), (Some(at(2)), None), None)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        (period.after, period.last, period.opening_balance, period.closing_balance),
        (1, 4, 100, 150)
    );

    for (position, version, balance) in [(3, 3, 125), (2, 2, 100), (1, 1, 100)] {
        rewind(pool, position).await;
        let account = accounts::find(pool, &everything(), id(1)).await.unwrap().unwrap();
        let found = (
            account.state.version,
            account.position.number,
            account.state.balance,
            account.last_activity,
        );
        assert_eq!(found, (version, position, balance, at(version)), "back at {position}");
    }
}

#[tokio::test]
async fn the_last_event_of_an_account_can_be_discarded_and_the_opening_too() {
    let database = database().await;
    let pool = &database.pool;
    given(pool, &["MoneyBurnt"]).await;
    let mut connection = pool.acquire().await.unwrap();
    assert_eq!(
        discard(&mut connection, head(pool).await, "x").await.unwrap(),
        Resolution { applied: 0, left: 0 }
    );
    let account = accounts::find(pool, &everything(), id(1)).await.unwrap().unwrap();
    assert_eq!(
        (account.state.version, account.position.number, account.last_activity),
        (2, 2, at(2))
    );
    assert_eq!(
        history::as_of(pool, &everything(), id(1), at(9)).await.unwrap().unwrap().state.version,
        1
    );

    let mut batch = batch(2, id(1), &[]);
    batch.checkpoints[0].epoch = 1;
    batch.checkpoints[0].to = 4;
    let of_two = |record: QuarantinedRecord| QuarantinedRecord {
        document: String::from_utf8(record.document)
            .unwrap()
            .replace(&id(1).to_string(), &id(2).to_string())
            .into(),
        account: record.account.map(|(_, version)| (id(2), version)),
        ..record
    };
    batch.quarantine = vec![
        of_two(quarantined(3, "AccountMelted", false)),
        of_two(quarantined(4, "MoneyDeposited", true)),
    ];
    apply(&mut connection, &batch).await.unwrap();
    let resolution = discard(&mut connection, head(pool).await, "x").await.unwrap();
    assert_eq!(
        resolution,
        Resolution { applied: 0, left: 1 },
        "what follows has no account to be applied to"
    );
    assert!(
        quarantine::find(pool, head(pool).await).await.unwrap().unwrap().reason.contains("is next")
    );
    assert_eq!(
        discard(&mut connection, head(pool).await, "x").await.unwrap(),
        Resolution { applied: 0, left: 0 }
    );
    assert!(accounts::find(pool, &everything(), id(2)).await.unwrap().is_none());
}

#[tokio::test]
async fn an_applicable_event_is_not_discarded_and_none_is_during_a_replay() {
    let database = database().await;
    let pool = &database.pool;
    given(pool, &["MoneyDeposited"]).await;
    let mut connection = pool.acquire().await.unwrap();
    let number = head(pool).await;
    assert!(matches!(discard(&mut connection, number, "x").await, Err(Unresolved::Applicable)));
    let changed = "UPDATE quarantine SET document = $1";
    sqlx::query(changed).bind(document(7, "MoneyDeposited")).execute(pool).await.unwrap();
    for refused in
        [discard(&mut connection, number, "x").await, retry(&mut connection, number).await]
    {
        assert!(
            matches!(&refused, Err(Unresolved::StillUnapplicable(why)) if why.contains("changed")),
            "{refused:?}"
        );
    }
    let replay =
        replays::ask(&mut connection, &ReplayTarget::Beginning, false).await.unwrap().unwrap();
    let refused = retry(&mut connection, number).await.unwrap_err();
    assert!(matches!(refused, Unresolved::Replaying(id) if id == replay.replay_id), "{refused}");
    assert!(discarded::list(pool, i64::MAX, 10).await.unwrap().is_empty());
}

/// Earlier versions of the program quarantined such records, and their databases may still have
/// some.
#[tokio::test]
async fn a_record_that_is_no_event_can_be_discarded() {
    let database = database().await;
    let pool = &database.pool;
    let mut connection = pool.acquire().await.unwrap();
    let other = (2..)
        .map(id)
        .find(|account| partition_of(*account, PartitionCount::new(12)) == PARTITION)
        .unwrap();
    write(&mut connection, other, &[(opened("o"), at(1)), (deposited(1), at(2))]).await;
    let mut batch = batch(2, other, &[]);
    batch.checkpoints[0].to = 2;
    batch.quarantine = vec![QuarantinedRecord {
        position: None,
        account: None,
        document: b"\0\xff".to_vec(),
        ..quarantined(2, "MoneyDeposited", false)
    }];
    apply(&mut connection, &batch).await.unwrap();
    let number = head(pool).await;
    let refused = retry(&mut connection, number).await;
    assert!(
        matches!(&refused, Err(Unresolved::StillUnapplicable(why)) if why.contains("discard it")),
        "{refused:?}"
    );
    discard(&mut connection, number, "not ours").await.unwrap();
    assert_eq!(discarded::list(pool, i64::MAX, 10).await.unwrap()[0].document_base64, "AP8=");
    apply(&mut connection, &batch).await.unwrap();
    assert_eq!(quarantine::size(pool).await.unwrap().number, 0, "read again, it is passed over");
}
