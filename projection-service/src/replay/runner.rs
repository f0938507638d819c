//! The task that runs what was asked for. Every instance has one; a lock in the database lets one work at a time, and
//! another take over when it is gone.

use std::time::Duration;

use passbook_shared::fault::Fault;
use passbook_shared::shutdown::CancellationToken;
use passbook_shared::store_error;
use sqlx::PgConnection;
use tokio::time::{MissedTickBehavior, interval};

use super::error::ReplayError;
use super::progress::Progress;
use super::rebuild::{self, Rebuild};
use super::{Ground, rewind};
use crate::store::checkpoints;
use crate::store::generations::{self, Generation};
use crate::store::replay_target::ReplayTarget;
use crate::store::replays::{self, Replay, State};

/// How often to look whether something was asked for.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// How often it is told how far a replay is.
const TELL_EVERY: Duration = Duration::from_millis(500);
/// How often that goes to the log, in such times.
const LOG_EVERY: u32 = 10;
/// Before another try.
const RETRY: Duration = Duration::from_secs(1);

static UNSEEN: Fault =
    Fault::new("replays can't be looked for, or the one that is open can't go on");
static WAITS: Fault = Fault::new("a replay waits");

/// Runs replays until the shutdown. One that is under way then goes on at the next start.
pub async fn run(ground: Ground, shutdown: CancellationToken) -> anyhow::Result<()> {
    let mut connection = None;
    while !shutdown.is_cancelled() {
        let looked = tokio::select! {
            looked = look(&ground, &mut connection) => looked,
            () = shutdown.cancelled() => break,
        };
        if let Err(error) = looked {
            UNSEEN.occurred(store_error::reason(&error));
            connection = None;
        } else {
            UNSEEN.ended();
        }
        tokio::select! { () = tokio::time::sleep(LOOK_EVERY) => {}, () = shutdown.cancelled() => {} }
    }
    Ok(())
}

/// Runs what is to be run, if this instance may.
async fn look(ground: &Ground, kept: &mut Option<PgConnection>) -> sqlx::Result<()> {
    let connection = match kept {
        Some(connection) => connection,
        none => none.insert(ground.connect().await?),
    };
    let Some(replay) = replays::next(&mut *connection).await? else { return Ok(()) };
    // The lock is let go with a connection of its own: whatever ends this, another may take over.
    let mut lock = ground.connect().await?;
    if replays::try_run_alone(&mut lock).await? {
        work(ground, connection, &replay).await?;
    }
    Ok(())
}

/// Brings a replay to its end.
async fn work(ground: &Ground, connection: &mut PgConnection, replay: &Replay) -> sqlx::Result<()> {
    let id = replay.replay_id;
    let from = serde_json::to_string(&replay.asked_for).unwrap_or_default();
    tracing::info!(replay.id = %id, from,  state = replay.state.as_str(), "replaying");
    let mut waits_for = None;
    let error = loop {
        // What it is now: an earlier run may have made its generation.
        let Some(replay) = replays::find(&mut *connection, id).await? else { return Ok(()) };
        if replay.cancel {
            break Some(ReplayError::Cancelled);
        }
        let done = applied(ground, &replay).await?;
        let progress = Progress::new(done, replay.events_from_log);
        let ended = tokio::select! {
            ended = attempt(ground, &progress, &replay) => ended,
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

/// How many events a replay that was begun before has applied.
async fn applied(ground: &Ground, replay: &Replay) -> sqlx::Result<i64> {
    match (&replay.asked_for, replay.generation) {
        (ReplayTarget::Beginning | ReplayTarget::Generation(_), Some(generation)) => {
            let mut building = ground.connect_to(Generation(generation)).await?;
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

async fn attempt(ground: &Ground, progress: &Progress, replay: &Replay) -> Result<(), ReplayError> {
    let given = match &replay.asked_for {
        ReplayTarget::Beginning => None,
        ReplayTarget::Generation(generation) => Some(*generation),
        ReplayTarget::Time(_) | ReplayTarget::PartitionOffsets(_) | ReplayTarget::AccountId(_) => {
            let mut connection = ground.connect().await?;
            let live = generations::live(&mut connection).await?;
            replays::begin(&mut connection, replay.replay_id, live).await?;
            return again(ground, progress, &replay.asked_for).await;
        }
    };
    let generation = rebuild::generation(ground, replay, given).await?;
    Rebuild::new(ground, progress, replay, generation).await?.run().await
}

async fn again(
    ground: &Ground,
    progress: &Progress,
    asked_for: &ReplayTarget,
) -> Result<(), ReplayError> {
    let back = match asked_for {
        ReplayTarget::Time(moment) => rewind::to_time(ground, *moment).await?,
        ReplayTarget::PartitionOffsets(offsets) => rewind::to_offsets(ground, offsets).await?,
        ReplayTarget::AccountId(account_id) => {
            return rewind::account(ground, progress, *account_id).await;
        }
        ReplayTarget::Beginning | ReplayTarget::Generation(_) => return Ok(()),
    };
    rewind::partitions(ground, progress, &back).await
}

/// Tells how far it is until it is dropped, or the database can't be told.
async fn tell(
    connection: &mut PgConnection,
    replay: &Replay,
    progress: &Progress,
    waits_for: Option<&str>,
) -> sqlx::Error {
    let mut ticks = interval(TELL_EVERY);
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
                replay.id = %replay.replay_id, done = figures.done, total = figures.total, per_second, "replaying"
            );
        }
    }
    std::future::pending().await
}

/// Drops what a replay that came to nothing has built; a generation it was to take up again stays.
async fn discard(connection: &mut PgConnection, id: uuid::Uuid) -> sqlx::Result<()> {
    let Some(replay) = replays::find(&mut *connection, id).await? else { return Ok(()) };
    if let (ReplayTarget::Beginning, Some(generation)) = (replay.asked_for, replay.generation) {
        let mut transaction = sqlx::Connection::begin(connection).await?;
        generations::discard(&mut transaction, Generation(generation)).await?;
        transaction.commit().await?;
    }
    Ok(())
}
