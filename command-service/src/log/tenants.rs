//! Numbers of accounts and open holds of tenants.

use std::collections::HashMap;

use passbook_shared::tenant::Tenant;
use sqlx::{PgPool, Row};

use super::in_time;

/// Numbers of a tenant.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Open accounts.
    pub accounts: i64,
    /// Open holds.
    pub open_holds: i64,
}

/// Returns the numbers of all tenants.
///
/// # Errors
/// Errors of Postgres.
pub async fn counts(pool: &PgPool) -> sqlx::Result<HashMap<Tenant, Counts>> {
    let sql = "SELECT tenant, accounts, open_holds FROM passbook.tenants";
    let rows = in_time(sqlx::query(sql).fetch_all(pool)).await?;
    let count = |row: &sqlx::postgres::PgRow| {
        let tenant = row.try_get::<&str, _>(0)?.parse();
        let tenant = tenant.map_err(|error: String| sqlx::Error::Decode(error.into()))?;
        Ok((tenant, Counts { accounts: row.try_get(1)?, open_holds: row.try_get(2)? }))
    };
    rows.iter().map(count).collect()
}
