//! Accepted restores of the store, copied from the description of its log.

use std::collections::BTreeMap;

use passbook_shared::epoch::{Epoch, Restores};
use passbook_shared::partition::Partition;
use passbook_shared::store_description::StoreDescription;
use sqlx::PgExecutor;

/// Accepted restores of a store.
#[derive(Debug, Clone, Default)]
pub struct Accepted {
    /// Epoch of the store; 0 if no restore was accepted.
    pub epoch: Epoch,
    /// Last position that each restore kept, by partition.
    pub by_partition: BTreeMap<Partition, Restores>,
}

impl From<&StoreDescription> for Accepted {
    fn from(store: &StoreDescription) -> Self {
        let of = |partition| (partition, store.restores_of(partition));
        Self { epoch: store.epoch, by_partition: store.partitions.all().map(of).collect() }
    }
}

/// Returns the known restores.
pub async fn all(executor: impl PgExecutor<'_>) -> sqlx::Result<Accepted> {
    let sql =
        "SELECT partition, epoch, position FROM projection.restores ORDER BY partition, epoch";
    let rows: Vec<(Partition, Epoch, i64)> = sqlx::query_as(sql).fetch_all(executor).await?;
    let of = |rows: &[(Partition, Epoch, i64)]| rows.iter().map(|row| (row.1, row.2)).collect();
    Ok(Accepted {
        // The last accepted restore began the current epoch.
        epoch: rows.iter().map(|row| row.1).max().unwrap_or_default(),
        by_partition: rows.chunk_by(|a, b| a.0 == b.0).map(|rows| (rows[0].0, of(rows))).collect(),
    })
}

/// Stores the restores of a store.
pub async fn remember(executor: impl PgExecutor<'_>, store: &StoreDescription) -> sqlx::Result<()> {
    let rows: Vec<_> = store
        .restores
        .iter()
        .flat_map(|restore| {
            restore.kept.iter().map(|kept| (restore.epoch, kept.partition, kept.position))
        })
        .collect();
    sqlx::query(
        // Each instance stores the restores, so the rows may exist.
        "INSERT INTO projection.restores (epoch, partition, position) SELECT * FROM unnest($1,
                $2, $3)
         ON CONFLICT (epoch, partition) DO UPDATE SET position = excluded.position",
    )
    .bind(rows.iter().map(|row| row.0).collect::<Vec<Epoch>>())
    .bind(rows.iter().map(|row| row.1).collect::<Vec<Partition>>())
    .bind(rows.iter().map(|row| row.2).collect::<Vec<i64>>())
    .execute(executor)
    .await
    .map(drop)
}
