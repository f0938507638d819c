//! One lane: takes whatever has queued, decides it on the states it knows, appends it in one round trip, answers.
//!
//! The common batch only inserts; the constraints are the check. When one of them refuses, or a connection breaks and
//! it is not known whether the batch was done, the lane looks first: see [`super::look_first`].

use std::collections::HashSet;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use passbook_shared::recorded_event::RecordedEvent;
use passbook_shared::store_error::{is_connection_lost, is_unavailable, violated_constraint};
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection, PgConnection};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::{Instant, sleep, timeout, timeout_at};
use uuid::Uuid;

use super::batch::{Batch, Finished};
use super::cache::Cache;
use super::look_first::{Sent, look_first};
use super::request::{CommandError, Pending};
use crate::config::Config;
use crate::domain::Command;
use crate::log::append::append;
use crate::log::load::{Loaded, Wanted, load};
use crate::log::snapshots::Snapshot;
use crate::metrics;

/// How many commands' accounts are loaded at once: what one load has brought is kept, should the next be cut off.
const LOADED_AT_ONCE: usize = 64;
/// How often a batch looks first before its commands have lost the race.
const ATTEMPTS: u32 = 3;
const RECONNECT_PAUSE: Duration = Duration::from_millis(50);
/// Fewer commands than this wait for another lane's append: at 64 clients over HTTP it is worth a tenth of the throughput.
const MANY: usize = 24;
/// How long they wait at most.
const LONGEST_GATHERING: Duration = Duration::from_millis(5);

/// What lanes need to know.
#[derive(Debug, Clone)]
pub struct LaneConfig {
    /// How many there are.
    pub lanes: usize,
    /// Where Postgres is, and the settings of the lane's connection.
    pub connect: PgConnectOptions,
    /// The most commands that may wait.
    pub queue: usize,
    /// The most commands in one append.
    pub max_batch: usize,
    /// What its cache may hold, in bytes.
    pub cache_bytes: u64,
    /// How long a batch may take, breaks of the connection included, before its senders get an error.
    pub patience: Duration,
    /// After how many events of an account a snapshot is written.
    pub snapshot_every: i64,
}

impl LaneConfig {
    /// How long one attempt may take: half of the time, so that there is some left to ask again if it hangs.
    fn attempt(&self) -> Duration {
        self.patience / 2
    }
}

impl From<&Config> for LaneConfig {
    fn from(config: &Config) -> Self {
        // A lane's queries are all by key, and one of them is nearly all there is: plan it once.
        let connect = config.database_url.clone().application_name("passbook-lane").options([
            ("plan_cache_mode", "force_generic_plan"),
            ("enable_seqscan", "off"),
            ("jit", "off"),
            ("idle_in_transaction_session_timeout", "5s"),
            // What is given up here is to end there too, and not to hold locks.
            ("statement_timeout", &format!("{}ms", (config.store_patience() / 2 * 9 / 10).as_millis())),
        ]);
        Self {
            lanes: config.lanes.into(),
            connect,
            queue: config.lane_queue as usize,
            max_batch: config.lane_batch as usize,
            cache_bytes: config.lane_cache_mib * 1024 * 1024,
            patience: config.store_patience(),
            snapshot_every: config.snapshot_every,
        }
    }
}

#[derive(Debug)]
pub(super) struct Lane {
    pub(super) name: String,
    pub(super) config: LaneConfig,
    pub(super) queue: mpsc::Receiver<Pending>,
    pub(super) relay: mpsc::Sender<Vec<Arc<RecordedEvent>>>,
    pub(super) snapshots: mpsc::Sender<Snapshot>,
    pub(super) cache: Cache,
    pub(super) connection: Option<PgConnection>,
    /// Postgres could not be reached the last time.
    pub(super) down: bool,
    /// Of the lanes: one with few commands appends while no other with few does.
    pub(super) turn: Arc<Semaphore>,
}

/// Why an attempt did not succeed.
#[derive(Debug)]
pub(super) enum Failure {
    /// A state was not current: nothing was done.
    Outrun,
    /// The connection is of no more use; what was sent may have been done.
    Lost,
    /// Postgres answers, and says that it can't work now: nothing was done.
    Unavailable,
    /// A defect: nothing was done.
    Defect,
}

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        if violated_constraint(&error).is_some() {
            tracing::debug!(%error, "a batch was outrun");
            Self::Outrun
        } else if is_connection_lost(&error) {
            tracing::warn!(%error, "a lane lost its connection to Postgres");
            Self::Lost
        } else if is_unavailable(&error) {
            tracing::warn!(%error, "Postgres can't append now");
            Self::Unavailable
        } else {
            tracing::error!(%error, "a batch failed");
            Self::Defect
        }
    }
}

