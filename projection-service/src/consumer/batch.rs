//! Accepted records as one batch: their accounts are loaded, and they are folded and applied.

use sqlx::PgConnection;
use uuid::Uuid;

use super::account_cache::{AccountCache, Known};
use super::fold::fold;
use super::record::Record;
use super::sequence::Sequence;
use crate::quarantine::check;
use crate::store::apply::{Batch, apply};
use crate::store::{accounts, discarded, quarantine};

/// Result of a batch.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Written {
    /// Number of events applied.
    pub(crate) events: usize,
    /// Number of events quarantined.
    pub(crate) quarantined: usize,
}

/// Folds and applies accepted records with their checkpoints, in one transaction or within the open
/// one. After an error the cache may be wrong and must be discarded.
pub(crate) async fn write(
    connection: &mut PgConnection,
    records: &[Record],
    sequence: &Sequence,
    known: &mut AccountCache,
) -> sqlx::Result<Written> {
    load(connection, records, known).await?;
    write_batch(connection, &fold(records, sequence, known)).await
}

/// Applies a batch.
pub(super) async fn write_batch(
    connection: &mut PgConnection,
    batch: &Batch<'_>,
) -> sqlx::Result<Written> {
    apply(connection, batch).await?;
    // The warning comes last, because a refused batch quarantines nothing.
    check::warn(&batch.quarantine);
    Ok(Written { events: batch.history.len(), quarantined: batch.quarantine.len() })
}

/// Loads the accounts of the records into the cache.
pub(super) async fn load(
    connection: &mut PgConnection,
    records: &[Record],
    known: &mut AccountCache,
) -> sqlx::Result<()> {
    let ids = records
        .iter()
        // An undecodable record names no account.
        .filter_map(|record| record.content.as_ref().ok())
        .map(|event| event.recorded.account_id);
    // `get` also moves a known account to the young half, which this batch does not evict.
    let mut unknown: Vec<Uuid> = ids.filter(|id| known.get(*id).is_none()).collect();
    if unknown.is_empty() {
        return Ok(());
    }
    unknown.sort_unstable();
    unknown.dedup();
    let states = accounts::states(&mut *connection, &unknown).await?;
    let waiting = quarantine::among(&mut *connection, &unknown).await?;
    // A replay reads discarded events again, and the fold must recognise them.
    known.discard(discarded::among(&mut *connection, &unknown).await?);
    for id in unknown {
        let state = states.get(&id).map_or(Known::Absent, |state| Known::State(*state));
        // A quarantined account also has a state, but its later events must wait.
        known.set(id, if waiting.contains(&id) { Known::Quarantined } else { state });
    }
    Ok(())
}
