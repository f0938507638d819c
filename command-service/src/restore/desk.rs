//! Where operators see what a restore gives up, and accept it.

use std::collections::BTreeMap;
use std::sync::Arc;

use passbook_shared::config::KafkaConfig;
use passbook_shared::epoch::{self, Epoch};
use passbook_shared::partition::Partition;
use passbook_shared::store_description::Restore;
use sqlx::PgPool;
use thiserror::Error;
use tokio::sync::Mutex;

use super::standing::Standing;
use super::survey::{Survey, SurveyError, survey};
use crate::log::restores;
use crate::log::store::Store;

/// The desk. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Desk {
    kafka: KafkaConfig,
    store: Store,
    pool: PgPool,
    standing: Standing,
    /// Surveys take memory: one at a time.
    turn: Arc<Mutex<()>>,
}

/// A fork as an operator was shown it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Shown {
    /// The partition.
    pub partition: Partition,
    /// Where the log ends.
    pub log_position: i64,
    /// The last position that the topic holds of what the log lacks.
    pub topic_position: i64,
}

/// Why a restore was not accepted. Nothing was changed.
#[derive(Debug, Error)]
pub enum AcceptError {
    /// It can't be said what there is to be decided.
    #[error(transparent)]
    Survey(#[from] SurveyError),
    /// The forks are others by now: these.
    #[error("the forks are not those that were shown")]
    Changed(Survey),
    /// There is no fork.
    #[error("no partition is forked")]
    NothingToAccept,
    /// The epoch to be above is further ahead than accepted restores can lead.
    #[error("the epoch to be above is more than {} above {latest}", epoch::MOST_AHEAD)]
    EpochTooFar {
        /// The latest epoch that the store and the topic know.
        latest: Epoch,
    },
    /// The epoch is the last one there can be.
    #[error("no epoch is left")]
    NoEpochLeft,
}

impl From<sqlx::Error> for AcceptError {
    fn from(error: sqlx::Error) -> Self {
        Self::Survey(error.into())
    }
}

impl Desk {
    /// The desk of a store, on one connection of the pool.
    pub fn new(kafka: KafkaConfig, store: Store, pool: PgPool, standing: Standing) -> Self {
        Self { kafka, store, pool, standing, turn: Arc::default() }
    }

    /// What there is to be decided, with at most so many events of each fork.
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

    /// Accepts the log as it is, if the forks are still those that were shown: begins an epoch that is later than any the
    /// store, the topic and `above` know. `force`: also if there is no fork.
    ///
    /// # Errors
    /// See [`AcceptError`].
    pub async fn accept(
        &self,
        mut shown: Vec<Shown>,
        force: bool,
        above: Option<Epoch>,
    ) -> Result<Restore, AcceptError> {
        let _turn = self.turn.lock().await;
        let found = self.look(0).await?;
        shown.sort_unstable();
        if shown != found.shown() {
            return Err(AcceptError::Changed(found));
        }
        if shown.is_empty() && !force {
            return Err(AcceptError::NothingToAccept);
        }
        let above = above.unwrap_or_default();
        if above > found.latest.saturating_add(epoch::MOST_AHEAD) {
            return Err(AcceptError::EpochTooFar { latest: found.latest });
        }
        let new_epoch = found.latest.max(above).saturating_add(1);
        if new_epoch > epoch::LARGEST {
            return Err(AcceptError::NoEpochLeft);
        }
        let kept: BTreeMap<Partition, i64> =
            found.forks.iter().map(|fork| (fork.fork.partition, fork.kept)).collect();
        let mut connection = self.pool.acquire().await?;
        if !restores::accept(&mut *connection, found.epoch, new_epoch, &kept).await? {
            drop(connection);
            return Err(AcceptError::Changed(self.look(0).await?));
        }
        self.standing.refresh(&mut connection).await?;
        let accepted = restores::restores(&mut *connection)
            .await?
            .into_iter()
            .rfind(|restore| restore.epoch == new_epoch);
        let kept = serde_json::to_string(&kept).unwrap_or_default();
        tracing::warn!(
            epoch = new_epoch,
            kept,
            force,
            "an operator has accepted that the log was restored"
        );
        accepted.ok_or_else(|| sqlx::Error::RowNotFound.into())
    }
}

impl Survey {
    /// The forks, as they are named to accept them.
    pub fn shown(&self) -> Vec<Shown> {
        let shown = |fork: &super::survey::Surveyed| {
            let fork = &fork.fork;
            let (log_position, topic_position) = (fork.log_position, fork.topic_position);
            Shown { partition: fork.partition, log_position, topic_position }
        };
        self.forks.iter().map(shown).collect()
    }
}
