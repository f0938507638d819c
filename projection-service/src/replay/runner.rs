//! Task that runs replays. Every instance has one. A lock in the database lets one of them work at
//! a time, and lets another take over when that instance ends.

use std::time::Duration;

use passbook_shared::fault::Fault;
use passbook_shared::shutdown::CancellationToken;
use passbook_shared::store_error;
use sqlx::PgConnection;
use tokio::time::{MissedTickBehavior, interval};

use super::error::ReplayError;
use super::progress::Progress;
use super::rebuild::{self, Rebuild};
use super::{ReplayDeps, rewind};
use crate::store::checkpoints;
use crate::store::generations::{self, Generation};
use crate::store::replay_target::ReplayTarget;
use crate::store::replays::{self, Replay, State};

/// Interval of checks for requested replays.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// Interval at which progress is stored.
const TELL_EVERY: Duration = Duration::from_millis(500);
/// Number of such intervals between two log lines.
const LOG_EVERY: u32 = 10;
/// Pause before a retry.
const RETRY: Duration = Duration::from_secs(1);

static UNSEEN: Fault = Fault::new("replays can't be found, or the open one can't continue");
static WAITS: Fault = Fault::new("a replay waits");

/// Runs replays until the shutdown. An unfinished replay continues at the next start.
pub async fn run(deps: ReplayDeps, shutdown: CancellationToken) -> anyhow::Result<()> {
    let mut connection = None;
    while !shutdown.is_cancelled() {
        let looked = tokio::select! {
            looked = look(&deps, &mut connection) => looked,
            () = shutdown.cancelled() => break,
        };
        if let Err(error) = looked {
            UNSEEN.occurred(store_error::reason(&error));
            connection = None;
        } else {
            UNSEEN.ended();
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK_EVERY) => {},
            () = shutdown.cancelled() => {},
        }
    }
    Ok(())
}

/// Runs the next replay, if there is one and no other instance is running replays.
async fn look(deps: &ReplayDeps, kept: &mut Option<PgConnection>) -> sqlx::Result<()> {
    let connection = match kept {
        Some(connection) => connection,
        none => none.insert(deps.connect().await?),
    };
    let Some(replay) = replays::next(&mut *connection).await? else { return Ok(()) };
    // The end of this separate connection always releases the lock, so another instance can take
    // over.
    let mut lock = deps.connect().await?;
    if replays::try_run_alone(&mut lock).await? {
        work(deps, connection, &replay).await?;
    }
    Ok(())
}

/// Runs a replay to its end, retrying after transient errors.
async fn work(
    deps: &ReplayDeps,
    connection: &mut PgConnection,
    replay: &Replay,
) -> sqlx::Result<()> {
    let id = replay.replay_id;
    let from = serde_json::to_string(&replay.asked_for).unwrap_or_default();
    tracing::info!(replay.id = %id, from,  state = replay.state.as_str(), "replaying");
    let mut waits_for = None;
    let error = loop {
        // An earlier attempt may have created the generation, so the replay is read again.
        let Some(replay) = replays::find(&mut *connection, id).await? else { return Ok(()) };
        if replay.cancel {
            break Some(ReplayError::Cancelled);
        }
        let done = applied(deps, &replay).await?;
        let progress = Progress::new(done, replay.events_from_log);
        let ended = tokio::select! {
            ended = attempt(deps, &progress, &replay) => ended,
            error = tell(connection, &replay, &progress, waits_for.as_deref()) => return Err(error),
        };
        replays::advance(&mut *connection, id, progress.figures(), None).await?;
        match ended {
            Ok(()) => break None,
            Err(error) if error.may_pass() => {
                WAITS.occurred(format_args!("replay {id}: {error}"));
                waits_for = Some(error.to_string());
                if replays::advance(&mut *connection, id, progress.figures(), waits_for.as_deref())
                    .await?
                {
                    break Some(ReplayError::Cancelled);
                }
                tokio::time::sleep(RETRY).await;
            }
            Err(error) => break Some(error),
        }
    };
    if error.is_some() {
        // The drop precedes the final state, so a crash leaves no generation without an open
        // replay.
        discard(connection, id).await?;
    }
    let (state, text) = match &error {
        None => (State::Done, None),
        Some(ReplayError::Cancelled) => (State::Cancelled, None),
        Some(error) => (State::Failed, Some(error.to_string())),
    };
    tracing::info!(replay.id = %id, state = state.as_str(), error = text, "a replay has ended");
    replays::end(connection, id, state, text.as_deref()).await
}

