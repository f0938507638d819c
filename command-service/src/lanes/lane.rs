//! One lane: takes whatever has queued, decides it on the states it knows, appends it in one round trip, answers.
//!
//! The common batch only inserts; the constraints are the check. When one of them refuses, or a connection breaks and
//! it is not known whether the batch was done, the lane looks first: see [`super::look_first`].

use std::collections::HashSet;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use passbook_shared::partition::Partition;
use passbook_shared::store_error::{self, is_connection_lost, is_unavailable, violated_constraint};
use sqlx::{Connection, PgConnection};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::batch::{Batch, Finished};
use super::cache::Kind;
use super::config::LaneConfig;
use super::look_first::{Sent, look_first};
use super::request::Pending;
use super::shelves::{Held, Shelves};
use super::states::decide;
use crate::log::append::{Appended, append};
use crate::log::clock::LogClock;
use crate::log::snapshots::{Snapshot, Snapshots};
use crate::metrics;
use crate::outcome::{CommandError, CommandResult};

/// How often a batch looks first before its commands have lost the race.
const ATTEMPTS: u32 = 3;
const RECONNECT_PAUSE: Duration = Duration::from_millis(50);
/// Fewer commands than this wait for another lane's append: at 64 clients over HTTP it is worth a tenth of the throughput.
const MANY: usize = 24;
/// How long they wait at most.
const LONGEST_GATHERING: Duration = Duration::from_millis(5);

#[derive(Debug)]
pub(super) struct Lane {
    pub(super) name: String,
    pub(super) config: LaneConfig,
    pub(super) queue: mpsc::UnboundedReceiver<Pending>,
    /// Of the log.
    pub(super) partitions: Partition,
    pub(super) clock: LogClock,
    pub(super) relay: mpsc::Sender<Appended>,
    pub(super) snapshots: Snapshots,
    pub(super) shelves: Shelves,
    pub(super) connection: Option<PgConnection>,
    /// When it was made.
    pub(super) connected: Instant,
    /// Postgres could not be reached the last time.
    pub(super) down: bool,
    /// Why Postgres could not be used, the last time that it could not.
    pub(super) why: Arc<str>,
    /// Most of the last batch had been done before, as when an import is sent again: the next one looks first.
    pub(super) expects_repeats: bool,
    /// Of the lanes: one with few commands appends while no other with few does.
    pub(super) turn: Arc<Semaphore>,
}

/// Why an attempt did not succeed.
#[derive(Debug)]
pub(super) enum Failure {
    /// A state was not current: nothing was done.
    Outrun,
    /// The connection is of no more use, and why; what was sent may have been done.
    Lost(String),
    /// Postgres answers, and says why it can't work now: nothing was done.
    Unavailable(String),
    /// A partition of the log is forked: nothing was done.
    Forked,
    /// A defect: nothing was done.
    Defect,
}

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        if violated_constraint(&error) == Some("log_is_not_forked") {
            Self::Forked
        } else if violated_constraint(&error).is_some() {
            tracing::debug!(%error, "a batch was outrun");
            Self::Outrun
        } else if is_connection_lost(&error) {
            Self::Lost(store_error::reason(&error))
        } else if is_unavailable(&error) {
            Self::Unavailable(store_error::reason(&error))
        } else {
            tracing::error!(%error, "a batch failed");
            Self::Defect
        }
    }
}

/// How far a batch has come.
#[derive(Debug, Default)]
struct Progress {
    /// What was sent; nothing if nothing was.
    sent: Sent,
    /// What was sent may have been done: the connection broke before an answer came.
    in_doubt: bool,
    look_first: bool,
    outrun: u32,
    /// The attempt took too long, and had sent nothing: what it had loaded is kept, the next one goes on from there.
    was_late: bool,
}

impl Lane {
    /// Works until nobody can send any more.
    pub(super) async fn run(mut self) -> anyhow::Result<()> {
        let mut waiting = Vec::with_capacity(self.config.max_batch);
        while self.queue.recv_many(&mut waiting, self.config.max_batch).await > 0 {
            let _turn = self.gather(&mut waiting).await;
            metrics::lane_queue(&self.name, self.queue.len());
            // Whoever has gone away before anything was done need not be served.
            let here: Vec<Pending> =
                waiting.drain(..).filter(|pending| !pending.reply.is_closed()).collect();
            let deadline = Instant::now() + self.config.patience;
            let (now, mut repeats) = split_repeats(here);
            let touched =
                now.iter().chain(&repeats).flat_map(Pending::accounts).map(|account| account.1);
            // As long as these are held, the states in them are current, and the relay gets events in their order.
            let Ok(mut held) = timeout_at(deadline, self.shelves.hold(touched)).await else {
                let held = CommandError::StoreUnavailable(
                    "earlier commands on these accounts wait for it".into(),
                );
                now.into_iter().chain(repeats).for_each(|pending| fail(pending, &held));
                continue;
            };
            self.work(now, &mut held, false, deadline).await;
            while !repeats.is_empty() && !self.down {
                repeats = self.work(repeats, &mut held, true, deadline).await;
            }
            repeats.into_iter().for_each(|pending| fail(pending, &self.unavailable()));
            if self.down {
                while let Ok(pending) = self.queue.try_recv() {
                    fail(pending, &self.unavailable());
                }
            }
        }
        Ok(())
    }

