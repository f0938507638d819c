//! One attempt at a batch: load the context, decide, append, and build the results. The optimistic
//! and the pessimistic attempt differ in where their context comes from.

use passbook_shared::recorded_event::RecordedEvent;
use passbook_shared::store_error;
use sqlx::{Connection, PgConnection};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout, timeout_at};

use super::failure::Failure;
use super::prior::Prior;
use super::results::Finished;
use super::staleness::is_stale;
use crate::decision::batch::decide_batch;
use crate::decision::command_set::CommandSet;
use crate::decision::context::DecisionContext;
use crate::log::access::LogAccess;
use crate::log::append::{Append, append, lock_heads};
use crate::log::clock::LogClock;
use crate::log::prior_outcomes::SentVersions;
use crate::metrics;

/// Limit on the time of an attempt.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limit {
    /// Maximum time of a step.
    pub(super) step: Duration,
    /// Time after which no further states are loaded.
    pub(super) deadline: Instant,
}

impl Limit {
    /// Runs a step in its time.
    pub(super) async fn of<T>(
        self,
        step: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        timeout(self.step, step).await.unwrap_or_else(|_| Err(Failure::late()))
    }

    /// Loads states in the time of a step, and before the deadline.
    pub(super) async fn of_load<T>(
        self,
        load: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        timeout_at(self.deadline, self.of(load)).await.unwrap_or_else(|_| Err(Failure::late()))
    }
}

/// Decides on cached states and appends at once. The constraints of the log are the check.
pub(super) async fn optimistic(
    log: &mut LogAccess<'_>,
    (clock, most_holds): (&LogClock, usize),
    sets: &[&CommandSet],
    sent: &mut SentVersions,
    limit: Limit,
) -> Result<Finished, Failure> {
    let context = DecisionContext::new(most_holds).cached(log, sets, limit).await?;
    let decided = async {
        let context = context.with_facts(log, sets).await?.at_present(clock, sets);
        let all = sets.iter().copied().enumerate();
        // No outcome is looked up: the unique key refuses one that exists.
        let mut batch = decide_batch(&context, all, |_| false)?;
        // Before the append, which commits at once.
        if is_stale(log.connection, &context, &batch, sets).await? {
            return Err(Failure::StaleState);
        }
        let append = std::mem::take(&mut batch.changes.append);
        let events = append_batch(log.connection, append, &context, sets, sent).await?;
        Ok(Finished::new(context, batch, events))
    };
    limit.of(decided).await
}

/// Locks the partitions, looks up prior outcomes, decides the other commands on what is in the log,
/// appends and commits. `sent` is of earlier attempts.
pub(super) async fn pessimistic(
    log: &mut LogAccess<'_>,
    (clock, most_holds): (&LogClock, usize),
    sets: &[&CommandSet],
    sent: &mut SentVersions,
) -> Result<Finished, Failure> {
    let LogAccess { partitions, snapshots, .. } = *log;
    let mut transaction = log.connection.begin().await?;
    let mut touched: Vec<_> = sets.iter().flat_map(|set| set.partitions()).collect();
    touched.sort_unstable();
    touched.dedup();
    // Locked before anything is read: other instances append to these partitions, too.
    lock_heads(&mut transaction, &touched).await?;

    let mut locked =
        LogAccess { connection: &mut transaction, partitions, snapshots, caches: log.caches };
    let context = DecisionContext::new(most_holds).restricted(&mut locked, sets).await?;
    let mut prior = Prior::find(&mut locked, sets, sent, &context).await?;
    let open = prior.open();
    let undecided: Vec<&CommandSet> = open.iter().map(|(_, set)| *set).collect();
    let taken_ids = std::mem::take(&mut prior.outcomes.taken_ids);
    let context = context.locked(&mut locked, &undecided, taken_ids).await?;
    let context = context.at_present(clock, &undecided);
    let mut batch = decide_batch(&context, open.into_iter(), |place| prior.has(place))?;
    batch.aborted.iter().for_each(|index| prior.abort_known(*index));
    let mut append = std::mem::take(&mut batch.changes.append);
    append.keys.extend(prior.outcomes.take_keys());
    let events = append_batch(&mut transaction, append, &context, &undecided, sent).await?;
    // Replayed answers wait for the commit as well: the standbys have what they are built from
    // then.
    transaction.commit().await?;

    let mut finished = Finished::new(context, batch, events);
    // Outcomes never change: the locks are free while the answers are rebuilt.
    let answers = prior.outcomes.answers(log).await;
    // The batch is durable: no error may say that nothing was appended.
    let lost = |error: sqlx::Error| Failure::Lost(store_error::reason(&error));
    finished.results.extend(answers.map_err(lost)?);
    Ok(finished)
}

async fn append_batch(
    connection: &mut PgConnection,
    rows: Append,
    context: &DecisionContext,
    sets: &[&CommandSet],
    sent: &mut SentVersions,
) -> Result<Vec<Arc<RecordedEvent>>, Failure> {
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    // Noted before the append, whose answer may be lost. The first version stays, because any
    // attempt may be the one that was appended.
    for (account_id, (_, loaded)) in &context.states {
        sent.entry(*account_id).or_insert(loaded.version);
    }
    let started = Instant::now();
    let events = append(connection, rows).await?;
    let commands = sets.iter().map(|set| set.commands.len()).sum();
    metrics::appended(events.len(), commands, started.elapsed());
    Ok(events)
}
