//! The states that a batch is decided on: those the lane knows, and those it has to load.

use std::collections::HashSet;

use passbook_shared::partition::Partition;
use sqlx::PgConnection;
use uuid::Uuid;

use super::batch::Batch;
use super::cache::Kind;
use super::facts::Facts;
use super::lane::Failure;
use super::request::Pending;
use super::shelves::Held;
use crate::domain::Command;
use crate::log::load::{Loaded, Wanted, load};
use crate::log::snapshots::Snapshots;

/// How many commands' accounts are loaded at once: what one load has brought is kept, should the next be cut off.
pub(super) const LOADED_AT_ONCE: usize = 64;

/// Decides commands, as an empty batch, on the states the lane knows; those it does not, it loads.
pub(super) async fn decide(
    connection: &mut PgConnection,
    mut batch: Batch,
    held: &mut Held,
    pending: &[Pending],
    snapshots: &Snapshots,
) -> Result<Batch, Failure> {
    for asked in pending.iter().flat_map(|pending| &pending.commands) {
        for (id, partition) in asked.accounts() {
            // An opening is nearly always of a new account; if not, the unique version says so.
            let opens = || matches!(asked.request.command, Command::Open(_));
            if !batch.knows(id)
                && let Some(loaded) = held
                    .get(Kind::Newest, id, partition)
                    .cloned()
                    .or_else(|| opens().then(Loaded::default))
            {
                batch.know(id, partition, loaded);
            }
        }
    }
    for some in pending.chunks(LOADED_AT_ONCE) {
        load_into(connection, &mut batch, some.iter(), snapshots, |id, partition, loaded| {
            held.keep(Kind::Newest, id, partition, loaded.clone());
        })
        .await?;
    }
    Facts::load(connection, &mut batch, &pending.iter().collect::<Vec<_>>(), false).await?;
    pending.iter().enumerate().for_each(|(index, pending)| batch.decide(index, pending, |_| false));
    if Facts::are_outrun(connection, &batch, pending).await? {
        return Err(Failure::Outrun);
    }
    if batch.is_broken { Err(Failure::Defect) } else { Ok(batch) }
}

/// Loads the accounts of commands that a batch does not know yet; one that can't be read stays unknown to it.
pub(super) async fn load_into(
    connection: &mut PgConnection,
    batch: &mut Batch,
    pending: impl Iterator<Item = &Pending>,
    snapshots: &Snapshots,
    mut keep: impl FnMut(Uuid, Partition, &Loaded),
) -> Result<(), Failure> {
    let mut seen = HashSet::new();
    let wanted: Vec<Wanted> = pending
        .flat_map(Pending::accounts)
        .filter(|(id, _)| !batch.knows(*id) && seen.insert(*id))
        .map(|(account_id, partition)| Wanted { partition, account_id, version: i64::MAX })
        .collect();
    if wanted.is_empty() {
        return Ok(());
    }
    for (result, wanted) in load(connection, &wanted, snapshots).await?.into_iter().zip(wanted) {
        match result {
            Ok(loaded) => {
                keep(wanted.account_id, wanted.partition, &loaded);
                batch.know(wanted.account_id, wanted.partition, loaded);
            }
            Err(error) => tracing::error!(%error, "an account can't be loaded"),
        }
    }
    Ok(())
}
