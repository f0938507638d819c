//! Accepted restores (`epochs`) and unresolved forks (`log_head.fork_…`).

use std::collections::BTreeMap;

use passbook_shared::epoch::{Epoch, Restores};
use passbook_shared::partition::Partition;
use passbook_shared::store_description::{Fork, Kept, Restore};
use passbook_shared::timestamp::Timestamp;
use sqlx::{PgConnection, PgExecutor};

/// Returns the epoch of the store; 0 if no restore was ever accepted.
pub async fn epoch(executor: impl PgExecutor<'_>) -> Result<Epoch, sqlx::Error> {
    sqlx::query_scalar("SELECT passbook.current_epoch()").fetch_one(executor).await
}

/// Returns the accepted restores, oldest first.
pub async fn restores(executor: impl PgExecutor<'_>) -> Result<Vec<Restore>, sqlx::Error> {
    let sql = "SELECT epoch, accepted_at, partition, position FROM passbook.epochs ORDER BY
               epoch, partition";
    let rows: Vec<(Epoch, Timestamp, Partition, i64)> =
        sqlx::query_as(sql).fetch_all(executor).await?;
    let mut restores: Vec<Restore> = Vec::new();
    for (epoch, accepted_at, partition, position) in rows {
        if restores.last().is_none_or(|last| last.epoch != epoch) {
            restores.push(Restore { epoch, accepted_at, kept: Vec::new() });
        }
        if let Some(restore) = restores.last_mut() {
            restore.kept.push(Kept { partition, position });
        }
    }
    Ok(restores)
}

/// Returns the accepted restores of each partition.
pub async fn restores_by_partition(
    executor: impl PgExecutor<'_>,
) -> Result<BTreeMap<Partition, Restores>, sqlx::Error> {
    let sql = "SELECT partition, epoch, position FROM passbook.epochs ORDER BY partition, epoch";
    let rows: Vec<(Partition, Epoch, i64)> = sqlx::query_as(sql).fetch_all(executor).await?;
    let of = |rows: &[(Partition, Epoch, i64)]| rows.iter().map(|row| (row.1, row.2)).collect();
    Ok(rows.chunk_by(|a, b| a.0 == b.0).map(|rows| (rows[0].0, of(rows))).collect())
}

/// Returns the forks, by ascending partition.
pub async fn forks(executor: impl PgExecutor<'_>) -> Result<Vec<Fork>, sqlx::Error> {
    let sql = "SELECT partition, position, fork_position, coalesce(fork_reason, '') FROM
               passbook.log_head
                WHERE fork_position IS NOT NULL ORDER BY partition";
    let rows: Vec<(Partition, i64, i64, String)> = sqlx::query_as(sql).fetch_all(executor).await?;
    let fork = |(partition, log_position, topic_position, reason)| Fork {
        partition,
        log_position,
        topic_position,
        reason,
    };
    Ok(rows.into_iter().map(fork).collect())
}

/// Marks a partition as forked, unless it already is or the store's epoch is no longer `epoch`.
pub async fn note_fork(
    connection: &mut PgConnection,
    epoch: Epoch,
    fork: &Fork,
) -> Result<(), sqlx::Error> {
    sqlx::query("SELECT passbook.note_fork($1, $2, $3, $4)")
        .bind(fork.partition)
        .bind(epoch)
        .bind(fork.topic_position)
        .bind(&fork.reason)
        .execute(connection)
        .await?;
    Ok(())
}

/// Begins an epoch with the last common positions of the forked partitions. Returns false, with
/// nothing changed, if the store is not in `epoch` or has other forks.
pub async fn accept(
    executor: impl PgExecutor<'_>,
    epoch: Epoch,
    new_epoch: Epoch,
    kept: &BTreeMap<Partition, i64>,
) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar("SELECT passbook.accept_restore($1, $2, $3, $4)")
        .bind(epoch)
        .bind(new_epoch)
        .bind(kept.keys().copied().collect::<Vec<_>>())
        .bind(kept.values().copied().collect::<Vec<_>>())
        .fetch_one(executor)
        .await
}
