//! What was set aside, and the accounts that wait.

use std::collections::HashSet;

use sqlx::PgExecutor;
use uuid::Uuid;

/// Those of the accounts that have an event set aside: what comes for them waits behind it.
///
/// # Errors
/// As any query.
pub async fn waiting(executor: impl PgExecutor<'_>, accounts: &[Uuid]) -> sqlx::Result<HashSet<Uuid>> {
    let ids: Vec<Uuid> = sqlx::query_scalar("SELECT DISTINCT account_id FROM quarantine WHERE account_id = ANY ($1)")
        .bind(accounts)
        .fetch_all(executor)
        .await?;
    Ok(ids.into_iter().collect())
}

/// How many records and events are set aside.
///
/// # Errors
/// As any query.
pub async fn count(executor: impl PgExecutor<'_>) -> sqlx::Result<i64> {
    sqlx::query_scalar("SELECT count(*) FROM quarantine").fetch_one(executor).await
}
