//! One look at one partition: what the views have applied last, compared with the log.

use std::time::Duration;

use sqlx::PgConnection;
use tokio::time::Instant;

use super::common::{difference_between, first_difference};
use super::correct::{self, Corrected, confirmed_at};
use super::disagreement::Disagreement;
use crate::checkpoint::Checkpoint;
use crate::consumer::judging::OurLog;
use crate::feed::At;
use crate::replay::Ground;
use crate::replay::error::ReplayError;
use crate::store::checkpoints;
use crate::store::confirmed::{self, Confirmed};
use crate::store::restores::{self, Accepted};
use crate::store::source::Source;

/// How long a difference must last before the views are corrected: a relay whose database was restarted has compared
/// the topic with the log by then.
const SETTLED: Duration = Duration::from_secs(3);

/// A partition that is looked at.
pub(super) struct Look<'a> {
    pub(super) ground: &'a Ground,
    pub(super) source: Source,
    pub(super) checkpoint: Checkpoint,
    pub(super) confirmed: Confirmed,
    /// The position from which on the views may have another event than the log.
    pub(super) suspect: Option<i64>,
    /// Since when a difference is known.
    pub(super) since: Option<Instant>,
}

/// The outcome of a look.
pub(super) enum Verdict {
    /// The views have what the log has.
    Agrees,
    /// The views were changed meanwhile: the next look tells.
    Moved,
    /// They do not, and nothing of the partition is to be applied.
    Disagrees(Disagreement),
    /// They did not, and do now; or they follow the store into another epoch.
    Corrected(Corrected),
}

impl Look<'_> {
    /// # Errors
    /// Postgres or the command-service is away.
    pub(super) async fn now(&self, connection: &mut PgConnection) -> Result<Verdict, ReplayError> {
        let Checkpoint { partition, position: views, .. } = self.checkpoint;
        let at = self.ground.feed.at(partition, views).await?;
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
        if confirmed.position > 0 && confirmed != self.confirmed {
            confirmed::set(connection, confirmed).await?;
        }
        Ok(Verdict::Agrees)
    }

    /// The position before the first difference that is found, if one is.
    async fn difference(
        &self,
        connection: &mut PgConnection,
        at: &At,
    ) -> Result<Option<i64>, ReplayError> {
        let Checkpoint { partition, position, event_id, .. } = self.checkpoint;
        if position == 0 {
            return Ok(None);
        }
        let Some(event) = &at.event else { return Ok(Some(position - 1)) };
        if event_id.is_some_and(|applied| applied != event.event_id)
            || first_difference(connection, partition, std::slice::from_ref(event)).await?.is_some()
        {
            return Ok(Some(position - 1));
        }
        let Some(suspect) = self.suspect.filter(|suspect| *suspect <= position) else {
            return Ok(None);
        };
        let feed = &self.ground.feed;
        let different =
            difference_between(feed, connection, partition, suspect - 1, position).await?;
        Ok(different.map(|different| different - 1))
    }

    /// The views have something else than the log: corrects them, unless the log was changed.
    async fn disagree(
        &self,
        connection: &mut PgConnection,
        upper: i64,
    ) -> Result<Verdict, ReplayError> {
        let Checkpoint { partition, position: views, epoch, .. } = self.checkpoint;
        let now = checkpoints::find(&mut *connection, partition).await?;
        if now.is_none_or(|now| (now.position, now.epoch) != (views, epoch)) {
            return Ok(Verdict::Moved);
        }
        let store = self.ground.feed.store().await?;
        if let Some(fork) = store.forks.iter().find(|fork| fork.partition == partition) {
            return Ok(Verdict::Disagrees(Disagreement::Forked { views, fork: fork.clone() }));
        }
        let Confirmed { position: confirmed, event_id, .. } = self.confirmed;
        if confirmed > 0 {
            let there = self.ground.feed.event_at(partition, confirmed).await?;
            if there.map(|event| event.event_id) != event_id {
                return Ok(Verdict::Disagrees(Disagreement::LogChanged { views, confirmed }));
            }
        }
        let since = self.since.unwrap_or_else(Instant::now);
        if since.elapsed() < SETTLED {
            return Ok(Verdict::Disagrees(Disagreement::Comparing { views, since }));
        }
        let log = OurLog { source: self.source, accepted: Accepted::from(&store) };
        Ok(Verdict::Corrected(
            correct::live(self.ground, connection, &log, partition, upper).await?,
        ))
    }

    /// The store is in a later epoch: an operator has accepted its log as it is.
    async fn follow(&self, connection: &mut PgConnection) -> Result<Verdict, ReplayError> {
        let Checkpoint { partition, position: views, .. } = self.checkpoint;
        let store = self.ground.feed.store().await?;
        restores::remember(&mut *connection, &store).await?;
        if let Some(fork) = store.forks.iter().find(|fork| fork.partition == partition) {
            return Ok(Verdict::Disagrees(Disagreement::Forked { views, fork: fork.clone() }));
        }
        let later =
            store.restores.iter().filter(|restore| restore.epoch > self.confirmed.store_epoch);
        let kept =
            later.flat_map(|restore| &restore.kept).filter(|kept| kept.partition == partition);
        let upper = kept.map(|kept| kept.position).min().map_or(views, |kept| kept.min(views));
        let log = OurLog { source: self.source, accepted: Accepted::from(&store) };
        tracing::info!(
            partition,
            epoch = store.epoch,
            views,
            upper,
            "a restore of the log was accepted: following it"
        );
        Ok(Verdict::Corrected(
            correct::live(self.ground, connection, &log, partition, upper).await?,
        ))
    }
}
