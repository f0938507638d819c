//! Retry and discard of quarantined events, each in one transaction, with the partition's
//! checkpoint locked.
//!
//! Both use the fold of the consumer. It applies the quarantined events of the account to the
//! current view, in the order of the log, until one cannot be applied. A discard skips the first of
//! these events, so the history has no entry for it. The version and position of the view still
//! advance past that event. The next event can then be applied, and no reader sees the account at
//! an earlier version.

/// Readiness check of the quarantine.
pub mod check;
mod record;

use sqlx::{Connection, PgConnection, Postgres, Transaction};
use thiserror::Error;
use uuid::Uuid;

use crate::consumer::account_cache::{AccountCache, Known};
use crate::consumer::fold::fold;
use crate::consumer::record::Record;
use crate::consumer::sequence::Sequence;
use crate::store::apply::apply;
use crate::store::quarantine::{self, Quarantined};
use crate::store::{accounts, checkpoints, discarded, generations, replays};

/// Number of events folded at once.
const CHUNK: i64 = 1_000;

/// Result of a retry or discard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resolution {
    /// Number of events that were applied.
    pub applied: usize,
    /// Number of events of the account that stay quarantined.
    pub left: i64,
}

/// Reason why nothing was applied.
#[derive(Debug, Error)]
pub enum Unresolved {
    /// Postgres refused, or cannot be reached.
    #[error(transparent)]
    Store(#[from] sqlx::Error),
    /// No event has this number, or the event waits behind another one.
    #[error("no event that could not be applied has number {0} in the quarantine")]
    NotThere(i64),
    /// This version of the program cannot apply the event either.
    #[error("the event still cannot be applied: {0}")]
    StillUnapplicable(String),
    /// This version of the program can apply the event, so it must not be discarded.
    #[error("the event can be applied by now: retry it")]
    Applicable,
    /// A replay is running and might miss the change.
    #[error("replay {0} is still running")]
    Replaying(Uuid),
}

/// Retries a quarantined event, and then the events that wait behind it. An event that still cannot
/// be applied gets its new reason, and the events behind it keep waiting.
///
/// # Errors
/// The event still cannot be applied, or a replay is running.
pub async fn retry(connection: &mut PgConnection, id: i64) -> Result<Resolution, Unresolved> {
    let mut transaction = connection.begin().await?;
    let row = hold(&mut transaction, id).await?;
    let Some(account_id) = row.account_id else {
        // Earlier versions of this program quarantined such records.
        return Err(Unresolved::StillUnapplicable(
            "the record is not an event; the log had the event in its place, if any: discard it"
                .to_owned(),
        ));
    };
    let mut known = known(&mut transaction, account_id).await?;
    let attempt = apply_in_order(&mut transaction, account_id, &mut known).await?;
    match attempt {
        Attempt { passed: 0, refused: Some(reason), .. } => {
            // The new reason of the event is kept.
            transaction.commit().await?;
            Err(Unresolved::StillUnapplicable(reason))
        }
        Attempt { applied, .. } => commit(transaction, &row, account_id, applied).await,
    }
}

/// Discards a quarantined event with a non-empty reason, and applies those that wait behind it.
///
/// # Errors
/// The event can be applied now, or a replay is running.
pub async fn discard(
    connection: &mut PgConnection,
    id: i64,
    reason: &str,
) -> Result<Resolution, Unresolved> {
    let mut transaction = connection.begin().await?;
    let row = hold(&mut transaction, id).await?;
    let Some(account_id) = row.account_id else {
        discarded::record(&mut *transaction, id, None, reason).await?;
        quarantine::remove(&mut *transaction, &[id]).await?;
        transaction.commit().await?;
        return Ok(Resolution { applied: 0, left: 0 });
    };
    let mut known = known(&mut transaction, account_id).await?;
    let event = unapplicable(&mut transaction, &row, account_id, &mut known).await?;
    discarded::record(&mut *transaction, id, Some(event), reason).await?;
    // The test changed the cache, and the event counts as discarded only now.
    let mut known = self::known(&mut transaction, account_id).await?;
    let attempt = apply_in_order(&mut transaction, account_id, &mut known).await?;
    commit(transaction, &row, account_id, attempt.applied).await
}

/// Retries all quarantined events of a kept generation, which has no writer. Events of the live
/// generation may have been resolved since.
pub async fn retry_all(connection: &mut PgConnection) -> sqlx::Result<()> {
    for account_id in quarantine::accounts(&mut *connection).await? {
        let mut transaction = connection.begin().await?;
        let mut known = known(&mut transaction, account_id).await?;
        apply_in_order(&mut transaction, account_id, &mut known).await?;
        transaction.commit().await?;
    }
    Ok(())
}

/// Returns a quarantined event of the live generation and locks its partition. Until the
/// transaction ends, no other writer changes the partition, starts a replay or switches
/// generations.
async fn hold(transaction: &mut PgConnection, id: i64) -> Result<Quarantined, Unresolved> {
    // The lock also prevents the start of a replay, which might miss the change.
    if let Some(replay) = replays::hold_off(&mut *transaction).await? {
        return Err(Unresolved::Replaying(replay.replay_id));
    }
    generations::see_live(&mut *transaction).await?;
    let row = quarantine::find(&mut *transaction, id).await?.ok_or(Unresolved::NotThere(id))?;
    checkpoints::hold_one(&mut *transaction, row.partition).await?;
    // The event is read again under the lock.
    quarantine::find(&mut *transaction, id).await?.ok_or(Unresolved::NotThere(id))
}

/// Loads the account's view, ignoring the quarantine, and its discarded events.
async fn known(transaction: &mut PgConnection, account_id: Uuid) -> sqlx::Result<AccountCache> {
    let mut known = AccountCache::default();
    let states = accounts::states(&mut *transaction, &[account_id]).await?;
    known.set(
        account_id,
        states.get(&account_id).map_or(Known::Absent, |state| Known::State(*state)),
    );
    known.discard(discarded::among(transaction, &[account_id]).await?);
    Ok(known)
}

/// Returns the event if it cannot be applied. Only such an event may be discarded.
async fn unapplicable(
    transaction: &mut PgConnection,
    row: &Quarantined,
    account_id: Uuid,
    known: &mut AccountCache,
) -> Result<discarded::Event, Unresolved> {
    let first = quarantine::of_account(transaction, account_id, 0, 1)
        .await?
        .into_iter()
        .find(|first| first.id == row.id);
    let record = record::of_account(account_id, &first.ok_or(Unresolved::NotThere(row.id))?);
    let event = match &record.content {
        Ok(event) => event,
        // The document was changed, so the event to skip is not the stored one.
        Err(unreadable) => return Err(Unresolved::StillUnapplicable(unreadable.reason.clone())),
    };
    let before = match known.get(account_id) {
        Some(Known::State(state)) => Some(state.version),
        Some(Known::Absent | Known::Quarantined) | None => None,
    };
    let event = discarded::Event {
        recorded_at: event.recorded.recorded_at,
        passed_over: before.is_some_and(|before| event.recorded.version == before + 1),
    };
    match fold(&[record], &Sequence::default(), known).quarantine.is_empty() {
        true => Err(Unresolved::Applicable),
        false => Ok(event),
    }
}

/// Progress of a retry.
struct Attempt {
    /// Number of events that were applied or discarded, and so left the quarantine.
    passed: usize,
    applied: usize,
    /// Reason why the next event cannot be applied, if there is one.
    refused: Option<String>,
}

/// Applies the waiting events of an account, up to the first one that cannot be applied.
async fn apply_in_order(
    transaction: &mut PgConnection,
    account_id: Uuid,
    known: &mut AccountCache,
) -> sqlx::Result<Attempt> {
    let mut attempt = Attempt { passed: 0, applied: 0, refused: None };
    let mut after = 0;
    while attempt.refused.is_none() {
        let waiting = quarantine::of_account(&mut *transaction, account_id, after, CHUNK).await?;
        let mut records: Vec<Record> =
            waiting.iter().map(|event| record::of_account(account_id, event)).collect();
        if let Some(unreadable) = records.iter().position(|record| record.content.is_err()) {
            // The fold gets the unreadable record last and returns its reason.
            records.truncate(unreadable + 1);
        }
        if records.is_empty() {
            break;
        }
        // No checkpoint moves, because the consumer has already passed these positions.
        let mut batch = fold(&records, &Sequence::default(), known);
        // All events from the first failure on are quarantined already.
        let quarantined = std::mem::take(&mut batch.quarantine);
        apply(&mut *transaction, &batch).await?;
        attempt.applied += batch.history.len();

        let (passed, rest) = waiting.split_at(records.len() - quarantined.len());
        after = passed.last().map_or(after, |event| event.position);
        let passed: Vec<i64> = passed.iter().map(|event| event.id).collect();
        quarantine::remove(&mut *transaction, &passed).await?;
        attempt.passed += passed.len();
        if let (Some(refused), Some(event)) = (quarantined.into_iter().next(), rest.first()) {
            quarantine::keep(&mut *transaction, event.id, &refused.reason).await?;
            attempt.refused = Some(refused.reason);
        }
    }
    Ok(attempt)
}

async fn commit(
    mut transaction: Transaction<'_, Postgres>,
    row: &Quarantined,
    account_id: Uuid,
    applied: usize,
) -> Result<Resolution, Unresolved> {
    let left = quarantine::count_of(&mut *transaction, account_id).await?;
    // The consumer may have the account in its cache, so it must restart.
    checkpoints::raise_epoch(&mut *transaction, row.partition).await?;
    transaction.commit().await?;
    tracing::info!(
        account.id = %account_id,
        applied,
        left,
        "resolved the quarantined events of an account"
    );
    Ok(Resolution { applied, left })
}
