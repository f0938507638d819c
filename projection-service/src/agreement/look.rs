//! One comparison of one partition's last applied event with the log.

use std::time::Duration;

use sqlx::PgConnection;
use tokio::time::Instant;

use super::common::{difference_between, first_difference};
use super::correct::{self, Corrected, confirmed_at};
use super::disagreement::Disagreement;
use crate::checkpoint::Checkpoint;
use crate::consumer::judging::OurLog;
use crate::feed::At;
use crate::replay::ReplayDeps;
use crate::replay::error::ReplayError;
use crate::store::checkpoints;
use crate::store::confirmed::{self, Confirmed};
use crate::store::restores::{self, Accepted};
use crate::store::source::Source;

/// Minimum duration of a difference before the views are corrected. Within this time, a relay whose
/// database was restarted compares the topic with the log.
const SETTLED: Duration = Duration::from_secs(3);

/// A partition that is compared.
pub(super) struct Look<'a> {
    pub(super) deps: &'a ReplayDeps,
    pub(super) source: Source,
    pub(super) checkpoint: Checkpoint,
    pub(super) confirmed: Confirmed,
    /// Position from which the views may differ from the log.
    pub(super) suspect: Option<i64>,
    /// Time since which a difference is known.
    pub(super) since: Option<Instant>,
}

/// Result of a comparison.
pub(super) enum Verdict {
    /// The views and the log have the same event.
    Agrees,
    /// The views or the epoch changed during the comparison. The next round decides.
    Moved,
    /// The views differ, and the partition is halted.
    Disagrees(Disagreement),
    /// The views were corrected, or followed the store into another epoch.
    Corrected(Corrected),
}

impl Look<'_> {
    /// # Errors
    /// Postgres or the command-service is unreachable.
    pub(super) async fn now(&self, connection: &mut PgConnection) -> Result<Verdict, ReplayError> {
        let Checkpoint { partition, position: views, .. } = self.checkpoint;
        let at = self.deps.feed.at(partition, views).await?;
        if at.source != self.source {
            return Ok(Verdict::Disagrees(Disagreement::Foreign {
                log: at.source,
                ours: self.source,
            }));
        }
        let ours = self.confirmed.store_epoch;
        if at.epoch < ours {
            return Ok(Verdict::Disagrees(Disagreement::OldEpoch { views, log: at.epoch, ours }));
        }
        if at.epoch > ours {
            return self.follow(connection).await;
        }
        if let Some(upper) = self.difference(connection, &at).await? {
            return self.disagree(connection, upper).await;
        }
        let confirmed = confirmed_at(&self.checkpoint, ours);
        // Most rounds find the same event, which needs no write.
        if confirmed.position > 0 && confirmed != self.confirmed {
            confirmed::set(connection, confirmed).await?;
        }
        Ok(Verdict::Agrees)
    }

    /// Returns the position before the first difference, if any is found.
    async fn difference(
        &self,
        connection: &mut PgConnection,
        at: &At,
    ) -> Result<Option<i64>, ReplayError> {
        let Checkpoint { partition, position, event_id, .. } = self.checkpoint;
        // Views without events agree with every log.
        if position == 0 {
            return Ok(None);
        }
        let Some(event) = &at.event else { return Ok(Some(position - 1)) };
        // A forged record can copy the id, so the rows are compared as well.
        if event_id.is_some_and(|applied| applied != event.event_id)
            || first_difference(connection, partition, std::slice::from_ref(event)).await?.is_some()
        {
            return Ok(Some(position - 1));
        }
        let Some(suspect) = self.suspect.filter(|suspect| *suspect <= position) else {
            return Ok(None);
        };
        let feed = &self.deps.feed;
        let different =
            difference_between(feed, connection, partition, suspect - 1, position).await?;
        Ok(different.map(|different| different - 1))
    }

    /// Corrects views that differ from the log, unless the log was changed.
    async fn disagree(
        &self,
        connection: &mut PgConnection,
        upper: i64,
    ) -> Result<Verdict, ReplayError> {
        let Checkpoint { partition, position: views, epoch, .. } = self.checkpoint;
        // The views may have moved since the log was read, which alone makes a difference.
        let now = checkpoints::find(&mut *connection, partition).await?;
        if now.is_none_or(|now| (now.position, now.epoch) != (views, epoch)) {
            return Ok(Verdict::Moved);
        }
        let store = self.deps.feed.store().await?;
        // A restore was accepted meanwhile, and a fork is no longer listed. The command-service's
        // instances name the new epoch within a second.
        if store.epoch > self.confirmed.store_epoch {
            return Ok(Verdict::Moved);
        }
        // Only an operator may give up the events that the log has lost.
        if let Some(fork) = store.forks.iter().find(|fork| fork.partition == partition) {
            return Ok(Verdict::Disagrees(Disagreement::Forked { views, fork: fork.clone() }));
        }
        let Confirmed { position: confirmed, event_id, .. } = self.confirmed;
        // A confirmed event that the log lacks now shows that the log was changed.
        if confirmed > 0 {
            let there = self.deps.feed.event_at(partition, confirmed).await?;
            if there.map(|event| event.event_id) != event_id {
                return Ok(Verdict::Disagrees(Disagreement::LogChanged { views, confirmed }));
            }
        }
        let since = self.since.unwrap_or_else(Instant::now);
        if since.elapsed() < SETTLED {
            return Ok(Verdict::Disagrees(Disagreement::Comparing { views, since }));
        }
        let log = OurLog { source: self.source, accepted: Accepted::from(&store) };
        Ok(Verdict::Corrected(correct::live(self.deps, connection, &log, partition, upper).await?))
    }

    /// Follows the store into a later epoch, in which an operator accepted its log.
    async fn follow(&self, connection: &mut PgConnection) -> Result<Verdict, ReplayError> {
        let Checkpoint { partition, position: views, .. } = self.checkpoint;
        let store = self.deps.feed.store().await?;
        // The next start of the consumer reads these rows to admit records of the new epoch.
        restores::remember(&mut *connection, &store).await?;
        if let Some(fork) = store.forks.iter().find(|fork| fork.partition == partition) {
            return Ok(Verdict::Disagrees(Disagreement::Forked { views, fork: fork.clone() }));
        }
        let later =
            store.restores.iter().filter(|restore| restore.epoch > self.confirmed.store_epoch);
        let kept =
            later.flat_map(|restore| &restore.kept).filter(|kept| kept.partition == partition);
        // Several restores may have been accepted; the smallest position is common to all.
        let upper = kept.map(|kept| kept.position).min().map_or(views, |kept| kept.min(views));
        let log = OurLog { source: self.source, accepted: Accepted::from(&store) };
        tracing::info!(
            partition = partition.get(),
            epoch = store.epoch,
            views,
            upper,
            "a restore of the log was accepted: following the log"
        );
        Ok(Verdict::Corrected(correct::live(self.deps, connection, &log, partition, upper).await?))
    }
}
