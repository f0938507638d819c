//! Snapshots: accounts folded up to a version, written behind the append by a task of their own.

use passbook_shared::fault::Fault;
use passbook_shared::partition::Partition;
use passbook_shared::store_error;
use sqlx::PgPool;
use tokio::sync::mpsc;
use uuid::Uuid;

use super::load::Loaded;
use crate::domain::account::STATE_VERSION;

/// How many wait at most; more are not written, which costs nothing but time at a later load.
const QUEUE: usize = 1_000;

/// An account to be kept.
#[derive(Debug)]
pub struct Snapshot {
    /// Its partition.
    pub partition: Partition,
    /// Its id.
    pub account_id: Uuid,
    /// Its state.
    pub loaded: Loaded,
}

static UNWRITTEN: Fault = Fault::new("snapshots are not written");

/// The way to the task that writes them, and that task's end of it.
pub fn queue() -> (mpsc::Sender<Snapshot>, mpsc::Receiver<Snapshot>) {
    mpsc::channel(QUEUE)
}

/// Writes snapshots as they come, until nobody can send any more.
///
/// # Errors
/// None: a snapshot that can't be written is not missed.
pub async fn run(pool: PgPool, mut queue: mpsc::Receiver<Snapshot>) -> anyhow::Result<()> {
    let mut waiting = Vec::new();
    while queue.recv_many(&mut waiting, 100).await > 0 {
        if let Err(error) = write(&pool, &waiting).await {
            UNWRITTEN.occurred(store_error::reason(&error));
        } else {
            UNWRITTEN.ended();
        }
        waiting.clear();
    }
    Ok(())
}

async fn write(pool: &PgPool, snapshots: &[Snapshot]) -> Result<(), sqlx::Error> {
    let states = snapshots.iter().map(|s| serde_json::to_string(&s.loaded.account)).collect::<Result<Vec<_>, _>>();
    sqlx::query(
        "INSERT INTO passbook.snapshots (partition, account_id, version, position, state_version, state)
         SELECT DISTINCT ON (s.partition, s.account_id, s.version)
                s.partition, s.account_id, s.version, s.position, $6, s.state::json
           FROM unnest($1, $2, $3, $4, $5) AS s (partition, account_id, version, position, state)
         ON CONFLICT (partition, account_id, version)
         DO UPDATE SET state_version = excluded.state_version, state = excluded.state",
    )
    .bind(snapshots.iter().map(|s| s.partition).collect::<Vec<_>>())
    .bind(snapshots.iter().map(|s| s.account_id).collect::<Vec<_>>())
    .bind(snapshots.iter().map(|s| s.loaded.version).collect::<Vec<_>>())
    .bind(snapshots.iter().map(|s| s.loaded.position).collect::<Vec<_>>())
    .bind(states.map_err(|error| sqlx::Error::Encode(error.into()))?)
    .bind(STATE_VERSION)
    .execute(pool)
    .await?;
    Ok(())
}
