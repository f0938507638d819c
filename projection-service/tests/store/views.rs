//! Batches and their effect on every view.

use passbook_shared::event::{AccountEvent, AccountStatus};
use passbook_shared::store_error::violated_constraint;
use passbook_shared::text::Metadata;
use projection_service::store::apply::{OUTRUN, QuarantinedRecord, apply};
use projection_service::store::history::entries;
use projection_service::store::{accounts, checkpoints, history, quarantine};

use crate::batches::{PARTITION, batch, database, write};
use crate::events::{
    at, captured, deposited, id, opened, owner_changed, placed, received, reversed_received,
};
use crate::scope::{everything, in_scope};

#[tokio::test]
async fn a_batch_appears_in_every_view() {
    let database = database().await;
    let pool = &database.pool;
    let events = [
        (opened("customer-4711"), at(0)),
        (deposited(50), at(10)),
        (deposited(7), at(10)),
        (deposited(1), at(90)),
    ];
    write(&mut pool.acquire().await.unwrap(), id(1), &events).await;

    let now = accounts::find(pool, &everything(), id(1)).await.unwrap().unwrap();
    assert_eq!((now.state.balance, now.state.version, now.state.transaction_count), (158, 4, 4));
    assert_eq!(
        (now.position.to_string().as_str(), now.last_activity, now.opened_at),
        ("3-4", at(90), at(0))
    );
    assert_eq!(
        (now.owner.as_str(), now.currency.as_str(), now.state.status),
        ("customer-4711", "EUR", AccountStatus::Open)
    );

    let then = history::at_version(pool, &everything(), id(1), 2).await.unwrap().unwrap();
    assert_eq!((then.state.balance, then.last_activity, then.position.number), (150, at(10), 2));
    assert!(history::at_version(pool, &everything(), id(1), 5).await.unwrap().is_none());
    for (moment, balance) in
        [(at(0), 100), (at(9), 100), (at(10), 157), (at(89), 157), (at(3_600), 158)]
    {
        let then = history::as_of(pool, &everything(), id(1), moment).await.unwrap().unwrap();
        assert_eq!(then.state.balance, balance, "as of {moment}");
    }
    assert!(
        history::as_of(pool, &everything(), id(1), at(-1)).await.unwrap().is_none(),
        "before it was opened"
    );

    let balances =
        history::balances(pool, in_scope(pool, id(1)).await, &[at(0), at(1), at(60), at(3_600)])
            .await
            .unwrap();
    assert_eq!(balances, [0, 100, 157, 158]);
    let totals = accounts::totals(pool, None).await.unwrap();
    assert_eq!(
        (totals[0].accounts, totals[0].balance, totals[0].status),
        (1, 158, AccountStatus::Open)
    );
}

