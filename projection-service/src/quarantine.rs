//! What was set aside, tried again or thrown away: each in one transaction, with the writer of the partition held.
//!
//! Both are one thing, done by the code that applies events at all times: the events of the account that wait are folded
//! in the order of the log onto its view as it stands, until one can't be applied. Discarding has the first of them
//! passed over. That leaves a hole in the versions and nothing in the history; the view's own version and position move
//! past it, so that what follows on it is next, and no reader sees the account go back.

/// The readiness check.
pub mod check;
mod record;

use sqlx::{Connection, PgConnection, Postgres, Transaction};
use thiserror::Error;
use uuid::Uuid;

use crate::consumer::fold::fold;
use crate::consumer::known::{Accounts, Known};
use crate::consumer::record::Record;
use crate::consumer::sequence::Sequence;
use crate::store::apply::apply;
use crate::store::quarantine::{self, Quarantined};
use crate::store::{accounts, checkpoints, discarded, generations, replays};

/// Events folded at once.
const CHUNK: i64 = 1_000;

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settled {
    /// Events that were applied.
    pub applied: usize,
    /// Events of the account that are set aside still.
    pub left: i64,
}

/// Why nothing was applied.
#[derive(Debug, Error)]
pub enum Unsettled {
    /// Postgres refused, or is away.
    #[error(transparent)]
    Store(#[from] sqlx::Error),
    /// There is none with this number, or it only waits behind another.
    #[error("nothing that could not be applied has number {0} in the quarantine")]
    NotThere(i64),
    /// It can't be applied by this version of the program either.
    #[error("it still can't be applied: {0}")]
    StillUnapplicable(String),
    /// It can be applied by this version of the program: there is no reason to throw it away.
    #[error("it can be applied by now: retry it")]
    Applicable,
    /// A replay is at work, which might not see what is decided here.
    #[error("replay {0} is not at its end")]
    Replaying(Uuid),
}

/// Tries again what could not be applied, and then all that waits behind it. What can't be applied stays, with its new
/// reason, and what is behind it goes on waiting.
///
/// # Errors
/// It still can't be applied, or something is in the way.
pub async fn retry(connection: &mut PgConnection, id: i64) -> Result<Settled, Unsettled> {
    let mut transaction = connection.begin().await?;
    let row = hold(&mut transaction, id).await?;
    let Some(account_id) = row.account_id else {
        // Earlier versions of this program kept such records.
        return Err(Unsettled::StillUnapplicable(
            "it is a record of the topic that is no event; what it may have stood for was taken from the log: discard it"
                .to_owned(),
        ));
    };
    let mut known = known(&mut transaction, account_id).await?;
    let done = apply_in_order(&mut transaction, account_id, &mut known).await?;
    match done {
        Done { passed: 0, refused: Some(reason), .. } => {
            transaction.commit().await?;
            Err(Unsettled::StillUnapplicable(reason))
        }
        Done { applied, .. } => settle(transaction, &row, account_id, applied).await,
    }
}

/// Throws away what could not be applied, and applies what waits behind it. The reason is recorded, and not empty.
///
/// # Errors
/// It can be applied by now, or something is in the way.
pub async fn discard(
    connection: &mut PgConnection,
    id: i64,
    reason: &str,
) -> Result<Settled, Unsettled> {
    let mut transaction = connection.begin().await?;
    let row = hold(&mut transaction, id).await?;
    let Some(account_id) = row.account_id else {
        discarded::record(&mut *transaction, id, None, reason).await?;
        quarantine::remove(&mut *transaction, &[id]).await?;
        transaction.commit().await?;
        return Ok(Settled { applied: 0, left: 0 });
    };
    let mut known = known(&mut transaction, account_id).await?;
    let event = unapplicable(&mut transaction, &row, account_id, &mut known).await?;
    discarded::record(&mut *transaction, id, Some(event), reason).await?;
    let mut known = self::known(&mut transaction, account_id).await?;
    let done = apply_in_order(&mut transaction, account_id, &mut known).await?;
    settle(transaction, &row, account_id, done.applied).await
}

/// Tries again all that is set aside in a generation that nobody writes: one that was kept while, in the live one, events
/// were settled.
pub async fn retry_all(connection: &mut PgConnection) -> sqlx::Result<()> {
    for account_id in quarantine::accounts(&mut *connection).await? {
        let mut transaction = connection.begin().await?;
        let mut known = known(&mut transaction, account_id).await?;
        apply_in_order(&mut transaction, account_id, &mut known).await?;
        transaction.commit().await?;
    }
    Ok(())
}

/// What could not be applied, of the live generation, with its partition held: until the transaction ends nobody writes
/// it, begins a replay, or makes another generation live.
async fn hold(transaction: &mut PgConnection, id: i64) -> Result<Quarantined, Unsettled> {
    if let Some(replay) = replays::hold_off(&mut *transaction).await? {
        return Err(Unsettled::Replaying(replay.replay_id));
    }
    generations::see_live(&mut *transaction).await?;
    let row = quarantine::find(&mut *transaction, id).await?.ok_or(Unsettled::NotThere(id))?;
    checkpoints::hold_one(&mut *transaction, row.partition).await?;
    // As it is now that nobody else changes it.
    quarantine::find(&mut *transaction, id).await?.ok_or(Unsettled::NotThere(id))
}

/// The account as its view has it, whatever waits, and which events of it were discarded.
async fn known(transaction: &mut PgConnection, account_id: Uuid) -> sqlx::Result<Accounts> {
    let mut known = Accounts::default();
    let states = accounts::states(&mut *transaction, &[account_id]).await?;
    known.set(
        account_id,
        states.get(&account_id).map_or(Known::Absent, |state| Known::State(*state)),
    );
    known.discard(discarded::among(transaction, &[account_id]).await?);
    Ok(known)
}

/// The event, if it can't be applied and so may be discarded.
async fn unapplicable(
    transaction: &mut PgConnection,
    row: &Quarantined,
    account_id: Uuid,
    known: &mut Accounts,
) -> Result<discarded::Event, Unsettled> {
    let first = quarantine::of_account(transaction, account_id, 0, 1)
        .await?
        .into_iter()
        .find(|first| first.id == row.id);
    let record = record::of_account(account_id, &first.ok_or(Unsettled::NotThere(row.id))?);
    let event = match &record.content {
        Ok(event) => event,
        // Somebody has changed it: what is there now is not what would be passed over.
        Err(unreadable) => return Err(Unsettled::StillUnapplicable(unreadable.reason.clone())),
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
        true => Err(Unsettled::Applicable),
        false => Ok(event),
    }
}

/// How far a try came.
struct Done {
    /// Events no longer set aside: applied, or discarded.
    passed: usize,
    applied: usize,
    /// Why the next one can't be applied, if there is one.
    refused: Option<String>,
}

/// Applies what waits of an account, and keeps what can't be.
async fn apply_in_order(
    transaction: &mut PgConnection,
    account_id: Uuid,
    known: &mut Accounts,
) -> sqlx::Result<Done> {
    let mut done = Done { passed: 0, applied: 0, refused: None };
    let mut after = 0;
    while done.refused.is_none() {
        let waiting = quarantine::of_account(&mut *transaction, account_id, after, CHUNK).await?;
        let mut records: Vec<Record> =
            waiting.iter().map(|event| record::of_account(account_id, event)).collect();
        if let Some(unreadable) = records.iter().position(|record| record.content.is_err()) {
            records.truncate(unreadable + 1);
        }
        if records.is_empty() {
            break;
        }
        let mut batch = fold(&records, &Sequence::default(), known);
        // From the first that can't be applied on, all are: they are set aside already.
        let set_aside = std::mem::take(&mut batch.quarantine);
        apply(&mut *transaction, &batch).await?;
        done.applied += batch.history.len();

        let (passed, rest) = waiting.split_at(records.len() - set_aside.len());
        after = passed.last().map_or(after, |event| event.position);
        let passed: Vec<i64> = passed.iter().map(|event| event.id).collect();
        quarantine::remove(&mut *transaction, &passed).await?;
        done.passed += passed.len();
        if let (Some(refused), Some(event)) = (set_aside.into_iter().next(), rest.first()) {
            quarantine::keep(&mut *transaction, event.id, &refused.reason).await?;
            done.refused = Some(refused.reason);
        }
    }
    Ok(done)
}

async fn settle(
    mut transaction: Transaction<'_, Postgres>,
    row: &Quarantined,
    account_id: Uuid,
    applied: usize,
) -> Result<Settled, Unsettled> {
    let left = quarantine::count_of(&mut *transaction, account_id).await?;
    checkpoints::raise_epoch(&mut *transaction, row.partition).await?;
    transaction.commit().await?;
    tracing::info!(account.id = %account_id, applied, left, "what was set aside of an account was settled");
    Ok(Settled { applied, left })
}