    /// Lets a few commands wait while another lane appends, and more join them: two small commits one after the other
    /// cost the processor twice what one does. Many go at once, beside the other lane's.
    async fn gather(&mut self, waiting: &mut Vec<Pending>) -> Option<OwnedSemaphorePermit> {
        let mut turn = pin!(timeout(LONGEST_GATHERING, Arc::clone(&self.turn).acquire_owned()));
        while waiting.len() < MANY {
            let room = self.config.max_batch - waiting.len();
            tokio::select! {
                biased;
                turn = &mut turn => return turn.ok()?.ok(),
                more = self.queue.recv_many(waiting, room), if room > 0 => if more == 0 { break },
            }
        }
        None
    }

    /// Brings a batch to its end. Unless it looks first, no key is in it twice; if it does, what repeats a key that was
    /// not known is given back.
    async fn work(
        &mut self,
        mut pending: Vec<Pending>,
        held: &mut Held,
        look_first: bool,
        deadline: Instant,
    ) -> Vec<Pending> {
        let look_first = look_first || self.expects_repeats;
        let mut progress = Progress { look_first, ..Progress::default() };
        let error = loop {
            pending = self.refuse_forked(pending, progress.in_doubt);
            if pending.is_empty() {
                return pending;
            }
            if !self.connect(held, progress.was_late, deadline).await {
                break self.unavailable();
            }
            let attempt =
                timeout(self.config.attempt(), self.attempt(&pending, held, &mut progress)).await;
            // One that looks first loads nothing that the next could go on from.
            progress.was_late = attempt.is_err() && !progress.look_first;
            match attempt.unwrap_or_else(|_| {
                Err(Failure::Lost("Postgres does not answer in time".to_owned()))
            }) {
                Ok(finished) => {
                    self.config.writes.succeeded();
                    let repeats =
                        finished.results.iter().filter(|(_, result)| is_repeat(result)).count();
                    self.expects_repeats = 2 * repeats > finished.results.len();
                    return self.settle(pending, held, finished);
                }
                Err(Failure::Lost(why)) => {
                    self.lose(why);
                    // What was sent may have been done; or it was, and a backup without it has been restored since.
                    progress.in_doubt |= !progress.sent.is_empty();
                    progress.look_first |= progress.in_doubt;
                    progress.was_late &= !progress.in_doubt;
                }
                Err(Failure::Outrun) if progress.outrun < ATTEMPTS => {
                    forget(held, &pending);
                    // It is certain that nothing of this attempt was done.
                    let sent = if progress.in_doubt { progress.sent } else { Sent::default() };
                    let outrun = progress.outrun + 1;
                    progress = Progress { sent, outrun, look_first: true, ..progress };
                    metrics::batch_outrun();
                }
                Err(Failure::Forked) if self.learns_of_fork(&pending).await => {
                    if !progress.in_doubt {
                        progress.sent.clear();
                    }
                }
                // An operator has accepted the restore just now, or Postgres is going.
                Err(Failure::Forked) => {
                    let why = "the log was behind the topic until just now";
                    break CommandError::StoreUnavailable(why.into());
                }
                Err(Failure::Outrun) => break CommandError::Conflict,
                Err(Failure::Unavailable(why)) => {
                    self.lose(why);
                    break self.unavailable();
                }
                Err(Failure::Defect) => break CommandError::Internal,
            }
        };
        // Whatever the last attempt met with, an earlier one may have been done.
        let error = if progress.in_doubt { CommandError::OutcomeUnknown } else { error };
        // It may be in the middle of a transaction, and hold locks.
        self.connection = None;
        forget(held, &pending);
        pending.into_iter().for_each(|pending| fail(pending, &error));
        Vec::new()
    }

    /// Answers what touches a forked partition, and gives back the rest.
    fn refuse_forked(&self, pending: Vec<Pending>, in_doubt: bool) -> Vec<Pending> {
        if !self.config.standing.has_forks() {
            return pending;
        }
        let fork = |pending: &Pending| {
            self.config.standing.fork(pending.accounts().map(|account| account.1))
        };
        let (forked, open): (Vec<_>, Vec<_>) = pending
            .into_iter()
            .map(|pending| (fork(&pending), pending))
            .partition(|(fork, _)| fork.is_some());
        for (fork, pending) in forked {
            let error =
                fork.filter(|_| !in_doubt).map_or(CommandError::OutcomeUnknown, CommandError::from);
            fail(pending, &error);
        }
        open.into_iter().map(|(_, pending)| pending).collect()
    }

    /// Asks the store for its forks. Whether one of them is of a partition that is touched.
    async fn learns_of_fork(&mut self, pending: &[Pending]) -> bool {
        let Some(connection) = self.connection.as_mut() else { return false };
        let asked = timeout(self.config.attempt(), self.config.standing.refresh(connection)).await;
        let touched = pending.iter().flat_map(Pending::accounts).map(|account| account.1);
        matches!(asked, Ok(Ok(()))) && self.config.standing.fork(touched).is_some()
    }