#[tokio::test]
async fn a_statement_lists_its_period_newest_first() {
    let database = database().await;
    let pool = &database.pool;
    let frozen =
        AccountEvent::AccountFrozen(serde_json::from_str(r#"{"block_credits":false}"#).unwrap());
    let events = [
        (opened("o"), at(0)),
        (deposited(50), at(10)),
        (frozen, at(15)),
        (deposited(7), at(20)),
        (deposited(1), at(90)),
    ];
    write(&mut pool.acquire().await.unwrap(), id(1), &events).await;

    let period = history::period(pool, &everything(), id(1), (Some(at(10)), Some(at(90))), None)
        .await
        .unwrap()
        .unwrap();
    assert_eq!((period.after, period.last), (1, 4));
    assert_eq!((period.opening_balance, period.closing_balance), (100, 157));
    let listed = |after, before, event_type| async move {
        let known = before - 1;
        let filter =
            entries::Filter { after, before, event_type, metadata: &Metadata::default(), known };
        entries::list(pool, in_scope(pool, id(1)).await, &filter, 10).await.unwrap()
    };
    let entries = listed(period.after, period.last + 1, None).await;
    let lines: Vec<_> =
        entries.iter().map(|entry| (entry.version, entry.amount, entry.balance)).collect();
    assert_eq!(lines, [(4, Some(7), 157), (2, Some(50), 150)], "only what is about money");
    assert_eq!(entries[1].reference.as_deref(), Some("invoice"));
    assert_eq!(entries[1].effective_at, Some("2026-11-23T08:00:00Z".parse().unwrap()));
    assert_eq!(entries[1].metadata.as_deref(), Some(r#"{"till": "3"}"#));

    let of_type = listed(0, 6, Some("AccountFrozen")).await;
    assert_eq!(of_type.iter().map(|entry| entry.version).collect::<Vec<_>>(), [3]);
    let all = history::period(pool, &everything(), id(1), (None, None), Some(at(20)))
        .await
        .unwrap()
        .unwrap();
    assert_eq!((all.after, all.last, all.opening_balance, all.closing_balance), (0, 4, 0, 157));
    let before = history::period(pool, &everything(), id(1), (Some(at(-50)), Some(at(-10))), None)
        .await
        .unwrap()
        .unwrap();
    assert_eq!((before.after, before.last, before.closing_balance), (0, 0, 0));
    assert!(
        history::period(pool, &everything(), id(2), (None, None), None).await.unwrap().is_none()
    );
}

#[tokio::test]
async fn a_large_batch_is_stored_like_a_small_one() {
    let database = database().await;
    let pool = &database.pool;
    let frozen =
        AccountEvent::AccountFrozen(serde_json::from_str(r#"{"block_credits":false}"#).unwrap());
    let few = [
        (opened("o"), at(0)),
        (deposited(50), at(10)),
        (frozen, at(15)),
        (received(id(7), id(5), 4), at(16)),
        (placed(1), at(17)),
        (captured(1), at(18)),
        (reversed_received(4, id(7), id(5), 9), at(19)),
        (owner_changed("p"), at(19)),
    ];
    let many: Vec<_> =
        few.iter().cloned().chain((0..6_000).map(|n| (deposited(1), at(20 + n)))).collect();
    write(&mut pool.acquire().await.unwrap(), id(1), &few).await;
    write(&mut pool.acquire().await.unwrap(), id(2), &many).await;

    let rows = "SELECT version, recorded_at, amount, balance, held, overdraft_limit,
                       transaction_count, effective_at, status, type, reference, metadata, reverses,
                       hold_amount, expires_at, hold_id, transfer_id, counterparty,
                       counterparty_version, kafka_offset - position, published_at, owner
                  FROM history";
    let different = format!(
        "SELECT count(*) FROM ({rows} WHERE account_id = $1
                               EXCEPT {rows} WHERE account_id = $2 AND version <= 8) AS d"
    );
    let different: i64 = sqlx::query_scalar(sqlx::AssertSqlSafe(different))
        .bind(id(1))
        .bind(id(2))
        .fetch_one(pool)
        .await
        .unwrap();
    assert_eq!(different, 0);
    assert_eq!(
        accounts::find(pool, &everything(), id(2)).await.unwrap().unwrap().state.balance,
        6_120
    );
    let then = history::as_of(pool, &everything(), id(2), at(3_019)).await.unwrap().unwrap();
    assert_eq!(then.state.balance, 3_120, "as of the three-thousandth");
}

#[tokio::test]
async fn a_writer_with_a_stale_checkpoint_changes_nothing() {
    let database = database().await;
    let mut connection = database.pool.acquire().await.unwrap();
    let events = [(opened("o"), at(0))];
    write(&mut connection, id(1), &events).await;

    let zombie = batch(0, id(2), &events);
    let error = apply(&mut connection, &zombie).await.unwrap_err();
    assert_eq!(violated_constraint(&error), Some(OUTRUN));
    assert!(accounts::find(&database.pool, &everything(), id(2)).await.unwrap().is_none());
    assert_eq!(checkpoints::position(&database.pool, PARTITION).await.unwrap(), 1);
    write(&mut connection, id(2), &events).await;
}

#[tokio::test]
async fn a_quarantined_event_is_stored_once_and_found_by_its_account() {
    let database = database().await;
    let mut connection = database.pool.acquire().await.unwrap();
    let garbage = QuarantinedRecord {
        partition: PARTITION,
        position: None,
        kafka_offset: Some(17),
        published_at: None,
        account: None,
        waits: false,
        reason: "not our CloudEvent".to_owned(),
        document: b"\0\xff".to_vec(),
    };
    let event =
        QuarantinedRecord { position: Some(1), account: Some((id(1), 1)), ..garbage.clone() };
    for (from, quarantine) in [(0, vec![garbage.clone(), event]), (1, vec![garbage])] {
        let mut batch = batch(from, id(1), &[]);
        batch.checkpoints[0].to = 1;
        batch.quarantine = quarantine;
        apply(&mut connection, &batch).await.unwrap();
    }
    assert_eq!(quarantine::size(&database.pool).await.unwrap().number, 2);
    let waiting = quarantine::among(&database.pool, &[id(1), id(2)]).await.unwrap();
    assert_eq!(waiting.into_iter().collect::<Vec<_>>(), [id(1)]);
}
