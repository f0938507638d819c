//! Which store this is, how many partitions its log has; the schema's migrations.

use anyhow::{Context, bail};
use passbook_shared::partition::Partition;
use sqlx::{PgPool, Row};
use uuid::Uuid;

/// The store, as it was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Store {
    /// Names it in every record of the topic.
    pub store_id: Uuid,
    /// Partitions of its log, and of the topic.
    pub partitions: Partition,
}

/// Brings the schema up to date, and makes the store if there is none.
///
/// # Errors
/// Postgres refuses, a newer program has been here, or the store has another number of partitions than asked for.
pub async fn prepare(pool: &PgPool, partitions: Option<Partition>) -> anyhow::Result<Store> {
    sqlx::migrate!().run(pool).await.context("the schema can't be brought up to date")?;
    let store = find_or_make(pool, partitions.unwrap_or(DEFAULT_PARTITIONS)).await?;
    if let Some(asked) = partitions.filter(|asked| *asked != store.partitions) {
        bail!(
            "PARTITIONS (--partitions) is {asked}, but this store was made with {}: the number is fixed, leave it out",
            store.partitions
        );
    }
    Ok(store)
}

/// The partitions of a new store, if nobody says otherwise.
pub const DEFAULT_PARTITIONS: Partition = 12;

async fn find_or_make(pool: &PgPool, partitions: Partition) -> anyhow::Result<Store> {
    // One statement, so that two services that start at once make one store.
    sqlx::query(
        "WITH made AS (
            INSERT INTO passbook.store (store_id, partitions) VALUES ($1, $2) ON CONFLICT DO NOTHING RETURNING partitions)
         INSERT INTO passbook.log_head (partition, position, recorded_at)
         SELECT p, 0, '0001-01-01T00:00:00Z' FROM made, generate_series(0, made.partitions - 1) AS p",
    )
    .bind(Uuid::new_v4())
    .bind(partitions)
    .execute(pool)
    .await
    .context("the store can't be made")?;
    let row = sqlx::query("SELECT store_id, partitions FROM passbook.store").fetch_one(pool).await?;
    Ok(Store { store_id: row.try_get(0)?, partitions: row.try_get(1)? })
}

/// Gives a role what the service needs at run time, and no more: it can add to the log, never change it.
///
/// # Errors
/// Postgres refuses.
pub async fn grant(pool: &PgPool, role: &str) -> anyhow::Result<()> {
    let role = format!("\"{}\"", role.replace('"', "\"\""));
    let sql = format!(
        "GRANT USAGE ON SCHEMA passbook TO {role};
         GRANT SELECT ON passbook.store TO {role};
         GRANT SELECT, INSERT ON passbook.epochs TO {role};
         GRANT SELECT, UPDATE ON passbook.log_head TO {role};
         GRANT SELECT, INSERT ON passbook.events, passbook.transfers, passbook.reversals TO {role};
         GRANT SELECT, INSERT, DELETE ON passbook.commands TO {role};
         GRANT SELECT, INSERT, UPDATE ON passbook.snapshots, passbook.holds TO {role};"
    );
    // The role's name is quoted; nothing else in it comes from outside.
    sqlx::raw_sql(sqlx::AssertSqlSafe(sql))
        .execute(pool)
        .await
        .context("the runtime role can't be granted its rights")?;
    Ok(())
}
