//! Identity of the store and its number of partitions. The owner of the schema creates the store.

use anyhow::{Context, bail};
use passbook_shared::partition::PartitionCount;
use passbook_shared::schema::Schema;
use sqlx::postgres::{PgConnectOptions, PgRow};
use sqlx::{Connection, PgConnection, Row};
use uuid::Uuid;

/// Schema of the log.
pub const SCHEMA: Schema = Schema {
    name: "passbook",
    migrations: || sqlx::migrate!(),
    applied: "public._sqlx_migrations",
    job: "command-service migrate",
    internal: &[],
};

/// Description of a store, which never changes after its creation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Store {
    /// Id of the store, contained in every record of the topic.
    pub store_id: Uuid,
    /// Number of partitions of the log and of the topic.
    pub partitions: PartitionCount,
    /// True if the store may have accounts whose ids an earlier build derived from the idempotency
    /// key alone.
    pub opened_by_key_alone: bool,
}

/// Migrates the schema as its owner, creates the store if there is none, and grants the runtime
/// role its privileges.
///
/// # Errors
/// Fails if Postgres fails, if a newer build has changed the schema, or if the store has a
/// different number of partitions.
pub async fn prepare(
    owner: &PgConnectOptions,
    role: &str,
    partitions: Option<PartitionCount>,
) -> anyhow::Result<Store> {
    let mut connection = SCHEMA.own(owner).await?;
    SCHEMA.migrate(&mut connection).await?;
    // Does nothing if there is a store, so the store is read in any case.
    make(&mut connection, partitions.unwrap_or(PartitionCount::DEFAULT)).await?;
    let store = find(&mut connection).await?.context("the store has disappeared")?;
    if let Some(asked) = partitions.filter(|asked| *asked != store.partitions) {
        bail!(
            "PARTITIONS (--partitions) is {asked}, but this store was created with {}: the number \
             is fixed, omit the setting",
            store.partitions
        );
    }
    SCHEMA.grant(&mut connection, role, |_| String::new()).await?;
    connection.close().await?;
    Ok(store)
}

async fn make(owner: &mut PgConnection, partitions: PartitionCount) -> anyhow::Result<()> {
    // One statement inserts both, so that every store has its heads.
    sqlx::query(
        "WITH made AS (
            INSERT INTO passbook.store (store_id, partitions) VALUES ($1, $2) ON CONFLICT DO
            NOTHING RETURNING partitions)
         INSERT INTO passbook.log_head (partition, position, recorded_at)
         SELECT p, 0, '0001-01-01T00:00:00Z' FROM made, generate_series(0, made.partitions - 1)
         AS p",
    )
    .bind(Uuid::new_v4())
    .bind(partitions)
    .execute(owner)
    .await
    .context("the store cannot be created")?;
    Ok(())
}

/// Returns the store; `None` if none was created.
pub async fn find(connection: &mut PgConnection) -> sqlx::Result<Option<Store>> {
    let sql = "SELECT store_id, partitions, opened_by_key_alone FROM passbook.store";
    let row = sqlx::query(sql).fetch_optional(connection).await?;
    let store = |row: PgRow| {
        let (store_id, partitions) = (row.try_get(0)?, row.try_get(1)?);
        Ok(Store { store_id, partitions, opened_by_key_alone: row.try_get(2)? })
    };
    row.map(store).transpose()
}
