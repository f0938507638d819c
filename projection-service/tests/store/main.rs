//! Storage of the views in a real Postgres: a batch is atomic, and past states can be queried.

#![expect(clippy::too_many_lines, reason = "a test tells its story from start to end")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod answers;
mod money;
mod postgres;
mod quarantined;
mod rights;

use passbook_shared::event::{AccountEvent, AccountOpened, AccountStatus, MoneyMoved};
use passbook_shared::money::Amount;
use passbook_shared::store_error::violated_constraint;
use passbook_shared::text::{Metadata, Text};
use passbook_shared::timestamp::Timestamp;
use postgres::Database;
use projection_service::projection::{AccountState, project};
use projection_service::store::accounts::{Filter, Sort, SortBy, SortKey};
use projection_service::store::apply::{
    Batch, Changed, Move, OUTRUN, Opened, QuarantinedRecord, apply,
};
use projection_service::store::history::{Row, entries};
use projection_service::store::{accounts, checkpoints, history, quarantine};
use sqlx::PgConnection;
use uuid::Uuid;

const PARTITION: i16 = 3;

fn opened(owner: &str) -> AccountEvent {
    AccountEvent::AccountOpened(AccountOpened {
        owner: Text::new(owner).unwrap(),
        currency: "EUR".parse().unwrap(),
        initial_deposit: 100,
        overdraft_limit: 0,
        effective_at: None,
        metadata: serde_json::from_str(r#"{"branch":"north"}"#).unwrap(),
    })
}

fn deposited(amount: i64) -> AccountEvent {
    AccountEvent::MoneyDeposited(MoneyMoved {
        amount: Amount::new(amount).unwrap(),
        reference: Some(Text::new("invoice").unwrap()),
        effective_at: Some("2026-11-23T08:00:00Z".parse().unwrap()),
        metadata: serde_json::from_str(r#"{"till":"3"}"#).unwrap(),
        allow_backdated_overdraft: false,
    })
}

/// Returns the time `seconds` after midnight.
fn at(seconds: i64) -> Timestamp {
    let midnight: Timestamp = "2026-11-24T00:00:00Z".parse().unwrap();
    Timestamp::from_micros(midnight.as_micros() + seconds * 1_000_000).unwrap()
}

fn id(n: u128) -> Uuid {
    Uuid::from_u128(n)
}

/// Applies events of an account, recorded at these times, as the next batch of its partition.
async fn write(
    connection: &mut PgConnection,
    account_id: Uuid,
    events: &[(AccountEvent, Timestamp)],
) {
    let from = checkpoints::position(&mut *connection, PARTITION).await.unwrap();
    let batch = batch(from, account_id, events);
    apply(connection, &batch).await.unwrap();
}

fn batch(from: i64, account_id: Uuid, events: &[(AccountEvent, Timestamp)]) -> Batch<'_> {
    let mut batch = Batch::default();
    let mut state: Option<AccountState> = None;
    for ((event, recorded_at), version) in events.iter().zip(1..) {
        let entry = project(state.as_ref(), version, event).unwrap();
        let position = from + version;
        if let AccountEvent::AccountOpened(account) = event {
            batch.opened.push(Opened {
                account_id,
                opened_at: *recorded_at,
                partition: PARTITION,
                account,
            });
        }
        batch.history.push(Row {
            account_id,
            position,
            recorded_at: *recorded_at,
            event_type: event.event_type(),
            entry,
            kafka_offset: Some(position - 1),
            published_at: Some(*recorded_at),
        });
        batch.accounts =
            vec![Changed { account_id, last_activity: *recorded_at, position, state: entry.after }];
        state = Some(entry.after);
    }
    let to = from + i64::try_from(events.len()).unwrap();
    let recorded_at = events.last().map(|(_, at)| *at);
    batch.checkpoints = vec![Move {
        partition: PARTITION,
        epoch: 0,
        from,
        to,
        kafka_offset: Some(to),
        event_id: None,
        recorded_at,
    }];
    batch
}

async fn database() -> Database {
    let database = Database::new().await;
    checkpoints::ensure(&mut database.pool.acquire().await.unwrap(), 12).await.unwrap();
    database
}

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

    let now = accounts::find(pool, id(1)).await.unwrap().unwrap();
    assert_eq!((now.state.balance, now.state.version, now.state.transaction_count), (158, 4, 4));
    assert_eq!(
        (now.position.to_string().as_str(), now.last_activity, now.opened_at),
        ("3-4", at(90), at(0))
    );
    assert_eq!(
        (now.owner.as_str(), now.currency.as_str(), now.state.status),
        ("customer-4711", "EUR", AccountStatus::Open)
    );

    let then = history::at_version(pool, id(1), 2).await.unwrap().unwrap();
    assert_eq!((then.state.balance, then.last_activity, then.position.number), (150, at(10), 2));
    assert!(history::at_version(pool, id(1), 5).await.unwrap().is_none());
    for (moment, balance) in
        [(at(0), 100), (at(9), 100), (at(10), 157), (at(89), 157), (at(3_600), 158)]
    {
        let then = history::as_of(pool, id(1), moment).await.unwrap().unwrap();
        assert_eq!(then.state.balance, balance, "as of {moment}");
    }
    assert!(history::as_of(pool, id(1), at(-1)).await.unwrap().is_none(), "before it was opened");

    let balances =
        history::balances(pool, id(1), &[at(0), at(1), at(60), at(3_600)]).await.unwrap();
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

    let period =
        history::period(pool, id(1), Some(at(10)), Some(at(90)), None).await.unwrap().unwrap();
    assert_eq!((period.after, period.last), (1, 4));
    assert_eq!((period.opening_balance, period.closing_balance), (100, 157));
    let listed = |after, before, event_type| async move {
        let known = before - 1;
        let filter =
            entries::Filter { after, before, event_type, metadata: &Metadata::default(), known };
        entries::list(pool, id(1), &filter, 10).await.unwrap()
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
    let all = history::period(pool, id(1), None, None, Some(at(20))).await.unwrap().unwrap();
    assert_eq!((all.after, all.last, all.opening_balance, all.closing_balance), (0, 4, 0, 157));
    let before =
        history::period(pool, id(1), Some(at(-50)), Some(at(-10)), None).await.unwrap().unwrap();
    assert_eq!((before.after, before.last, before.closing_balance), (0, 0, 0));
    assert!(history::period(pool, id(2), None, None, None).await.unwrap().is_none());
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
        (money::received(id(7), id(5), 4), at(16)),
        (money::placed(1), at(17)),
        (money::captured(1), at(18)),
        (money::reversed_received(4, id(7), id(5), 9), at(19)),
    ];
    let many: Vec<_> =
        few.iter().cloned().chain((0..6_000).map(|n| (deposited(1), at(20 + n)))).collect();
    write(&mut pool.acquire().await.unwrap(), id(1), &few).await;
    write(&mut pool.acquire().await.unwrap(), id(2), &many).await;

    let rows = "SELECT version, recorded_at, amount, balance, held, overdraft_limit, transaction_count, effective_at,
                       status, type, reference, metadata, reverses, hold_amount, expires_at, hold_id, transfer_id,
                       counterparty, counterparty_version, kafka_offset - position, published_at
                  FROM history";
    let different = format!(
        "SELECT count(*) FROM ({rows} WHERE account_id = $1 EXCEPT {rows} WHERE account_id = $2 AND version <= 7) AS d"
    );
    let different: i64 = sqlx::query_scalar(sqlx::AssertSqlSafe(different))
        .bind(id(1))
        .bind(id(2))
        .fetch_one(pool)
        .await
        .unwrap();
    assert_eq!(different, 0);
    assert_eq!(accounts::find(pool, id(2)).await.unwrap().unwrap().state.balance, 6_120);
    let then = history::as_of(pool, id(2), at(3_019)).await.unwrap().unwrap();
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
    assert!(accounts::find(&database.pool, id(2)).await.unwrap().is_none());
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

#[tokio::test]
async fn pages_show_every_account_once_in_any_order_even_with_equal_keys() {
    let database = database().await;
    let pool = &database.pool;
    for n in 1_u32..=7 {
        let mut events =
            vec![(opened(if n % 2 == 0 { "even" } else { "odd" }), at(i64::from(n) / 3))];
        events.extend((0..n % 3).map(|_| (deposited(10), at(5))));
        write(&mut pool.acquire().await.unwrap(), id(n.into()), &events).await;
    }
    for by in [SortBy::OpenedAt, SortBy::Balance, SortBy::LastActivity] {
        for descending in [false, true] {
            let sort = Sort { by, descending };
            let (mut seen, mut after) = (Vec::new(), None);
            loop {
                let page = accounts::list(pool, &Filter::default(), sort, after, 2).await.unwrap();
                let Some(last) = page.last() else { break };
                let key = match by {
                    SortBy::OpenedAt => SortKey::Time(last.opened_at),
                    SortBy::Balance => SortKey::Amount(last.state.balance),
                    SortBy::LastActivity => SortKey::Time(last.last_activity),
                };
                after = Some((key, last.account_id));
                seen.extend(page.iter().map(|account| account.account_id));
            }
            assert_eq!(seen.len(), 7, "{sort:?}");
            seen.sort_unstable();
            seen.dedup();
            assert_eq!(seen.len(), 7, "{sort:?}");
        }
    }
    for seconds in -1..7 {
        let filter = Filter { as_of: Some(at(seconds)), ..Filter::default() };
        for by in [SortBy::OpenedAt, SortBy::Balance, SortBy::LastActivity] {
            let mut found = accounts::list(pool, &filter, Sort { by, descending: true }, None, 10)
                .await
                .unwrap();
            found.sort_by_key(|account| account.account_id);
            let mut there = Vec::new();
            for n in 1..=7 {
                there.extend(history::as_of(pool, id(n), at(seconds)).await.unwrap());
            }
            assert_eq!(found, there, "as of {seconds} s");
            let totals = accounts::totals(pool, filter.as_of).await.unwrap();
            let (count, balance) =
                totals.first().map_or((0, 0), |total| (total.accounts, total.balance));
            let sum: i64 = there.iter().map(|account| account.state.balance).sum();
            assert_eq!(
                (usize::try_from(count).unwrap(), balance),
                (there.len(), sum.into()),
                "as of {seconds} s"
            );
        }
    }
    let filter = Filter {
        owner: Some("odd".to_owned()),
        currency: Some("EUR".parse().unwrap()),
        status: Some(AccountStatus::Open),
        min_balance: Some(101),
        max_balance: Some(110),
        metadata: serde_json::from_str(r#"{"branch":"north"}"#).unwrap(),
        as_of: None,
    };
    let sort = Sort { by: SortBy::Balance, descending: true };
    let found = accounts::list(pool, &filter, sort, None, 10).await.unwrap();
    assert_eq!(found.iter().map(|account| account.account_id).collect::<Vec<_>>(), [id(7), id(1)]);
}