    /// Whether there is a connection; made now, if need be and possible before the deadline. What is known from before it
    /// is forgotten, unless it is kept.
    async fn connect(&mut self, held: &mut Held, keep: bool, deadline: Instant) -> bool {
        while self.connection.is_none() {
            if Instant::now() >= deadline {
                return false;
            }
            match timeout_at(deadline, PgConnection::connect_with(&self.config.connect)).await {
                Ok(Ok(connection)) => {
                    self.connection = Some(connection);
                    self.connected = Instant::now();
                    self.down = false;
                    if !keep {
                        held.forget_all();
                    }
                    held.is_of(self.shelves.begin_era());
                }
                Ok(Err(_)) if !self.down && Instant::now() + RECONNECT_PAUSE < deadline => {
                    sleep(RECONNECT_PAUSE).await
                }
                refused => {
                    let error = refused.unwrap_or(Err(sqlx::Error::PoolTimedOut)).err();
                    self.lose(error.as_ref().map(store_error::reason).unwrap_or_default());
                    self.down = true;
                    return false;
                }
            }
        }
        true
    }

    /// Gives up the connection, and keeps the reason for those who are to read it.
    fn lose(&mut self, why: String) {
        self.config.writes.failed(&why);
        self.why = why.into();
        self.connection = None;
    }

    fn unavailable(&self) -> CommandError {
        CommandError::StoreUnavailable(Arc::clone(&self.why))
    }

    async fn attempt(
        &mut self,
        pending: &[Pending],
        held: &mut Held,
        progress: &mut Progress,
    ) -> Result<Finished, Failure> {
        let connection = self.connection.as_mut().ok_or_else(|| Failure::Lost(String::new()))?;
        if progress.look_first {
            let batch = Batch::new(self.clock.clone(), self.config.most_holds);
            let sent = &mut progress.sent;
            return look_first(
                connection,
                batch,
                held,
                pending,
                self.partitions,
                sent,
                &self.snapshots,
            )
            .await;
        }
        let batch = Batch::new(self.clock.clone(), self.config.most_holds);
        let mut batch = decide(connection, batch, held, pending, &self.snapshots).await?;
        if !batch.append.is_empty() {
            batch.note_sent(&mut progress.sent);
            let started = Instant::now();
            append(connection, &mut batch.append).await?;
            metrics::appended(batch.append.events.len(), pending.len(), started.elapsed());
        }
        Ok(batch.finish())
    }

    /// Hands on what is durable, and answers; gives back what was not decided.
    fn settle(
        &mut self,
        pending: Vec<Pending>,
        held: &mut Held,
        finished: Finished,
    ) -> Vec<Pending> {
        for event in &finished.events {
            self.clock.recorded(event.position.partition, event.recorded_at);
        }
        if !finished.events.is_empty() {
            // If the relay is behind, it reads them from the log.
            let _ = self
                .relay
                .try_send(Appended { events: finished.events, connected: self.connected });
        }
        for (account_id, partition, loaded, before) in finished.states {
            let holds = i64::try_from(loaded.account.open_holds()).unwrap_or(i64::MAX);
            let every = self.config.snapshot_every.max(holds);
            if loaded.version / every > before / every {
                self.snapshots.keep(Snapshot { partition, account_id, loaded: loaded.clone() });
            }
            held.keep(Kind::Newest, account_id, partition, loaded);
        }
        let mut results: Vec<Vec<Option<CommandResult>>> =
            pending.iter().map(|pending| pending.commands.iter().map(|_| None).collect()).collect();
        for ((index, n), result) in finished.results {
            results[index][n] = Some(result);
        }
        let mut undecided = Vec::new();
        for (pending, results) in pending.into_iter().zip(results) {
            match results.into_iter().collect() {
                Some(results) => answer(pending, results),
                None => undecided.push(pending),
            }
        }
        undecided
    }
}

fn is_repeat(result: &CommandResult) -> bool {
    result.as_ref().is_ok_and(|answer| answer.replayed)
}

fn forget(held: &mut Held, pending: &[Pending]) {
    pending
        .iter()
        .flat_map(Pending::accounts)
        .for_each(|(id, partition)| held.forget(id, partition));
}

fn fail(pending: Pending, error: &CommandError) {
    let results = pending.commands.iter().map(|_| Err(error.clone())).collect();
    answer(pending, results);
}

fn answer(pending: Pending, results: Vec<CommandResult>) {
    for (asked, result) in pending.commands.iter().zip(&results) {
        metrics::command(asked.request.command.name(), result);
    }
    // A sender that has gone away can ask again with its key.
    let _ = pending.reply.send(results);
}

/// What is pending in order, without that of which another before it has a name; and that.
fn split_repeats(pending: Vec<Pending>) -> (Vec<Pending>, Vec<Pending>) {
    let mut seen = HashSet::new();
    pending.into_iter().partition(|pending| {
        let own = pending.names();
        let is_first = own.iter().all(|name| !seen.contains(name));
        seen.extend(own);
        is_first
    })
}
