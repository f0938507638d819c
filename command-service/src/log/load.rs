//! Accounts folded from their newest snapshot and the events after it.

mod step;

use std::sync::Arc;

use passbook_shared::event::AccountEvent;
use passbook_shared::partition::Partition;
use passbook_shared::recorded_event::RecordedEvent;
use passbook_shared::upcast::DecodeError;
use serde_json::value::RawValue;
use sqlx::PgConnection;
use thiserror::Error;
use uuid::Uuid;

use super::loaded::Loaded;
use super::snapshots::{Snapshot, Snapshots};
use crate::domain::account::STATE_VERSION;
use crate::domain::evolve;
use step::{Open, step};

/// An event in the log that this version of the program can't read.
#[derive(Debug, Clone, Error)]
#[error("version {version} of account {account_id} can't be read: {error}")]
pub struct Unreadable {
    account_id: Uuid,
    version: i64,
    error: Arc<DecodeError>,
}

impl Unreadable {
    pub(super) fn new(account_id: Uuid, version: i64, error: DecodeError) -> Self {
        Self { account_id, version, error: Arc::new(error) }
    }
}

/// Reasons for which an account can't be loaded.
#[derive(Debug, Error)]
pub enum LoadError {
    /// Postgres does not answer.
    #[error(transparent)]
    Store(#[from] sqlx::Error),
    /// An event of the account can't be read.
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
}

/// The result for one of many accounts.
pub type LoadResult = Result<Loaded, Unreadable>;

/// A state to load.
#[derive(Debug, Clone, Copy)]
pub struct Wanted {
    /// The account's partition.
    pub partition: Partition,
    /// The account.
    pub account_id: Uuid,
    /// The version; the newest one, if that is less.
    pub version: i64,
}

/// Loads accounts, and returns them in their order. Very long ones leave states in `snapshots`.
///
/// # Errors
/// Errors of Postgres.
pub async fn load(
    connection: &mut PgConnection,
    wanted: &[Wanted],
    snapshots: &Snapshots,
) -> Result<Vec<LoadResult>, sqlx::Error> {
    load_from(connection, wanted, vec![Loaded::default(); wanted.len()], snapshots).await
}

/// Loads accounts like [`load`], each from a known state.
pub(super) async fn load_from(
    connection: &mut PgConnection,
    wanted: &[Wanted],
    known: Vec<Loaded>,
    snapshots: &Snapshots,
) -> Result<Vec<LoadResult>, sqlx::Error> {
    let mut open: Vec<Open> = (0..wanted.len())
        .filter(|n| known[*n].version < wanted[*n].version)
        .map(|n| (n, None))
        .collect();
    let mut results: Vec<LoadResult> = known.into_iter().map(Ok).collect();
    let mut state_version = STATE_VERSION;
    while !open.is_empty() {
        open = step(connection, wanted, &open, &mut results, state_version, snapshots).await?;
        // No snapshot has state version 0: after the first step each account goes on from where it
        // is.
        state_version = 0;
        for (index, event_id) in &open {
            if let (Ok(loaded), Some(event_id)) = (&results[*index], *event_id) {
                let Wanted { partition, account_id, .. } = wanted[*index];
                let loaded = loaded.clone();
                snapshots.keep(Snapshot { partition, account_id, loaded, event_id });
            }
        }
    }
    Ok(results)
}

/// Loads one account as it was at a version (at its newest, if that is less).
///
/// # Errors
/// See [`LoadError`].
pub async fn state_at(
    connection: &mut PgConnection,
    wanted: Wanted,
    snapshots: &Snapshots,
) -> Result<Loaded, LoadError> {
    Ok(load(connection, &[wanted], snapshots).await?.pop().transpose()?.unwrap_or_default())
}

/// An account with the events that follow on its state.
pub(super) fn followed_by(mut loaded: Loaded, events: &[Arc<RecordedEvent>]) -> LoadResult {
    for event in events {
        let unreadable = |error| Unreadable::new(event.account_id, event.version, error);
        loaded.account = evolve(loaded.account, &event.decode().map_err(unreadable)?);
        (loaded.version, loaded.position) = (event.version, event.position.number);
    }
    Ok(loaded)
}

/// Decodes an event from its columns.
pub(crate) fn decode(
    event_type: &str,
    schema_version: i16,
    data: String,
) -> Result<AccountEvent, DecodeError> {
    let data = RawValue::from_string(data).map_err(DecodeError::Payload)?;
    AccountEvent::decode(event_type, schema_version, &data)
}