/// Returns the number of events that earlier runs of a replay applied.
async fn applied(deps: &ReplayDeps, replay: &Replay) -> sqlx::Result<i64> {
    match (&replay.asked_for, replay.generation) {
        (ReplayTarget::Beginning | ReplayTarget::Generation(_), Some(generation)) => {
            let mut building = deps.connect_to(Generation(generation)).await?;
            Ok(checkpoints::all(&mut building)
                .await?
                .iter()
                .map(|checkpoint| checkpoint.position)
                .sum())
        }
        (ReplayTarget::Beginning | ReplayTarget::Generation(_), None)
        | (
            ReplayTarget::Time(_) | ReplayTarget::PartitionOffsets(_) | ReplayTarget::AccountId(_),
            _,
        ) => Ok(0),
    }
}

async fn attempt(
    deps: &ReplayDeps,
    progress: &Progress,
    replay: &Replay,
) -> Result<(), ReplayError> {
    let given = match &replay.asked_for {
        ReplayTarget::Beginning => None,
        ReplayTarget::Generation(generation) => Some(*generation),
        ReplayTarget::Time(_) | ReplayTarget::PartitionOffsets(_) | ReplayTarget::AccountId(_) => {
            let mut connection = deps.connect().await?;
            let live = generations::live(&mut connection).await?;
            replays::begin(&mut connection, replay.replay_id, live).await?;
            return again(deps, progress, &replay.asked_for).await;
        }
    };
    let generation = rebuild::generation(deps, replay, given).await?;
    Rebuild::new(deps, progress, replay, generation).await?.run().await
}

async fn again(
    deps: &ReplayDeps,
    progress: &Progress,
    asked_for: &ReplayTarget,
) -> Result<(), ReplayError> {
    let back = match asked_for {
        ReplayTarget::Time(moment) => rewind::to_time(deps, *moment).await?,
        ReplayTarget::PartitionOffsets(offsets) => rewind::to_offsets(deps, offsets).await?,
        ReplayTarget::AccountId(account_id) => {
            return rewind::account(deps, progress, *account_id).await;
        }
        ReplayTarget::Beginning | ReplayTarget::Generation(_) => return Ok(()),
    };
    rewind::partitions(deps, progress, &back).await
}

/// Stores progress until dropped; returns only on an error of the database.
async fn tell(
    connection: &mut PgConnection,
    replay: &Replay,
    progress: &Progress,
    waits_for: Option<&str>,
) -> sqlx::Error {
    let mut ticks = interval(TELL_EVERY);
    // After a slow query, missed ticks would otherwise follow at once.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for n in 0_u32.. {
        ticks.tick().await;
        let figures = progress.figures();
        match replays::advance(&mut *connection, replay.replay_id, figures, waits_for).await {
            Ok(false) => {}
            Ok(true) => progress.cancel(),
            Err(error) => return error,
        }
        if n % LOG_EVERY == LOG_EVERY - 1 {
            let per_second = figures.per_second.round();
            tracing::info!(
                replay.id = %replay.replay_id,
                done = figures.done,
                total = figures.total,
                per_second,
                "replaying"
            );
        }
    }
    std::future::pending().await
}

/// Drops the generation that a failed replay built. Keeps a generation that the request named.
async fn discard(connection: &mut PgConnection, id: uuid::Uuid) -> sqlx::Result<()> {
    let Some(replay) = replays::find(&mut *connection, id).await? else { return Ok(()) };
    if let (ReplayTarget::Beginning, Some(generation)) = (replay.asked_for, replay.generation) {
        let mut transaction = sqlx::Connection::begin(connection).await?;
        generations::discard(&mut transaction, Generation(generation)).await?;
        transaction.commit().await?;
    }
    Ok(())
}
