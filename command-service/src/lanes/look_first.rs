//! The careful way to append a batch: with the partitions locked, look up what is known already, load the accounts,
//! decide the rest on what is really there, append, commit. Nothing can come between.

mod known;

use std::collections::{HashMap, HashSet};
use std::time::Instant;

use passbook_shared::partition::Partition;
use sqlx::{Connection, PgConnection};
use uuid::Uuid;

use super::batch::{Batch, Finished};
use super::facts::Facts;
use super::lane::Failure;
use super::request::Pending;
use super::shelves::Held;
use super::states::load_into;
use crate::log::append::{append, lock_heads};
use crate::log::snapshots::Snapshots;
use crate::metrics;
use known::Known;

/// What was sent to Postgres and may have been done: the version that each account of it had before.
pub(super) type Sent = HashMap<Uuid, i64>;

/// Answers what is known and appends the rest, as an empty batch, of a log of so many partitions. `sent` is of earlier
/// attempts, and learns of this one.
pub(super) async fn look_first(
    connection: &mut PgConnection,
    mut batch: Batch,
    held: &mut Held,
    pending: &[Pending],
    partitions: Partition,
    sent: &mut Sent,
    snapshots: &Snapshots,
) -> Result<Finished, Failure> {
    let mut transaction = connection.begin().await?;
    let mut touched: Vec<Partition> =
        pending.iter().flat_map(Pending::accounts).map(|account| account.1).collect();
    touched.sort_unstable();
    touched.dedup();
    lock_heads(&mut transaction, &touched).await?;

    let mut known =
        Known::find(&mut transaction, held, pending, partitions, sent, snapshots).await?;
    // Of those with one name, the first; what becomes of the others is in the log then.
    let mut names = HashSet::new();
    let mut open = Vec::new();
    for (index, pending) in pending.iter().enumerate() {
        if !known.has_all(index, pending) {
            let own = pending.names();
            if own.iter().all(|name| !names.contains(name)) {
                open.push((index, pending));
            }
            names.extend(own);
        }
    }
    let undecided: Vec<&Pending> = open.iter().map(|open| open.1).collect();
    load_into(&mut transaction, &mut batch, undecided.iter().copied(), snapshots, |_, _, _| {})
        .await?;
    Facts::load(&mut transaction, &mut batch, &undecided, true).await?;
    batch.facts.take(std::mem::take(&mut known.taken));
    open.iter()
        .for_each(|(index, pending)| batch.decide(*index, pending, |place| known.has(place)));
    if batch.is_broken {
        return Err(Failure::Defect);
    }
    batch.failed.iter().for_each(|index| known.withdraw_known(*index, &pending[*index]));
    batch.append.keys.extend(known.take_keys());
    if !batch.append.is_empty() {
        batch.note_sent(sent);
        let started = Instant::now();
        append(&mut transaction, &mut batch.append).await?;
        metrics::appended(batch.append.events.len(), open.len(), started.elapsed());
    }
    // Repeats wait as well: where Postgres has standbys, what is answered from is on them by then.
    transaction.commit().await?;

    let mut finished = batch.finish();
    // What was done before does not change: nobody has to wait while it is told.
    finished.results.extend(known.answers(connection, held, pending, snapshots).await?);
    Ok(finished)
}
