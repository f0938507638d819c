//! Writer of batches to the live generation of the views, on a connection of its own.
//!
//! Its commits wait for the disk (`synchronous_commit`). Asynchronous commits would be about 5 %
//! faster, but a crash of Postgres could then revert a view that a client has already read.

use std::collections::BTreeSet;
use std::time::Duration;

use passbook_shared::partition::Partition;
use passbook_shared::store_error::within;
use sqlx::PgConnection;
use sqlx::postgres::PgConnectOptions;
use thiserror::Error;

use super::batch::{Written, load, write_batch};
use super::failure_rate::Limit;
use super::fold::fold;
use super::intake::Intake;
use crate::store::generations;

mod failing;
pub(crate) use failing::Failing;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Time limit of a batch; the connection may be dead without an error.
const WRITE_TIMEOUT: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub(crate) struct Writer {
    database: PgConnectOptions,
    connection: Option<PgConnection>,
    /// Limit on the share of events that cannot be applied.
    limit: Limit,
}

/// Failure of a batch. Its transaction may have been committed.
#[derive(Debug, Error)]
pub(crate) enum WriteError {
    /// Postgres refused the batch or is unreachable.
    #[error(transparent)]
    Store(#[from] sqlx::Error),
    /// Too many events of these partitions cannot be applied. Nothing was applied.
    #[error("too many events can't be applied")]
    TooManyFail(Vec<Failing>),
}

impl Writer {
    pub(crate) fn new(database: PgConnectOptions, limit: Limit) -> Self {
        Self { database, connection: None, limit }
    }

    /// Limit on the share of events that cannot be applied.
    pub(crate) fn limit(&self) -> Limit {
        self.limit
    }

    /// Returns the partitions that still exceed the limit. Opens a new connection, because another
    /// generation may be live by now.
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

    /// Drops the connection. A pending transaction on it may still commit.
    pub(crate) fn forget(&mut self) {
        self.connection = None;
    }

    /// Applies the accepted events, with the checkpoints, in one transaction.
    ///
    /// # Errors
    /// The batch was not applied, or its outcome is unknown. The caller must discard the intake.
    pub(crate) async fn write(&mut self, intake: &mut Intake) -> Result<Written, WriteError> {
        // After a timeout the caller drops the connection, which may be within a transaction.
        within(WRITE_TIMEOUT, self.write_for_long(intake)).await
    }

    async fn write_for_long(&mut self, intake: &mut Intake) -> Result<Written, WriteError> {
        let Intake { pending, sequence, accounts, .. } = intake;
        let connection = match &mut self.connection {
            Some(connection) => connection,
            none => none.insert(connect(&self.database).await?),
        };
        // A read before the transaction is safe: a moved checkpoint refuses the batch.
        load(connection, pending, accounts).await?;
        let batch = fold(pending, sequence, accounts);
        // The check comes before the write, so that these events do not reach the quarantine.
        let failing = failing::find(connection, self.limit, &batch.quarantine).await?;
        if !failing.is_empty() {
            return Err(WriteError::TooManyFail(failing));
        }
        Ok(write_batch(connection, &batch).await?)
    }
}

/// Connects to the generation that is live now. Once another is live, Postgres refuses its batches.
async fn connect(database: &PgConnectOptions) -> sqlx::Result<PgConnection> {
    let options = database.clone().application_name("passbook-projection-apply");
    // A rewind locks its partition for as long as it runs; other partitions must not wait for it.
    let options = options.options([("lock_timeout", "1s")]);
    within(CONNECT_TIMEOUT, generations::connect_live(&options)).await
}
