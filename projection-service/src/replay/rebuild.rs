//! Full replay: loads a new generation of the views, compares it with the live generation at the
//! same positions, and switches queries to it. Until the switch, the live generation answers
//! queries and follows the log.
//!
//! The topic is fast to read, but anyone with access to Kafka can write to it. Before the switch,
//! the last event of each partition is therefore compared with the log. Each account that differs
//! from the live generation is rebuilt from the log.

use futures_util::{StreamExt, TryStreamExt, stream};
use passbook_shared::partition::PartitionCount;
use sqlx::{Connection, PgConnection};

use super::error::ReplayError;
use super::partition_loader::PartitionLoader;
use super::progress::Progress;
use super::{Positions, ReplayDeps};
use crate::checkpoint::Checkpoint;
use crate::consumer::judging::OurLog;
use crate::quarantine;
use crate::store::checkpoints;
use crate::store::generations::{self, Generation};
use crate::store::replay_target::ReplayTarget;
use crate::store::replays::{self, Replay};

mod comparison;
mod switch;

/// Maximum number of events that may be missing when the live views are locked for the last ones.
const NEAR: i64 = 2_000;
/// Maximum number of passes that load events before the live views are locked.
const PASSES: u32 = 10;
/// Source from which events are loaded.
#[derive(Debug, Clone, Copy)]
enum By {
    /// The topic, and the log for events that the topic lacks.
    Topic,
    /// The log alone.
    Log,
}

pub(super) struct Rebuild<'a> {
    deps: &'a ReplayDeps,
    progress: &'a Progress,
    replay: &'a Replay,
    generation: Generation,
    /// Connection to the schema shared by all generations.
    connection: PgConnection,
    /// Connection to the generation that is built.
    building: PgConnection,
    log: OurLog,
}

/// Returns the generation that a replay builds. Creates it unless an earlier run or the request
/// names one.
pub(super) async fn generation(
    deps: &ReplayDeps,
    replay: &Replay,
    given: Option<i32>,
) -> Result<Generation, ReplayError> {
    let mut connection = deps.connect().await?;
    if let Some(wanted) = replay.generation.or(given) {
        let there = generations::all(&mut connection)
            .await?
            .into_iter()
            .find(|generation| generation.0 == wanted);
        let generation = there.ok_or(ReplayError::NoGeneration(wanted))?;
        replays::begin(&mut connection, replay.replay_id, generation).await?;
        return Ok(generation);
    }
    let mut transaction = connection.begin().await?;
    sqlx::query("SET LOCAL lock_timeout = '2s'").execute(&mut *transaction).await?;
    if !replay.keep {
        for generation in generations::all(&mut *transaction).await? {
            generations::discard(&mut transaction, generation).await?;
        }
    }
    let generation = generations::create(&mut transaction).await?;
    // The same transaction stores the number, so a crash leaves no generation without a replay.
    replays::begin(&mut *transaction, replay.replay_id, generation).await?;
    transaction.commit().await?;
    Ok(generation)
}

impl<'a> Rebuild<'a> {
    pub(super) async fn new(
        deps: &'a ReplayDeps,
        progress: &'a Progress,
        replay: &'a Replay,
        generation: Generation,
    ) -> Result<Self, ReplayError> {
        let connection = deps.connect().await?;
        let building = deps.connect_to(generation).await?;
        let log = deps.log().await?;
        Ok(Self { deps, progress, replay, generation, connection, building, log })
    }

    /// Loads the generation from its checkpoints and makes it live.
    pub(super) async fn run(mut self) -> Result<(), ReplayError> {
        if generations::live(&mut self.connection).await? == self.generation {
            // An earlier run made the switch and crashed before it stored the result.
            return Ok(());
        }
        if matches!(self.replay.asked_for, ReplayTarget::Generation(_)) {
            // A kept generation has no writer, so its quarantine may be out of date.
            quarantine::retry_all(&mut self.building).await?;
        }
        // The topic is faster to read; `end_as_log` and the comparison find its forged events.
        self.approach(By::Topic).await?;
        self.end_as_log().await?;
        replays::compare(&mut self.connection, self.replay.replay_id).await?;
        let (mut differences, mut samples) = self.compare().await?;
        if differences > 0 {
            self.settle_by_log().await?;
            // The log has decided, so the differences that remain are those of the live views.
            (differences, samples) = self.compare().await?;
        }
        replays::compared(&mut self.connection, self.replay.replay_id, differences, &samples)
            .await?;
        if differences > 0 {
            tracing::warn!(
                differences,
                generation = self.generation.0,
                "the new views differ from the live views"
            );
        }
        // The comparison took time, and the lock of the switch must be short.
        self.approach(By::Log).await?;
        self.switch().await
    }

    /// Loads events until at most `NEAR` events are missing, while the live views advance. Creates
    /// the indexes of the generation.
    async fn approach(&mut self, by: By) -> Result<(), ReplayError> {
        for pass in 1.. {
            // The targets are read in each pass, because the live views advance.
            let mut live = generations::connect_live(&self.deps.database).await?;
            let targets = positions(&checkpoints::all(&mut live).await?);
            if let Ok(partitions) = PartitionCount::try_from(targets.len()) {
                checkpoints::ensure(&mut self.building, partitions).await?;
            }
            self.progress.set_total(targets.values().sum());
            let standing = checkpoints::all(&mut self.building).await?;
            let behind: Vec<(Checkpoint, i64)> = standing
                .into_iter()
                .filter_map(|checkpoint| {
                    let target = targets.get(&checkpoint.partition).copied()?;
                    (checkpoint.position < target).then_some((checkpoint, target))
                })
                .collect();
            let missing: i64 =
                behind.iter().map(|(checkpoint, target)| target - checkpoint.position).sum();
            self.load(behind, by).await?;
            let mut transaction = self.building.begin().await?;
            // The indexes follow the first pass, because a load without them is faster.
            generations::index(&mut transaction, self.generation).await?;
            transaction.commit().await?;
            // After `PASSES` passes, events arrive as fast as they are loaded.
            if missing <= NEAR || pass == PASSES {
                break;
            }
        }
        Ok(())
    }

    async fn load(&self, behind: Vec<(Checkpoint, i64)>, by: By) -> Result<(), ReplayError> {
        let load = |(checkpoint, target): (Checkpoint, i64)| async move {
            // Each partition has its own connection, because they are loaded concurrently.
            let mut connection = self.deps.connect_to(self.generation).await?;
            let loading = PartitionLoader::new(
                self.deps,
                self.progress,
                &mut connection,
                &self.log,
                &checkpoint,
                target,
            );
            match by {
                By::Topic => loading.by_topic(checkpoint.kafka_offset.unwrap_or(0)).await.map(drop),
                By::Log => loading.by_log().await,
            }
        };
        stream::iter(behind)
            .map(load)
            .buffer_unordered(self.deps.at_once)
            .try_collect::<Vec<()>>()
            .await
            .map(drop)
    }
}

fn positions(checkpoints: &[Checkpoint]) -> Positions {
    checkpoints.iter().map(|checkpoint| (checkpoint.partition, checkpoint.position)).collect()
}
