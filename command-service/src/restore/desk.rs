//! Survey and acceptance of a restored log.

#[cfg(test)]
pub(crate) mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use passbook_shared::config::KafkaConfig;
use passbook_shared::epoch::{self, Epoch};
use passbook_shared::partition::Partition;
use passbook_shared::shutdown::CancellationToken;
use passbook_shared::store_description::Restore;
use sqlx::PgPool;
use thiserror::Error;
use tokio::sync::Mutex;
use tokio::task::JoinError;

use super::standing::Standing;
use super::survey::{Survey, SurveyError, survey};
use crate::log::restores;
use crate::log::store::Store;
use crate::relay::announce::announce;

/// Surveys a restored log and accepts it. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Desk {
    kafka: KafkaConfig,
    store: Store,
    pool: PgPool,
    standing: Standing,
    /// Serializes surveys, because each takes memory.
    turn: Arc<Mutex<()>>,
}

/// Fork as shown to an operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ForkRef {
    /// Partition number.
    pub partition: Partition,
    /// Last position of the log.
    pub log_position: i64,
    /// Last position of the topic's events that the log lacks.
    pub topic_position: i64,
}

/// Error of accepting a restore. Nothing was changed, except maybe by [`Self::Task`].
#[derive(Debug, Error)]
pub enum AcceptError {
    /// The survey failed.
    #[error(transparent)]
    Survey(#[from] SurveyError),
    /// The forks have changed; the payload has the present ones.
    #[error("the forks have changed since they were shown")]
    Changed(Survey),
    /// No partition is forked.
    #[error("no partition is forked")]
    NothingToAccept,
    /// The lower bound is further ahead than accepted restores can lead.
    #[error("the lower bound of the epoch is more than {} above {latest}", epoch::MOST_AHEAD)]
    EpochTooFar {
        /// Latest epoch of the store and the topic.
        latest: Epoch,
    },
    /// The store is in the last possible epoch.
    #[error("no later epoch is possible")]
    NoEpochLeft,
    /// The task of the acceptance panicked.
    #[error("the acceptance failed: {0}")]
    Task(#[from] JoinError),
}

impl From<sqlx::Error> for AcceptError {
    fn from(error: sqlx::Error) -> Self {
        Self::Survey(error.into())
    }
}

impl Desk {
    /// Creates the desk of a store. Uses one connection of the pool at a time.
    pub fn new(kafka: KafkaConfig, store: Store, pool: PgPool, standing: Standing) -> Self {
        Self { kafka, store, pool, standing, turn: Arc::default() }
    }

    /// Returns the forks, with at most `most` events of each.
    ///
    /// # Errors
    /// See [`SurveyError`].
    pub async fn survey(&self, most: usize) -> Result<Survey, SurveyError> {
        let _turn = self.turn.lock().await;
        self.look(most).await
    }

    async fn look(&self, most: usize) -> Result<Survey, SurveyError> {
        let mut connection = self.pool.acquire().await?;
        let found = survey(&mut connection, &self.kafka, self.store, most).await?;
        self.standing.refresh(&mut connection).await?;
        Ok(found)
    }

    /// Waits for `shutdown`, and then for the acceptance that is under way.
    ///
    /// # Errors
    /// Never fails.
    pub async fn finish(self, shutdown: CancellationToken) -> anyhow::Result<()> {
        shutdown.cancelled().await;
        // An acceptance holds the turn.
        drop(self.turn.lock().await);
        Ok(())
    }

    /// Accepts the log in its present state if the forks are still the ones that were shown. Begins
    /// an epoch later than any that the store, the topic and `above` know. `force` permits this
    /// without a fork. The acceptance goes on if the caller goes away.
    ///
    /// # Errors
    /// See [`AcceptError`].
    pub async fn accept(
        &self,
        shown: Vec<ForkRef>,
        force: bool,
        above: Option<Epoch>,
    ) -> Result<Restore, AcceptError> {
        let desk = self.clone();
        // Half of an acceptance is an epoch that the topic does not know.
        tokio::spawn(async move { desk.accept_whole(shown, force, above).await }).await?
    }

    async fn accept_whole(
        &self,
        mut shown: Vec<ForkRef>,
        force: bool,
        above: Option<Epoch>,
    ) -> Result<Restore, AcceptError> {
        let _turn = self.turn.lock().await;
        // Surveyed again, because what the operator saw may have changed since.
        let found = self.look(0).await?;
        shown.sort_unstable();
        if shown != found.fork_refs() {
            return Err(AcceptError::Changed(found));
        }
        if shown.is_empty() && !force {
            return Err(AcceptError::NothingToAccept);
        }
        let new_epoch = new_epoch(found.latest, above.unwrap_or_default())?;
        let kept: BTreeMap<Partition, i64> =
            found.forks.iter().map(|fork| (fork.fork.partition, fork.kept)).collect();
        let mut connection = self.pool.acquire().await?;
        if !restores::accept(&mut *connection, found.epoch, new_epoch, &kept).await? {
            // The pool has one connection, which `look` needs.
            drop(connection);
            return Err(AcceptError::Changed(self.look(0).await?));
        }
        let positions = announced_positions(&found, &kept);
        let announced =
            announce(&self.kafka, self.store, new_epoch, &mut connection, &positions).await;
        if let Err(error) = announced {
            // No failure of the acceptance, which is committed: the fence of the relay announces
            // it, too.
            let error = self.kafka.redacted(&error.to_string());
            tracing::warn!(
                error,
                epoch = new_epoch,
                "the topic does not know the new epoch yet: make no backup until the relay is ready"
            );
        }
        self.standing.refresh(&mut connection).await?;
        let accepted = restores::restores(&mut *connection)
            .await?
            .into_iter()
            .rfind(|restore| restore.epoch == new_epoch);
        let kept = serde_json::to_string(&kept).unwrap_or_default();
        tracing::warn!(epoch = new_epoch, kept, force, "an operator has accepted a restored log");
        accepted.ok_or_else(|| sqlx::Error::RowNotFound.into())
    }
}

/// Returns the epoch after the latest one and `above`.
fn new_epoch(latest: Epoch, above: Epoch) -> Result<Epoch, AcceptError> {
    if above > latest.saturating_add(epoch::MOST_AHEAD) {
        return Err(AcceptError::EpochTooFar { latest });
    }
    let new_epoch = latest.max(above).saturating_add(1);
    if new_epoch > epoch::LARGEST { Err(AcceptError::NoEpochLeft) } else { Ok(new_epoch) }
}

/// Returns the events to publish once more: of each forked partition the last one that is kept and
/// that the topic has, so that the topic gets no gap; without forks, that of any partition.
fn announced_positions(
    found: &Survey,
    kept: &BTreeMap<Partition, i64>,
) -> BTreeMap<Partition, i64> {
    let in_topic = found.in_topic.iter().map(|(partition, position)| (*partition, *position));
    if kept.is_empty() {
        return in_topic.filter(|(_, position)| *position > 0).take(1).collect();
    }
    let kept_there = |(partition, position): (Partition, i64)| {
        Some((partition, position.min(*kept.get(&partition)?).max(1)))
    };
    in_topic.filter_map(kept_there).collect()
}

impl Survey {
    /// Returns the references by which the forks are accepted.
    pub fn fork_refs(&self) -> Vec<ForkRef> {
        let shown = |fork: &super::survey::SurveyedFork| {
            let fork = &fork.fork;
            let (log_position, topic_position) = (fork.log_position, fork.topic_position);
            ForkRef { partition: fork.partition, log_position, topic_position }
        };
        self.forks.iter().map(shown).collect()
    }
}