/// How far a batch has come.
#[derive(Debug, Default)]
struct Progress {
    /// What was decided; kept to be sent again, the same, if the connection breaks.
    batch: Option<Batch>,
    /// What was sent; nothing if nothing was.
    sent: Sent,
    /// What was sent may have been done: the connection broke before an answer came.
    in_doubt: bool,
    look_first: bool,
    outrun: u32,
}

impl Lane {
    /// Works until nobody can send any more.
    pub(super) async fn run(mut self) -> anyhow::Result<()> {
        let mut waiting = Vec::with_capacity(self.config.max_batch);
        while self.queue.recv_many(&mut waiting, self.config.max_batch).await > 0 {
            let _turn = self.gather(&mut waiting).await;
            metrics::lane_queue(&self.name, self.queue.len());
            // Whoever has gone away before anything was done need not be served.
            let here = waiting.drain(..).filter(|pending| !pending.reply.is_closed()).collect();
            let deadline = Instant::now() + self.config.patience;
            let (now, mut repeats) = split_repeats(here);
            self.work(now, false, deadline).await;
            while !repeats.is_empty() && !self.down {
                repeats = self.work(repeats, true, deadline).await;
            }
            for pending in repeats {
                answer(pending, Err(CommandError::StoreUnavailable));
            }
            if self.down {
                while let Ok(pending) = self.queue.try_recv() {
                    answer(pending, Err(CommandError::StoreUnavailable));
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
    async fn work(&mut self, pending: Vec<Pending>, look_first: bool, deadline: Instant) -> Vec<Pending> {
        if pending.is_empty() {
            return pending;
        }
        let mut progress = Progress { look_first, ..Progress::default() };
        let error = loop {
            if !self.connect(deadline).await {
                break CommandError::StoreUnavailable;
            }
            let attempt = timeout(self.config.attempt(), self.attempt(&pending, &mut progress)).await;
            match attempt.unwrap_or(Err(Failure::Lost)) {
                Ok(finished) => return self.settle(pending, finished),
                // What was loaded until then is kept: the next attempt goes on from there.
                Err(Failure::Lost) if progress.sent.is_empty() => self.connection = None,
                Err(Failure::Lost) => {
                    progress.in_doubt = true;
                    self.connection = None;
                    self.cache.forget_all();
                }
                Err(Failure::Outrun) if progress.outrun < ATTEMPTS => {
                    pending.iter().for_each(|pending| self.cache.forget(pending.request.account_id));
                    // It is certain that nothing of this attempt was done.
                    let sent = if progress.in_doubt { progress.sent } else { Sent::default() };
                    let outrun = progress.outrun + 1;
                    progress = Progress { sent, in_doubt: progress.in_doubt, look_first: true, outrun, batch: None };
                    metrics::batch_outrun();
                }
                Err(Failure::Outrun) => break CommandError::Conflict,
                Err(Failure::Unavailable) => break CommandError::StoreUnavailable,
                Err(Failure::Defect) => break CommandError::Internal,
            }
        };
        // Whatever the last attempt met with, an earlier one may have been done.
        let error = if progress.in_doubt { CommandError::OutcomeUnknown } else { error };
        // It may be in the middle of a transaction, and hold locks.
        self.connection = None;
        for pending in pending {
            self.cache.forget(pending.request.account_id);
            answer(pending, Err(error.clone()));
        }
        Vec::new()
    }

    /// Whether there is a connection; made now, if need be and possible before the deadline.
    async fn connect(&mut self, deadline: Instant) -> bool {
        while self.connection.is_none() {
            if Instant::now() >= deadline {
                return false;
            }
            match timeout_at(deadline, PgConnection::connect_with(&self.config.connect)).await {
                Ok(Ok(connection)) => {
                    self.connection = Some(connection);
                    self.down = false;
                }
                Ok(Err(_)) if !self.down && Instant::now() + RECONNECT_PAUSE < deadline => sleep(RECONNECT_PAUSE).await,
                refused => {
                    if !self.down {
                        let error = refused.ok().and_then(Result::err).map(|error| error.to_string());
                        tracing::warn!(lane = self.name, error, "a lane can't reach Postgres");
                    }
                    self.down = true;
                    return false;
                }
            }
        }
        true
    }

    async fn attempt(&mut self, pending: &[Pending], progress: &mut Progress) -> Result<Finished, Failure> {
        let connection = self.connection.as_mut().ok_or(Failure::Lost)?;
        if progress.look_first {
            return look_first(connection, pending, &mut progress.sent, &self.snapshots).await;
        }
        let batch = match &mut progress.batch {
            Some(batch) => batch,
            none => none.insert(decide(connection, &mut self.cache, pending, &self.snapshots).await?),
        };
        if !batch.append.is_empty() {
            batch.note_sent(&mut progress.sent);
            let started = Instant::now();
            append(connection, &mut batch.append).await?;
            metrics::appended(batch.append.events.len(), pending.len(), started.elapsed());
        }
        Ok(progress.batch.take().unwrap_or_default().finish())
    }

    /// Hands on what is durable, and answers; gives back what was not decided.
    fn settle(&mut self, pending: Vec<Pending>, finished: Finished) -> Vec<Pending> {
        let mut pending: Vec<Option<Pending>> = pending.into_iter().map(Some).collect();
        for (index, result) in finished.results {
            if let Some(pending) = pending.get_mut(index).and_then(Option::take) {
                answer(pending, result);
            }
        }
        if !finished.events.is_empty() {
            // If the relay is behind, it reads them from the log.
            let _ = self.relay.try_send(finished.events);
        }
        for (account_id, partition, loaded, before) in finished.states {
            if loaded.version / self.config.snapshot_every > before / self.config.snapshot_every {
                let _ = self.snapshots.try_send(Snapshot { partition, account_id, loaded: loaded.clone() });
            }
            self.cache.keep(account_id, loaded);
        }
        pending.into_iter().flatten().collect()
    }
}

/// Decides commands on the states the lane knows; those it does not, it loads.
async fn decide(
    connection: &mut PgConnection,
    cache: &mut Cache,
    pending: &[Pending],
    snapshots: &mpsc::Sender<Snapshot>,
) -> Result<Batch, Failure> {
    let mut batch = Batch::default();
    for Pending { request, partition, .. } in pending {
        let id = request.account_id;
        match (cache.get(id), &request.command) {
            _ if batch.knows(id) => {}
            (Some(loaded), _) => batch.know(id, *partition, loaded.clone()),
            // An opening is nearly always of a new account; if not, the unique version says so.
            (None, Command::Open(_)) => batch.know(id, *partition, Loaded::default()),
            (None, _) => {}
        }
    }
    for some in pending.chunks(LOADED_AT_ONCE) {
        load_into(connection, &mut batch, some.iter(), snapshots, |id, loaded| cache.keep(id, loaded.clone())).await?;
    }
    pending.iter().enumerate().for_each(|(index, pending)| batch.decide(index, pending));
    Ok(batch)
}

/// Loads the accounts of commands that a batch does not know yet; one that can't be read stays unknown to it.
pub(super) async fn load_into(
    connection: &mut PgConnection,
    batch: &mut Batch,
    pending: impl Iterator<Item = &Pending>,
    snapshots: &mpsc::Sender<Snapshot>,
    mut keep: impl FnMut(Uuid, &Loaded),
) -> Result<(), Failure> {
    let mut seen = HashSet::new();
    let wanted: Vec<Wanted> = pending
        .map(|Pending { request, partition, .. }| (request.account_id, *partition))
        .filter(|(id, _)| !batch.knows(*id) && seen.insert(*id))
        .map(|(account_id, partition)| Wanted { partition, account_id, version: i64::MAX })
        .collect();
    if wanted.is_empty() {
        return Ok(());
    }
    for (result, wanted) in load(connection, &wanted, Some(snapshots)).await?.into_iter().zip(wanted) {
        match result {
            Ok(loaded) => {
                keep(wanted.account_id, &loaded);
                batch.know(wanted.account_id, wanted.partition, loaded);
            }
            Err(error) => tracing::error!(%error, "an account can't be loaded"),
        }
    }
    Ok(())
}

fn answer(pending: Pending, result: super::batch::Result) {
    metrics::command(pending.request.command.name(), &result);
    // A sender that has gone away can ask again with its key.
    let _ = pending.reply.send(result);
}

/// The commands in order, without those whose key another one before them has; and those.
fn split_repeats(pending: Vec<Pending>) -> (Vec<Pending>, Vec<Pending>) {
    let mut seen = HashSet::new();
    pending
        .into_iter()
        .partition(|pending| pending.key().is_none_or(|key| seen.insert((pending.request.account_id, key.to_owned()))))
}
