//! Transfers, holds, reversals and metadata in the history, and the comparison of two generations.

use passbook_shared::event::{AccountEvent, HoldStatus};
use passbook_shared::text::Metadata;
use passbook_shared::timestamp::Timestamp;
use projection_service::store::accounts::{Filter, Sort, SortBy};
use projection_service::store::generations::{self, Generation};
use projection_service::store::history::{entries, holds, transfers};
use projection_service::store::{accounts, history};
use serde_json::{Value, json};
use sqlx::{Connection, PgPool};
use uuid::Uuid;

use super::{PARTITION, at, database, deposited, id, opened, write};

fn event(event_type: &str, data: Value) -> AccountEvent {
    AccountEvent::decode(event_type, 1, &serde_json::value::to_raw_value(&data).unwrap()).unwrap()
}

fn leg(transfer_id: Uuid, counterparty: Uuid, counterparty_version: i64) -> Value {
    json!({"transfer_id": transfer_id, "counterparty": counterparty, "counterparty_version": counterparty_version,
           "amount": 40, "reference": "rent", "metadata": {"till": "3"}})
}

pub(crate) fn sent(transfer_id: Uuid, to: Uuid, version: i64) -> AccountEvent {
    event("MoneySent", leg(transfer_id, to, version))
}

pub(crate) fn received(transfer_id: Uuid, from: Uuid, version: i64) -> AccountEvent {
    event("MoneyReceived", leg(transfer_id, from, version))
}

/// Reverses the leg of a transfer, as the other account has it at this version.
pub(crate) fn reversed_received(
    undone: i64,
    transfer_id: Uuid,
    from: Uuid,
    version: i64,
) -> AccountEvent {
    let transfer =
        json!({"transfer_id": transfer_id, "counterparty": from, "counterparty_version": version});
    let data = json!({"version": undone, "entry": "transfer_received", "amount": 40, "transfer": transfer});
    event("EntryReversed", data)
}

pub(crate) fn reversed_deposit(undone: i64, amount: i64) -> AccountEvent {
    event(
        "EntryReversed",
        json!({"version": undone, "entry": "deposit", "amount": amount, "reference": "sent twice"}),
    )
}

/// Each hold is of 50.
pub(crate) fn placed(hold: u128) -> AccountEvent {
    let data = json!({"hold_id": id(hold), "amount": 50, "expires_at": at(900), "reference": "room 12",
                      "metadata": {"desk": "2"}});
    event("HoldPlaced", data)
}

pub(crate) fn captured(hold: u128) -> AccountEvent {
    event(
        "HoldCaptured",
        json!({"hold_id": id(hold), "amount": 30, "released": 20, "expires_at": at(900)}),
    )
}

fn released(hold: u128) -> AccountEvent {
    event("HoldReleased", json!({"hold_id": id(hold), "amount": 50, "reason": "cancelled"}))
}

fn expired(hold: u128) -> AccountEvent {
    event("HoldExpired", json!({"hold_id": id(hold), "amount": 50, "expires_at": at(900)}))
}

/// One event per second.
fn timed(events: Vec<AccountEvent>) -> Vec<(AccountEvent, Timestamp)> {
    events.into_iter().zip(0..).map(|(event, second)| (event, at(second))).collect()
}

fn metadata(json: Value) -> Metadata {
    serde_json::from_value(json).unwrap()
}

async fn rewind(pool: &PgPool, position: i64) {
    sqlx::query("SELECT projection.rewind($1, $2, 0)")
        .bind(PARTITION)
        .bind(position)
        .execute(pool)
        .await
        .unwrap();
}

async fn hold_list(
    pool: &PgPool,
    before: i64,
    status: Option<HoldStatus>,
    limit: i64,
) -> Vec<(Uuid, HoldStatus, i64)> {
    let found = holds::list(pool, id(1), i64::MAX, before, status, limit).await.unwrap();
    found.iter().map(|hold| (hold.hold_id, hold.status, hold.captured)).collect()
}

