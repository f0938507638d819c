//! Applies batches to the live generation of the views: a connection of its own, and what it remembers between batches.
//!
//! Its commits wait for the disk. Without that they would be a twentieth faster, and after a crash of Postgres a view
//! could be older than one that was seen before.

use std::collections::BTreeSet;
use std::time::Duration;

use passbook_shared::partition::Partition;
use passbook_shared::store_error::within;
use sqlx::PgConnection;
use sqlx::postgres::PgConnectOptions;
use thiserror::Error;
use uuid::Uuid;

use super::fold::fold;
use super::known::{Accounts, Known};
use super::record::Record;
use super::sequence::Sequence;
use super::share::Limit;
use crate::quarantine::check;
use crate::store::apply::{Batch, apply};
use crate::store::generations;
use crate::store::{accounts, discarded, quarantine};

mod failing;
pub(crate) use failing::Failing;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// A batch that takes longer is given up: the connection may be dead without saying so.
const WRITE_TIMEOUT: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub(crate) struct Writer {
    database: PgConnectOptions,
    connection: Option<PgConnection>,
    known: Accounts,
    /// How many of the events may fail.
    limit: Limit,
}

/// What a batch did.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Written {
    /// Events applied.
    pub(crate) events: usize,
    /// Records and events set aside.
    pub(crate) quarantined: usize,
}

/// Why a batch was not applied, or is not known to be.
#[derive(Debug, Error)]
pub(crate) enum WriteError {
    /// Postgres refused, or is away.
    #[error(transparent)]
    Store(#[from] sqlx::Error),
    /// More events of these partitions can't be applied than may be set aside: nothing of the batch was applied.
    #[error("too many events can't be applied")]
    TooManyFail(Vec<Failing>),
}

impl Writer {
    pub(crate) fn new(database: PgConnectOptions, limit: Limit) -> Self {
        Self { database, connection: None, known: Accounts::default(), limit }
    }

    /// How many of the events may fail.
    pub(crate) fn limit(&self) -> Limit {
        self.limit
    }

    /// Those of the partitions that would still have too many. On a connection of its own: another generation may be
    /// live by now.
    pub(crate) async fn still_failing(
        &self,
        failing: impl Iterator<Item = &Failing>,
    ) -> sqlx::Result<BTreeSet<Partition>> {
        let mut connection = connect(&self.database).await?;
        let mut still = BTreeSet::new();
        for failing in failing {
            if failing.is_too_much(&mut connection, self.limit).await? {
                still.insert(failing.partition);
            }
        }
        Ok(still)
    }

    /// Forgets all it knows, its connection too: what was under way there may still be.
    pub(crate) fn forget(&mut self) {
        self.connection = None;
        self.known.clear();
    }

    /// Applies records that were accepted, with the checkpoints they lead to.
    pub(crate) async fn write(
        &mut self,
        records: &[Record],
        sequence: &Sequence,
    ) -> Result<Written, WriteError> {
        within(WRITE_TIMEOUT, self.write_for_long(records, sequence)).await
    }

    async fn write_for_long(
        &mut self,
        records: &[Record],
        sequence: &Sequence,
    ) -> Result<Written, WriteError> {
        let connection = match &mut self.connection {
            Some(connection) => connection,
            none => none.insert(connect(&self.database).await?),
        };
        load(connection, records, &mut self.known).await?;
        let batch = fold(records, sequence, &mut self.known);
        let failing = failing::find(connection, self.limit, &batch.quarantine).await?;
        if !failing.is_empty() {
            return Err(WriteError::TooManyFail(failing));
        }
        Ok(write_batch(connection, &batch).await?)
    }
}

/// Folds records that were accepted and applies them, with the checkpoints they lead to, in one transaction (or within
/// the one that is open). After an error, what is known may be wrong.
pub(crate) async fn write(
    connection: &mut PgConnection,
    records: &[Record],
    sequence: &Sequence,
    known: &mut Accounts,
) -> sqlx::Result<Written> {
    load(connection, records, known).await?;
    write_batch(connection, &fold(records, sequence, known)).await
}

async fn write_batch(connection: &mut PgConnection, batch: &Batch<'_>) -> sqlx::Result<Written> {
    apply(connection, batch).await?;
    check::warn(&batch.quarantine);
    Ok(Written { events: batch.history.len(), quarantined: batch.quarantine.len() })
}

/// To the generation that is live now; when another is, batches are refused.
async fn connect(database: &PgConnectOptions) -> sqlx::Result<PgConnection> {
    let options = database.clone().application_name("passbook-projection-apply");
    // A replay that applies events of a partition again holds it for as long as that takes; others are not to wait.
    let options = options.options([("lock_timeout", "1s")]);
    within(CONNECT_TIMEOUT, generations::connect_live(&options)).await
}

/// Gets to know the accounts of the records.
async fn load(
    connection: &mut PgConnection,
    records: &[Record],
    known: &mut Accounts,
) -> sqlx::Result<()> {
    let ids = records
        .iter()
        .filter_map(|record| record.content.as_ref().ok())
        .map(|event| event.recorded.account_id);
    let mut unknown: Vec<Uuid> = ids.filter(|id| known.get(*id).is_none()).collect();
    if unknown.is_empty() {
        return Ok(());
    }
    unknown.sort_unstable();
    unknown.dedup();
    let states = accounts::states(&mut *connection, &unknown).await?;
    let waiting = quarantine::among(&mut *connection, &unknown).await?;
    known.discard(discarded::among(&mut *connection, &unknown).await?);
    for id in unknown {
        let state = states.get(&id).map_or(Known::Absent, |state| Known::State(*state));
        known.set(id, if waiting.contains(&id) { Known::Quarantined } else { state });
    }
    Ok(())
}
