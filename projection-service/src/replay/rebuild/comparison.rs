//! Comparison of the new generation with the live one, and its correction from the log.

use passbook_shared::partition::partition_of;
use serde_json::Value;
use sqlx::{Connection, Row};

use super::{By, Rebuild, positions};
use crate::agreement::correct;
use crate::replay::error::ReplayError;
use crate::replay::rewind::account_by_log;
use crate::store::{checkpoints, generations};

/// Maximum number of accounts that are rebuilt one by one.
const SETTLED: usize = 1_000;
/// Number of differences shown as samples.
const SAMPLES: i32 = 20;

impl Rebuild<'_> {
    /// Corrects partitions of the new views whose last event differs from the log. The topic may
    /// have had forged events, or events that a restore gave up.
    pub(super) async fn end_as_log(&mut self) -> Result<(), ReplayError> {
        for checkpoint in
            checkpoints::all(&mut self.building).await?.iter().filter(|c| c.position > 0)
        {
            let there = self.deps.feed.event_at(checkpoint.partition, checkpoint.position).await?;
            if there.map(|event| event.event_id) != checkpoint.event_id {
                let corrected =
                    correct::building(self.deps, &mut self.building, &self.log, checkpoint).await?;
                tracing::warn!(
                    partition = checkpoint.partition.get(),
                    ?corrected,
                    "the new views had other events than the log"
                );
            }
        }
        Ok(())
    }

    /// Rebuilds the accounts that differ from the live views, or all accounts if many differ. Reads
    /// the log alone.
    pub(super) async fn settle_by_log(&mut self) -> Result<(), ReplayError> {
        let live = generations::live(&mut self.connection).await?;
        // One more than the limit shows that there are too many.
        let differing =
            generations::differing(&mut self.connection, self.generation, live, SETTLED + 1)
                .await?;
        tracing::warn!(
            accounts = differing.len(),
            "the new views differ from the live views: rebuilding the accounts from the log"
        );
        if differing.len() > SETTLED {
            return self.again_by_log().await;
        }
        let standing = positions(&checkpoints::all(&mut self.building).await?);
        for account_id in differing {
            let partition = partition_of(account_id, self.log.source.partitions);
            // The account must not be ahead of the checkpoint of its partition.
            let up_to = standing.get(&partition).copied().unwrap_or_default();
            let mut transaction = self.building.begin().await?;
            let Self { deps, progress, log, .. } = self;
            account_by_log(deps, progress, &mut transaction, log.source, account_id, up_to).await?;
            transaction.commit().await?;
        }
        Ok(())
    }

    async fn again_by_log(&mut self) -> Result<(), ReplayError> {
        let mut transaction = self.building.begin().await?;
        generations::empty(&mut transaction).await?;
        transaction.commit().await?;
        self.approach(By::Log).await
    }

    /// Compares both generations at the same positions.
    pub(super) async fn compare(&mut self) -> Result<(i64, Value), ReplayError> {
        let mut live = generations::connect_live(&self.deps.database).await?;
        let mut seeing = self.deps.connect().await?;
        let mut held = live.begin().await?;
        // The lock keeps both generations at the same positions until the snapshot begins.
        self.meet(&mut held).await?;
        // The snapshot does not change after the lock on the live views is released.
        let mut seeing =
            seeing.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
        // The first query takes the snapshot, so it runs before the lock is released.
        let before = generations::live(&mut *seeing).await?;
        held.rollback().await?;
        let row =
            sqlx::query("SELECT differences, samples FROM projection.differences($1, $2, $3)")
                .bind(self.generation.0)
                .bind(before.0)
                .bind(SAMPLES)
                .fetch_one(&mut *seeing)
                .await?;
        Ok((row.try_get(0)?, row.try_get(1)?))
    }
}
