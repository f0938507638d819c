//! A full replay: a new generation of the views is loaded beside the live one, compared with it at the same positions,
//! and takes over. Until then queries are answered from the live one, which goes on following the log.
//!
//! The topic is quick to read, and anybody with access to Kafka can write to it. So what the new generation ends with, and
//! each account that it has otherwise than the live one, is settled by the log before the switch.

use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt, stream};
use passbook_shared::partition::partition_of;
use serde_json::Value;
use sqlx::{Connection, PgConnection, Row};
use tokio::time::sleep;

use super::error::ReplayError;
use super::loading::Loading;
use super::progress::Progress;
use super::rewind::account_by_log;
use super::{Ground, Positions};
use crate::agreement::correct;
use crate::checkpoint::Checkpoint;
use crate::consumer::judging::OurLog;
use crate::quarantine;
use crate::store::checkpoints;
use crate::store::generations::{self, Generation};
use crate::store::replay_target::ReplayTarget;
use crate::store::replays::{self, Replay};

/// So many events behind the live views is near: the rest takes a moment.
const NEAR: i64 = 2_000;
/// How often to go after them at most.
const PASSES: u32 = 10;
/// How often to try to switch, and how soon again.
const SWITCHES: u32 = 50;
const SWITCH_AGAIN: Duration = Duration::from_millis(200);
/// Accounts that are settled one by one.
const SETTLED: usize = 1_000;
/// Differences shown.
const SAMPLES: i32 = 20;

/// From where events are loaded.
#[derive(Debug, Clone, Copy)]
enum By {
    /// The topic, and the log where that has none.
    Topic,
    /// The log.
    Log,
}

pub(super) struct Rebuild<'a> {
    ground: &'a Ground,
    progress: &'a Progress,
    replay: &'a Replay,
    generation: Generation,
    /// To what is of all generations.
    connection: PgConnection,
    /// To what is built.
    building: PgConnection,
    log: OurLog,
}

/// The generation that a replay builds or takes up again; made now, if it is yet to be made.
pub(super) async fn generation(
    ground: &Ground,
    replay: &Replay,
    given: Option<i32>,
) -> Result<Generation, ReplayError> {
    let mut connection = ground.connect().await?;
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
    replays::begin(&mut *transaction, replay.replay_id, generation).await?;
    transaction.commit().await?;
    Ok(generation)
}

impl<'a> Rebuild<'a> {
    pub(super) async fn new(
        ground: &'a Ground,
        progress: &'a Progress,
        replay: &'a Replay,
        generation: Generation,
    ) -> Result<Self, ReplayError> {
        let connection = ground.connect().await?;
        let building = ground.connect_to(generation).await?;
        let log = ground.log().await?;
        Ok(Self { ground, progress, replay, generation, connection, building, log })
    }

    /// From where the generation stands to its taking over.
    pub(super) async fn run(mut self) -> Result<(), ReplayError> {
        if generations::live(&mut self.connection).await? == self.generation {
            // An earlier run got so far.
            return Ok(());
        }
        if matches!(self.replay.asked_for, ReplayTarget::Generation(_)) {
            quarantine::retry_all(&mut self.building).await?;
        }
        self.approach(By::Topic).await?;
        self.end_as_log().await?;
        replays::compare(&mut self.connection, self.replay.replay_id).await?;
        let (mut differences, mut samples) = self.compare().await?;
        if differences > 0 {
            self.settle_by_log().await?;
            (differences, samples) = self.compare().await?;
        }
        replays::compared(&mut self.connection, self.replay.replay_id, differences, &samples)
            .await?;
        if differences > 0 {
            tracing::warn!(
                differences,
                generation = self.generation.0,
                "the new views are not as the live ones"
            );
        }
        self.approach(By::Log).await?;
        self.switch().await
    }

    /// Loads until it is near the live views, which move on meanwhile; its history has its key then.
    async fn approach(&mut self, by: By) -> Result<(), ReplayError> {
        for pass in 1.. {
            let mut live = generations::connect_live(&self.ground.database).await?;
            let targets = positions(&checkpoints::all(&mut live).await?);
            checkpoints::ensure(
                &mut self.building,
                i16::try_from(targets.len()).unwrap_or(i16::MAX),
            )
            .await?;
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
            generations::index(&mut transaction, self.generation).await?;
            transaction.commit().await?;
            // Under a load as fast as this it does not get nearer.
            if missing <= NEAR || pass == PASSES {
                break;
            }
        }
        Ok(())
    }

