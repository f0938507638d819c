//! The switch of queries from the live generation to the new one.

use std::time::Duration;

use sqlx::{Connection, PgConnection};
use tokio::time::sleep;

use super::{Rebuild, positions};
use crate::replay::error::ReplayError;
use crate::replay::partition_loader::PartitionLoader;
use crate::store::{checkpoints, generations};

/// Maximum number of attempts to switch, and the pause between two.
const SWITCHES: u32 = 50;
const SWITCH_AGAIN: Duration = Duration::from_millis(200);

impl Rebuild<'_> {
    pub(super) async fn switch(&mut self) -> Result<(), ReplayError> {
        let mut tries = 1;
        // A switch that waits for a long query blocks all later queries. Each attempt therefore has
        // a short time limit.
        while let Err(error) = self.try_switch().await {
            if !error.may_pass() || tries == SWITCHES {
                return Err(error);
            }
            tries += 1;
            sleep(SWITCH_AGAIN).await;
        }
        tracing::info!(generation = self.generation.0, "the new views are live");
        Ok(())
    }

    async fn try_switch(&mut self) -> Result<(), ReplayError> {
        let mut live = generations::connect_live(&self.deps.database).await?;
        let before = generations::live(&mut live).await?;
        let mut held = live.begin().await?;
        self.meet(&mut held).await?;
        // The consumer is locked out, so these last events are final.
        self.ends_as(&mut held).await?;
        let behind = generations::behind(&mut held, self.generation, before).await?;
        if behind > 0 {
            return Err(ReplayError::WouldGoBack(behind));
        }
        generations::make_live(&mut held, self.generation).await?;
        Ok(held.commit().await?)
    }

    /// Fails if the last events of the new views differ from those of the live views.
    async fn ends_as(&mut self, live: &mut PgConnection) -> Result<(), ReplayError> {
        let built = checkpoints::all(&mut self.building).await?;
        for live in checkpoints::all(live).await? {
            let built = built.iter().find(|built| built.partition == live.partition);
            if built.is_none_or(|built| {
                (built.position, built.event_id) != (live.position, live.event_id)
            }) {
                return Err(ReplayError::Differs {
                    partition: live.partition,
                    position: live.position,
                });
            }
        }
        Ok(())
    }

    /// Locks the live views for the transaction, and brings the new views to the same positions.
    pub(super) async fn meet(&mut self, live: &mut PgConnection) -> Result<(), ReplayError> {
        let Self { deps, progress, log, building, .. } = self;
        let targets = positions(&checkpoints::hold(live).await?);
        for checkpoint in checkpoints::all(&mut *building).await? {
            let target = targets.get(&checkpoint.partition).copied().unwrap_or_default();
            // The log alone: while the live views are locked, it must not wait for the topic.
            PartitionLoader::new(deps, progress, building, log, &checkpoint, target)
                .by_log()
                .await?;
        }
        Ok(())
    }
}
