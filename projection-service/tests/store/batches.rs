//! Batches of one partition.

use passbook_shared::event::AccountEvent;
use passbook_shared::partition::{Partition, PartitionCount};
use passbook_shared::timestamp::Timestamp;
use projection_service::projection::{AccountState, project};
use projection_service::store::apply::{Batch, Changed, Move, Opened, apply};
use projection_service::store::checkpoints;
use projection_service::store::history::Row;
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use crate::postgres::Database;

pub(crate) const PARTITION: Partition = Partition::new(3);

/// Returns empty views with the checkpoints of twelve partitions.
pub(crate) async fn database() -> Database {
    let database = Database::new().await;
    checkpoints::ensure(&mut database.pool.acquire().await.unwrap(), PartitionCount::new(12))
        .await
        .unwrap();
    database
}

/// Applies events of an account, recorded at these times, as the next batch of its partition.
pub(crate) async fn write(
    connection: &mut PgConnection,
    account_id: Uuid,
    events: &[(AccountEvent, Timestamp)],
) {
    let from = checkpoints::position(&mut *connection, PARTITION).await.unwrap();
    let batch = batch(from, account_id, events);
    apply(connection, &batch).await.unwrap();
}

pub(crate) fn batch(
    from: i64,
    account_id: Uuid,
    events: &[(AccountEvent, Timestamp)],
) -> Batch<'_> {
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
        batch.accounts = vec![Changed {
            account_id,
            last_activity: *recorded_at,
            position,
            state: entry.after,
            owner: entry.owner.or(batch.accounts.first().and_then(|account| account.owner)),
        }];
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

pub(crate) async fn rewind(pool: &PgPool, position: i64) {
    sqlx::query("SELECT projection.rewind($1, $2, 0)")
        .bind(PARTITION)
        .bind(position)
        .execute(pool)
        .await
        .unwrap();
}