#[tokio::test]
async fn holds_are_listed_newest_first_with_their_end_even_after_a_rewind() {
    let database = database().await;
    let pool = &database.pool;
    // The holds end in another order than they were placed.
    let ends = [captured(11), expired(13), released(12)];
    let events =
        [vec![opened("o"), placed(11), placed(12), placed(13)], ends.to_vec(), vec![placed(14)]]
            .concat();
    write(&mut pool.acquire().await.unwrap(), id(1), &timed(events)).await;
    write(&mut pool.acquire().await.unwrap(), id(2), &timed(vec![opened("o"), placed(11)])).await;

    use HoldStatus::{Captured, Expired, Open, Released};
    let all =
        [(id(14), Open, 0), (id(13), Expired, 0), (id(12), Released, 0), (id(11), Captured, 30)];
    assert_eq!(hold_list(pool, i64::MAX, None, 10).await, all);
    assert_eq!(hold_list(pool, i64::MAX, None, 2).await, all[..2]);
    assert_eq!(hold_list(pool, 4, None, 10).await, all[2..], "placed before version 4");
    for hold in all {
        assert_eq!(hold_list(pool, i64::MAX, Some(hold.1), 10).await, [hold]);
    }
    let then = holds::list(pool, id(1), 5, i64::MAX, None, 10).await.unwrap();
    let then: Vec<_> = then.iter().map(|hold| (hold.hold_id, hold.status)).collect();
    assert_eq!(then, [(id(13), Open), (id(12), Open), (id(11), Captured)], "as of version 5");
    let first = holds::list(pool, id(1), i64::MAX, 3, None, 1).await.unwrap().remove(0);
    assert_eq!(
        (first.amount, first.expires_at, first.reference.as_deref()),
        (50, Some(at(900)), Some("room 12"))
    );
    assert_eq!((first.placed_version, first.placed_at), (2, at(1)));
    assert_eq!(
        (first.ended_version, first.ended_at, first.metadata),
        (Some(5), Some(at(4)), Some(r#"{"desk": "2"}"#.into()))
    );

    let state = accounts::find(pool, id(1)).await.unwrap().unwrap().state;
    assert_eq!((state.balance, state.held, state.transaction_count), (70, 50, 2));
    rewind(pool, 5).await;
    let then = [(id(13), Open, 0), (id(12), Open, 0), (id(11), Captured, 30)];
    assert_eq!(hold_list(pool, i64::MAX, None, 10).await, then);
    let state = accounts::find(pool, id(1)).await.unwrap().unwrap().state;
    assert_eq!((state.balance, state.held, state.version), (70, 100, 5));
}

#[tokio::test]
async fn a_transfer_is_found_by_its_id_with_its_applied_legs_and_their_reversals() {
    let database = database().await;
    let pool = &database.pool;
    let mut connection = pool.acquire().await.unwrap();
    write(&mut connection, id(1), &timed(vec![opened("o"), sent(id(7), id(2), 2)])).await;
    assert_eq!(transfers::legs(pool, id(8)).await.unwrap(), []);
    let alone = transfers::legs(pool, id(7)).await.unwrap();
    assert_eq!(alone.len(), 1);
    assert_eq!(
        (alone[0].counterparty, alone[0].counterparty_version),
        (id(2), 2),
        "where the other is to be"
    );

    let other = vec![opened("o"), received(id(7), id(1), 2), reversed_received(2, id(7), id(1), 3)];
    write(&mut connection, id(2), &timed(other)).await;
    // Another sender has chosen the same id.
    write(&mut connection, id(3), &timed(vec![opened("o"), deposited(1), sent(id(7), id(4), 2)]))
        .await;
    let mut legs = transfers::legs(pool, id(7)).await.unwrap();
    legs.sort_by_key(|leg| leg.amount);
    let found: Vec<_> = legs
        .iter()
        .map(|l| (l.account_id, l.version, l.amount, l.balance, l.reversed_by))
        .collect();
    assert_eq!(found, [(id(1), 2, -40, 60, None), (id(2), 2, 40, 140, Some(3))]);
    assert_eq!((legs[0].currency.as_str(), legs[0].reference.as_deref()), ("EUR", Some("rent")));

    rewind(pool, 4).await;
    let found: Vec<_> =
        transfers::legs(pool, id(7)).await.unwrap().iter().map(|leg| leg.reversed_by).collect();
    assert_eq!(found, [None, None], "neither leg is reversed any more");
    rewind(pool, 3).await;
    assert_eq!(transfers::legs(pool, id(7)).await.unwrap(), alone);
}

#[tokio::test]
async fn an_entry_names_its_reversal_if_known_by_then() {
    let database = database().await;
    let pool = &database.pool;
    let events = vec![opened("o"), deposited(5), deposited(7), reversed_deposit(2, 5)];
    write(&mut pool.acquire().await.unwrap(), id(1), &timed(events)).await;
    for (to, as_of, known, undone) in [
        (None, None, 4, Some(4)),
        (None, Some(at(3)), 4, Some(4)),
        (None, Some(at(2)), 3, None),
        // The period ends before the reversal, which is known now.
        (Some(at(3)), None, 4, Some(4)),
        (Some(at(3)), Some(at(2)), 3, None),
    ] {
        let period = history::period(pool, id(1), None, to, as_of).await.unwrap().unwrap();
        assert_eq!(period.known, known);
        let metadata = Metadata::default();
        let filter =
            entries::Filter { after: 1, before: 3, event_type: None, metadata: &metadata, known };
        let lines = entries::list(pool, id(1), &filter, 10).await.unwrap();
        assert_eq!(
            (lines.len(), lines[0].version, lines[0].reversed_by),
            (1, 2, undone),
            "{to:?} {as_of:?}"
        );
    }
    let undoing = entries::find(pool, id(1), 4).await.unwrap().unwrap();
    assert_eq!(
        (undoing.entry.reverses, undoing.entry.amount, undoing.entry.reversed_by),
        (Some(2), Some(-5), None)
    );
    assert_eq!(
        (undoing.kafka_offset, undoing.published_at, undoing.generation),
        (Some(3), Some(at(3)), 1)
    );
    assert_eq!(
        (
            undoing.partition,
            entries::find(pool, id(1), 2).await.unwrap().unwrap().entry.reversed_by
        ),
        (3, Some(4))
    );
    assert_eq!(entries::find(pool, id(1), 5).await.unwrap(), None);
    rewind(pool, 3).await;
    assert_eq!(entries::find(pool, id(1), 2).await.unwrap().unwrap().entry.reversed_by, None);
}

#[tokio::test]
async fn accounts_and_entries_are_found_by_all_of_their_metadata() {
    let database = database().await;
    let pool = &database.pool;
    let with = |metadata: Value| {
        let data = json!({"owner": "o", "currency": "EUR", "initial_deposit": 0, "overdraft_limit": 0, "metadata": metadata});
        AccountEvent::decode("AccountOpened", 2, &serde_json::value::to_raw_value(&data).unwrap())
            .unwrap()
    };
    let tagged =
        |metadata: Value| event("MoneyDeposited", json!({"amount": 1, "metadata": metadata}));
    let both = json!({"region": "north", "tier": "gold"});
    for (account, given) in [(1, both.clone()), (2, json!({"region": "north"})), (3, json!({}))] {
        let events = vec![
            with(given),
            tagged(both.clone()),
            tagged(json!({"tier": "gold"})),
            tagged(json!({})),
        ];
        write(&mut pool.acquire().await.unwrap(), id(account), &timed(events)).await;
    }
    for (asked, accounts_found, entries_found) in [
        (json!({}), 3, 4),
        (json!({"region": "north"}), 2, 2),
        (both, 1, 2),
        (json!({"tier": "gold"}), 1, 3),
        (json!({"region": "nor"}), 0, 0),
        (json!({"a\"b": "\\"}), 0, 0),
    ] {
        let metadata = metadata(asked);
        let filter = entries::Filter {
            after: 0,
            before: 5,
            event_type: None,
            metadata: &metadata,
            known: 4,
        };
        assert_eq!(
            entries::list(pool, id(1), &filter, 10).await.unwrap().len(),
            entries_found,
            "{metadata:?}"
        );
        let (filter, sort) = (
            Filter { metadata, ..Filter::default() },
            Sort { by: SortBy::OpenedAt, descending: false },
        );
        let found = accounts::list(pool, &filter, sort, None, 10).await.unwrap();
        assert_eq!(found.len(), accounts_found, "{filter:?}");
    }
    let account = accounts::find(pool, id(2)).await.unwrap().unwrap();
    assert_eq!(account.metadata.as_deref(), Some(r#"{"region": "north"}"#));
    let then = history::at_version(pool, id(1), 1).await.unwrap().unwrap();
    assert_eq!(then.metadata.as_deref(), Some(r#"{"tier": "gold", "region": "north"}"#));
    let plan: Vec<String> = sqlx::query_scalar(
        "EXPLAIN SELECT account_id FROM accounts WHERE metadata @> '{\"tier\": \"gold\"}'::jsonb",
    )
    .fetch_all(&mut *{
        let mut connection = pool.acquire().await.unwrap();
        sqlx::query("SET enable_seqscan = off").execute(&mut *connection).await.unwrap();
        connection
    })
    .await
    .unwrap();
    assert!(plan.concat().contains("accounts_by_label"), "{plan:?}");
}

#[tokio::test]
async fn generations_differ_in_everything_but_the_source_of_events() {
    let database = database().await;
    let pool = &database.pool;
    let events = timed(vec![
        opened("o"),
        sent(id(7), id(2), 2),
        placed(11),
        captured(11),
        deposited(5),
        reversed_deposit(5, 5),
    ]);
    write(&mut pool.acquire().await.unwrap(), id(1), &events).await;

    let admin = PgPool::connect_with(database.options.clone()).await.unwrap();
    let mut transaction = admin.begin().await.unwrap();
    let second = generations::create(&mut transaction).await.unwrap();
    transaction.commit().await.unwrap();
    let mut building =
        sqlx::PgConnection::connect_with(&second.options(&database.options)).await.unwrap();
    let indexes = "SELECT count(*) FROM pg_indexes WHERE schemaname = $1 AND tablename IN ('history', 'accounts')";
    let indexes = async |of: Generation| -> i64 {
        sqlx::query_scalar(indexes).bind(format!("views_{}", of.0)).fetch_one(&admin).await.unwrap()
    };
    assert_eq!(
        (indexes(Generation(1)).await, indexes(second).await),
        (9, 3),
        "few while it is loaded"
    );
    sqlx::query("INSERT INTO checkpoints (partition) VALUES ($1)")
        .bind(PARTITION)
        .execute(&mut building)
        .await
        .unwrap();
    write(&mut building, id(1), &events).await;
    sqlx::query("UPDATE history SET kafka_offset = NULL, published_at = NULL, applied_at = now() - interval '1 day'")
        .execute(&mut building)
        .await
        .unwrap();
    let mut transaction = building.begin().await.unwrap();
    generations::index(&mut transaction, second).await.unwrap();
    transaction.commit().await.unwrap();
    assert_eq!(indexes(second).await, 9);

    let differences = async || -> (i64, Value) {
        let (count, samples): (i64, String) = sqlx::query_as(
            "SELECT differences, samples::text FROM projection.differences($1, 1, 20)",
        )
        .bind(second.0)
        .fetch_one(&admin)
        .await
        .unwrap();
        (count, serde_json::from_str(&samples).unwrap())
    };
    assert_eq!(differences().await, (0, json!([])));
    for (changed, version) in [
        ("reverses = 2", 6),
        ("hold_amount = 1", 3),
        ("expires_at = NULL", 4),
        ("hold_id = account_id", 3),
        ("transfer_id = account_id", 2),
        ("counterparty = account_id", 2),
        ("counterparty_version = 3", 2),
        ("held = 1", 1),
    ] {
        let mut changing = building.begin().await.unwrap();
        let change = format!(
            "CREATE TEMPORARY TABLE kept AS SELECT * FROM history; UPDATE history SET {changed} WHERE version = {version}"
        );
        sqlx::raw_sql(sqlx::AssertSqlSafe(change)).execute(&mut *changing).await.unwrap();
        changing.commit().await.unwrap();
        let (count, samples) = differences().await;
        assert_eq!((count, samples[0]["table"].as_str()), (1, Some("history")), "{changed}");
        assert_eq!(samples[0]["new"].get("applied_at"), None, "nor is it shown: {samples}");
        let back = "DELETE FROM history; INSERT INTO history SELECT * FROM kept; DROP TABLE kept";
        sqlx::raw_sql(back).execute(&mut building).await.unwrap();
    }
    sqlx::query("DELETE FROM history WHERE version = 1").execute(&mut building).await.unwrap();
    assert_eq!(differences().await.0, 1, "a row that is not there");
}
