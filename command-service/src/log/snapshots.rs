//! Snapshots: accounts folded up to a version, written asynchronously by a task of their own.

#[cfg(test)]
pub(crate) mod tests;

use passbook_shared::fault::Fault;
use passbook_shared::partition::Partition;
use passbook_shared::store_error;
use sqlx::PgPool;
use tokio::sync::mpsc;
use uuid::Uuid;

use super::loaded::Loaded;
use super::snapshot_key::{Signed, SnapshotKey};
use crate::domain::account::STATE_VERSION;

/// Capacity of the queue. Further snapshots are dropped, which only slows later loads.
const QUEUE: usize = 1_000;

/// Snapshot of an account.
#[derive(Debug)]
pub struct Snapshot {
    /// Partition of the account.
    pub partition: Partition,
    /// Id of the account.
    pub account_id: Uuid,
    /// State of the account, with its version.
    pub loaded: Loaded,
    /// Id of the event with that version. A log that lacks it, because a backup has replaced the
    /// previous one, does not get the snapshot.
    pub event_id: Uuid,
}

static UNWRITTEN: Fault = Fault::new("snapshots are not written");

/// Key for verifying snapshots, and queue for writing new ones. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Snapshots {
    pub(super) key: SnapshotKey,
    queue: Option<mpsc::Sender<Snapshot>>,
}

impl Snapshots {
    /// Creates a handle that verifies snapshots and drops new ones.
    pub fn only_read(key: SnapshotKey) -> Self {
        Self { key, queue: None }
    }

    /// Enqueues a snapshot if a batch that started at `version_before` has reached the next
    /// multiple of `every` events. If the account has more open holds than `every`, their number
    /// is used instead, because each snapshot repeats all of them.
    pub(crate) fn keep_if_due(
        &self,
        (partition, account_id): (Partition, Uuid),
        (loaded, event_id): (&Loaded, Uuid),
        version_before: i64,
        every: i64,
    ) {
        let holds = i64::try_from(loaded.account.open_holds()).unwrap_or(i64::MAX);
        let every = every.max(holds);
        if loaded.version / every > version_before / every {
            self.keep(Snapshot { partition, account_id, loaded: loaded.clone(), event_id });
        }
    }

    /// Enqueues a snapshot for writing; drops it if the queue is full.
    pub fn keep(&self, snapshot: Snapshot) {
        if let Some(queue) = &self.queue {
            // Dropped, because a lane must not wait for snapshots.
            let _ = queue.try_send(snapshot);
        }
    }
}

/// Receiving end of the queue, and the key for signing.
#[derive(Debug)]
pub struct ToWrite {
    key: SnapshotKey,
    queue: mpsc::Receiver<Snapshot>,
}

/// Creates the queue: the handle for writers, and the receiving end for [`run`].
pub fn queue(key: SnapshotKey) -> (Snapshots, ToWrite) {
    let (sender, queue) = mpsc::channel(QUEUE);
    (Snapshots { key: key.clone(), queue: Some(sender) }, ToWrite { key, queue })
}

/// Writes queued snapshots until all handles are dropped.
///
/// # Errors
/// Never fails: a snapshot that cannot be written is dropped.
pub async fn run(pool: PgPool, to_write: ToWrite) -> anyhow::Result<()> {
    let ToWrite { key, mut queue } = to_write;
    let mut waiting = Vec::new();
    while queue.recv_many(&mut waiting, 100).await > 0 {
        if let Err(error) = write(&pool, &key, &waiting).await {
            UNWRITTEN.occurred(store_error::reason(&error));
        } else {
            UNWRITTEN.ended();
        }
        waiting.clear();
    }
    Ok(())
}

async fn write(
    pool: &PgPool,
    key: &SnapshotKey,
    snapshots: &[Snapshot],
) -> Result<(), sqlx::Error> {
    let states = snapshots
        .iter()
        .map(|s| serde_json::to_string(&s.loaded.account))
        .collect::<Result<Vec<_>, _>>();
    let states = states.map_err(|error| sqlx::Error::Encode(error.into()))?;
    let mac = |(snapshot, state): (&Snapshot, &String)| {
        let Snapshot { partition, account_id, loaded: Loaded { version, position, .. }, .. } =
            *snapshot;
        key.mac(Signed {
            partition,
            account_id,
            version,
            position,
            state_version: STATE_VERSION,
            state,
        })
    };
    sqlx::query("SELECT passbook.save_snapshots($1, $2, $3, $4, $5, $6, $7, $8)")
        .bind(snapshots.iter().map(|s| s.partition).collect::<Vec<_>>())
        .bind(snapshots.iter().map(|s| s.account_id).collect::<Vec<_>>())
        .bind(snapshots.iter().map(|s| s.loaded.version).collect::<Vec<_>>())
        .bind(snapshots.iter().map(|s| s.loaded.position).collect::<Vec<_>>())
        .bind(snapshots.iter().map(|s| s.event_id).collect::<Vec<_>>())
        .bind(STATE_VERSION)
        .bind(&states)
        .bind(snapshots.iter().zip(&states).map(mac).collect::<Vec<_>>())
        .execute(pool)
        .await?;
    Ok(())
}