    async fn load(&self, behind: Vec<(Checkpoint, i64)>, by: By) -> Result<(), ReplayError> {
        let load = |(checkpoint, target): (Checkpoint, i64)| async move {
            let mut connection = self.ground.connect_to(self.generation).await?;
            let loading = Loading::new(
                self.ground,
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
            .buffer_unordered(self.ground.at_once)
            .try_collect::<Vec<()>>()
            .await
            .map(drop)
    }

    /// Corrects partitions of what is built whose last event is not the log's: those may be of a log that was given up, or
    /// of nobody's.
    async fn end_as_log(&mut self) -> Result<(), ReplayError> {
        for checkpoint in
            checkpoints::all(&mut self.building).await?.iter().filter(|c| c.position > 0)
        {
            let there =
                self.ground.feed.event_at(checkpoint.partition, checkpoint.position).await?;
            if there.map(|event| event.event_id) != checkpoint.event_id {
                let corrected =
                    correct::building(self.ground, &mut self.building, &self.log, checkpoint)
                        .await?;
                tracing::warn!(
                    partition = checkpoint.partition,
                    ?corrected,
                    "the new views had other events than the log"
                );
            }
        }
        Ok(())
    }

    /// Makes the accounts that differ from the live views anew, from the log; all of them, if they are many.
    async fn settle_by_log(&mut self) -> Result<(), ReplayError> {
        let live = generations::live(&mut self.connection).await?;
        let differing =
            generations::differing(&mut self.connection, self.generation, live, SETTLED + 1)
                .await?;
        tracing::warn!(
            accounts = differing.len(),
            "the new views are not as the live ones: the log is asked"
        );
        if differing.len() > SETTLED {
            return self.again_by_log().await;
        }
        let standing = positions(&checkpoints::all(&mut self.building).await?);
        for account_id in differing {
            let partition = partition_of(account_id, self.log.source.partitions);
            let up_to = standing.get(&partition).copied().unwrap_or_default();
            let mut transaction = self.building.begin().await?;
            let Self { ground, progress, log, .. } = self;
            account_by_log(ground, progress, &mut transaction, log.source, account_id, up_to)
                .await?;
            transaction.commit().await?;
        }
        Ok(())
    }

    async fn again_by_log(&mut self) -> Result<(), ReplayError> {
        let mut transaction = self.building.begin().await?;
        generations::empty(&mut transaction).await?;
        transaction.commit().await?;
        self.approach(By::Log).await
    }

    /// Compares both generations as they are at the same positions.
    async fn compare(&mut self) -> Result<(i64, Value), ReplayError> {
        let mut live = generations::connect_live(&self.ground.database).await?;
        let mut seeing = self.ground.connect().await?;
        let mut held = live.begin().await?;
        self.meet(&mut held).await?;
        // What this transaction sees is as it is now, however long it looks.
        let mut seeing =
            seeing.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
        let before = generations::live(&mut *seeing).await?;
        held.rollback().await?;
        let row =
            sqlx::query("SELECT differences, samples FROM projection.differences($1, $2, $3)")
                .bind(self.generation.0)
                .bind(before.0)
                .bind(SAMPLES)
                .fetch_one(&mut *seeing)
                .await?;
        Ok((row.try_get(0)?, row.try_get(1)?))
    }

    async fn switch(&mut self) -> Result<(), ReplayError> {
        let mut tries = 1;
        // Behind a long query the switch would wait, and all other queries behind the switch.
        while let Err(error) = self.try_switch().await {
            if !error.may_pass() || tries == SWITCHES {
                return Err(error);
            }
            tries += 1;
            sleep(SWITCH_AGAIN).await;
        }
        tracing::info!(generation = self.generation.0, "the new views are live");
        Ok(())
    }

    async fn try_switch(&mut self) -> Result<(), ReplayError> {
        let mut live = generations::connect_live(&self.ground.database).await?;
        let before = generations::live(&mut live).await?;
        let mut held = live.begin().await?;
        self.meet(&mut held).await?;
        self.ends_as(&mut held).await?;
        let behind = generations::behind(&mut held, self.generation, before).await?;
        if behind > 0 {
            return Err(ReplayError::WouldGoBack(behind));
        }
        generations::make_live(&mut held, self.generation).await?;
        Ok(held.commit().await?)
    }

    /// Fails if what was built ends with another event than the live views, at the same positions.
    async fn ends_as(&mut self, live: &mut PgConnection) -> Result<(), ReplayError> {
        let built = checkpoints::all(&mut self.building).await?;
        for live in checkpoints::all(live).await? {
            let built = built.iter().find(|built| built.partition == live.partition);
            if built.is_none_or(|built| {
                (built.position, built.event_id) != (live.position, live.event_id)
            }) {
                return Err(ReplayError::Differs {
                    partition: live.partition,
                    position: live.position,
                });
            }
        }
        Ok(())
    }

    /// Holds the live views where they are as long as the transaction lasts, and brings the others to the same positions.
    async fn meet(&mut self, live: &mut PgConnection) -> Result<(), ReplayError> {
        let Self { ground, progress, log, building, .. } = self;
        let targets = positions(&checkpoints::hold(live).await?);
        for checkpoint in checkpoints::all(&mut *building).await? {
            let target = targets.get(&checkpoint.partition).copied().unwrap_or_default();
            Loading::new(ground, progress, building, log, &checkpoint, target).by_log().await?;
        }
        Ok(())
    }
}

fn positions(checkpoints: &[Checkpoint]) -> Positions {
    checkpoints.iter().map(|checkpoint| (checkpoint.partition, checkpoint.position)).collect()
}
