//! Complete sets of views, one of them live. The only place that knows where a generation's tables are.

use sqlx::PgPool;
use sqlx::migrate::{MigrateError, Migrator};
use sqlx::postgres::PgConnectOptions;

/// One complete set of views.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Generation(pub i32);

impl Generation {
    /// Settings of connections whose statements see this generation: its schema comes first in their `search_path`.
    pub fn options(self, database: &PgConnectOptions) -> PgConnectOptions {
        // In UTC, so that Postgres's own arithmetic with days and months agrees with ours.
        database.clone().options([("search_path", format!("views_{}", self.0)), ("TimeZone", "UTC".to_owned())])
    }
}

/// Brings the schema up to date. Instances that start at once wait for each other: migrations hold an advisory lock.
///
/// # Errors
/// Postgres refuses, or a newer program has been here.
pub async fn migrate(pool: &PgPool) -> Result<(), MigrateError> {
    let mut migrator: Migrator = sqlx::migrate!();
    // A table of our own: the log may be in the same database, with migrations of its own.
    migrator.create_schema("projection");
    migrator.dangerous_set_table_name("projection.migrations");
    migrator.run(pool).await
}

/// The generation that queries are answered from.
///
/// # Errors
/// As any query.
pub async fn live(pool: &PgPool) -> sqlx::Result<Generation> {
    sqlx::query_scalar("SELECT generation FROM projection.generations WHERE live").fetch_one(pool).await.map(Generation)
}
