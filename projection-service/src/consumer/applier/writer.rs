//! The applying task's own connection to Postgres, and what it remembers between batches.
//!
//! Its commits do not wait for the disk: checkpoint and views are in one transaction, so what a crash of Postgres takes
//! away is read and applied again. Until then, and only then, a view can be older than one that was seen before; who
//! must not see that says `min_version`. The log's own commits, which do wait, have the disk for themselves.

use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, PgConnection};
use thiserror::Error;
use tokio::time::timeout;
use uuid::Uuid;

use crate::consumer::fold::fold;
use crate::consumer::known::{Accounts, Known};
use crate::consumer::record::Record;
use crate::consumer::sequence::Sequence;
use crate::store::apply::apply;
use crate::store::source::Source;
use crate::store::{accounts, quarantine, source};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// A batch that takes longer is given up: the connection may be dead without saying so.
const WRITE_TIMEOUT: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub(super) struct Writer {
    database: PgConnectOptions,
    connection: Option<PgConnection>,
    known: Accounts,
    /// Whose log the views are of, as the database has it.
    source: Option<Source>,
}

/// What a batch did.
#[derive(Debug, Clone, Copy)]
pub(super) struct Written {
    /// Events applied.
    pub(super) events: usize,
    /// Records and events set aside.
    pub(super) quarantined: usize,
}

/// Why a batch was not applied, or is not known to be.
#[derive(Debug, Error)]
pub(super) enum WriteError {
    /// Postgres refused, or is away.
    #[error(transparent)]
    Store(#[from] sqlx::Error),
    /// The records are of another log than the views.
    #[error("{0}")]
    Foreign(String),
}

impl Writer {
    pub(super) fn new(database: PgConnectOptions) -> Self {
        Self { database, connection: None, known: Accounts::default(), source: None }
    }

    /// Forgets all it knows, its connection too: what was under way there may still be.
    pub(super) fn forget(&mut self) {
        self.connection = None;
        self.known.clear();
        self.source = None;
    }

    /// Applies records that were accepted, with the checkpoints they lead to.
    pub(super) async fn write(
        &mut self,
        records: &[Record],
        sequence: &Sequence,
        source: Option<Source>,
    ) -> Result<Written, WriteError> {
        timeout(WRITE_TIMEOUT, self.write_for_long(records, sequence, source))
            .await
            .unwrap_or(Err(WriteError::Store(sqlx::Error::PoolTimedOut)))
    }

    async fn write_for_long(
        &mut self,
        records: &[Record],
        sequence: &Sequence,
        source: Option<Source>,
    ) -> Result<Written, WriteError> {
        let connection = match &mut self.connection {
            Some(connection) => connection,
            none => none.insert(connect(&self.database).await?),
        };
        if let Some(seen) = source.filter(|_| self.source.is_none()) {
            self.source = Some(agree(connection, seen).await?);
        }
        load(connection, records, &mut self.known).await?;
        let batch = fold(records, sequence, &mut self.known);
        apply(connection, &batch).await?;
        Ok(Written { events: batch.history.len(), quarantined: batch.quarantine.len() })
    }
}

async fn connect(database: &PgConnectOptions) -> sqlx::Result<PgConnection> {
    let options = database.clone().application_name("passbook-projection-apply");
    let options = options.options([("synchronous_commit", "off")]);
    timeout(CONNECT_TIMEOUT, options.connect()).await.unwrap_or(Err(sqlx::Error::PoolTimedOut))
}

async fn agree(connection: &mut PgConnection, seen: Source) -> Result<Source, WriteError> {
    let ours = source::remember(connection, seen).await?;
    if ours != seen {
        return Err(WriteError::Foreign(format!(
            "the topic is of store {} with {} partitions, the views are of store {} with {}: nothing is applied. Is \
             KAFKA_TOPIC or PROJECTION_DATABASE_URL another installation's?",
            seen.store_id, seen.partitions, ours.store_id, ours.partitions
        )));
    }
    Ok(ours)
}

/// Gets to know the accounts of the records.
async fn load(connection: &mut PgConnection, records: &[Record], known: &mut Accounts) -> sqlx::Result<()> {
    let ids = records.iter().filter_map(|record| record.content.as_ref().ok()).map(|event| event.recorded.account_id);
    let mut unknown: Vec<Uuid> = ids.filter(|id| known.get(*id).is_none()).collect();
    if unknown.is_empty() {
        return Ok(());
    }
    unknown.sort_unstable();
    unknown.dedup();
    let states = accounts::states(&mut *connection, &unknown).await?;
    let waiting = quarantine::waiting(&mut *connection, &unknown).await?;
    for id in unknown {
        let state = states.get(&id).map_or(Known::Absent, |state| Known::State(*state));
        known.set(id, if waiting.contains(&id) { Known::Quarantined } else { state });
    }
    Ok(())
}
