//! Current states, one row per account.

use std::collections::HashMap;

use passbook_shared::event::AccountStatus;
use passbook_shared::position::Position;
use passbook_shared::timestamp::Timestamp;
use sqlx::postgres::PgRow;
use sqlx::{FromRow, PgExecutor, PgPool, Postgres, QueryBuilder, Row};
use uuid::Uuid;

use crate::projection::AccountState;
use crate::store::scope::{AccountInScope, Scope};

/// Full rows, for comparisons with the log.
pub mod full_row;
mod list;

pub use list::{Filter, Sort, SortBy, SortKey, list};

/// State of an account, current or past. Amounts are in minor units.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Account id.
    pub account_id: Uuid,
    /// Tenant, if the account has one.
    pub tenant: Option<String>,
    /// Owner at that time, an opaque reference.
    pub owner: String,
    /// ISO 4217 code.
    pub currency: String,
    /// Time at which the opening was recorded.
    pub opened_at: Timestamp,
    /// Time at which the newest event was recorded.
    pub last_activity: Timestamp,
    /// Metadata of the opening, as JSON.
    pub metadata: Option<String>,
    /// State that events change.
    pub state: AccountState,
    /// Position of the newest event.
    pub position: Position,
    /// Time at which the first event was quarantined, if later events are.
    pub quarantined_since: Option<Timestamp>,
}

impl FromRow<'_, PgRow> for Account {
    fn from_row(row: &PgRow) -> sqlx::Result<Self> {
        let position =
            Position { partition: row.try_get("partition")?, number: row.try_get("position")? };
        Ok(Self {
            account_id: row.try_get("account_id")?,
            tenant: row.try_get("tenant")?,
            owner: row.try_get("owner")?,
            currency: row.try_get("currency")?,
            opened_at: row.try_get("opened_at")?,
            last_activity: row.try_get("last_activity")?,
            metadata: row.try_get("metadata")?,
            state: state(row)?,
            position,
            quarantined_since: row.try_get("quarantined_since")?,
        })
    }
}

impl Account {
    /// Returns the account's id, for queries of its history.
    pub fn in_scope(&self) -> AccountInScope {
        AccountInScope(self.account_id)
    }
}

fn state(row: &PgRow) -> sqlx::Result<AccountState> {
    Ok(AccountState {
        version: row.try_get("version")?,
        status: status(row.try_get("status")?)?,
        balance: row.try_get("balance")?,
        held: row.try_get("held")?,
        overdraft_limit: row.try_get("overdraft_limit")?,
        transaction_count: row.try_get("transaction_count")?,
    })
}

pub(crate) fn status(text: &str) -> sqlx::Result<AccountStatus> {
    text.parse()
        .map_err(|_| sqlx::Error::Decode(format!("`{text}` is not a status of an account").into()))
}

/// Returns the states of the listed accounts that exist.
pub async fn states(
    executor: impl PgExecutor<'_>,
    accounts: &[Uuid],
) -> sqlx::Result<HashMap<Uuid, AccountState>> {
    let rows = sqlx::query(
        "SELECT account_id, version, status, balance, held, overdraft_limit, transaction_count
           FROM accounts WHERE account_id = ANY ($1)",
    )
    .bind(accounts)
    .fetch_all(executor)
    .await?;
    rows.iter().map(|row| Ok((row.try_get("account_id")?, state(row)?))).collect()
}

/// Returns the current state of an account.
pub async fn find(pool: &PgPool, scope: &Scope, account_id: Uuid) -> sqlx::Result<Option<Account>> {
    sqlx::query_as(
        "SELECT a.account_id, a.tenant, a.owner, a.currency, a.opened_at, a.last_activity,
                a.version, a.position, a.partition,
                a.status, a.balance, a.held, a.overdraft_limit, a.transaction_count,
                    a.metadata::text AS metadata,
                (SELECT q.since FROM quarantine AS q WHERE q.account_id = a.account_id
                    AND NOT q.waits LIMIT 1)
                    AS quarantined_since
           FROM accounts AS a WHERE a.account_id = $1
            AND ($2::text IS NULL OR a.tenant = $2) AND ($3::text IS NULL OR a.owner = $3)",
    )
    .bind(account_id)
    .bind(scope.tenant())
    .bind(scope.owner())
    .fetch_optional(pool)
    .await
}

/// Returns the version of an account.
pub async fn version(pool: &PgPool, scope: &Scope, account_id: Uuid) -> sqlx::Result<Option<i64>> {
    sqlx::query_scalar(
        "SELECT version FROM accounts WHERE account_id = $1
            AND ($2::text IS NULL OR tenant = $2) AND ($3::text IS NULL OR owner = $3)",
    )
    .bind(account_id)
    .bind(scope.tenant())
    .bind(scope.owner())
    .fetch_optional(pool)
    .await
}

/// Adds the `FROM` clause: current states, or the states recorded by `as_of`. Accounts with later
/// events are taken from `history`.
fn from_accounts(sql: &mut QueryBuilder<Postgres>, as_of: Option<Timestamp>) {
    let Some(moment) = as_of else {
        sql.push(" FROM accounts AS a WHERE true");
        return;
    };
    sql.push(
        // An account without later events needs no look at its history.
        " FROM (SELECT c.account_id,
                       projection.owner_at(c.account_id, s.version, c.owner, c.opening_owner)
                           AS owner,
                       c.tenant, c.owner AS current_owner, c.opening_owner,
                       c.currency, c.opened_at, c.partition, c.metadata, s.*
                  FROM accounts AS c CROSS JOIN LATERAL (
                       SELECT c.last_activity, c.version, c.position, c.status, c.balance,
                           c.held, c.overdraft_limit,
                              c.transaction_count
                        WHERE c.last_activity <= ",
    )
    .push_bind(moment)
    .push(
        "              UNION ALL
                       SELECT h.recorded_at, h.version, h.position, h.status, h.balance, h.held,
                           h.overdraft_limit,
                              h.transaction_count
                         FROM history AS h
                        WHERE h.account_id = c.account_id AND c.last_activity > ",
    )
    .push_bind(moment)
    .push(" AND h.version = projection.version_at(c.account_id, c.version, ")
    .push_bind(moment)
    .push(")) AS s WHERE c.opened_at <= ")
    .push_bind(moment)
    .push(") AS a WHERE true");
}

/// Sums of the accounts that share a currency and a status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Total {
    /// ISO 4217 code.
    pub currency: String,
    /// Status.
    pub status: AccountStatus,
    /// Number of accounts.
    pub accounts: i64,
    /// Sum of their balances, in minor units.
    pub balance: i128,
    /// Sum of their open holds, in minor units.
    pub held: i128,
}

/// Returns the sums by currency and status, current or as of a time. Reads every account.
pub async fn totals(pool: &PgPool, as_of: Option<Timestamp>) -> sqlx::Result<Vec<Total>> {
    let mut sql = QueryBuilder::<Postgres>::new(
        // The sum of bigints is a numeric, for which the driver has no type here.
        "SELECT currency, status, count(*), sum(balance)::text, sum(held)::text",
    );
    from_accounts(&mut sql, as_of);
    sql.push(" GROUP BY currency, status ORDER BY currency, status");
    let rows = sql.build().fetch_all(pool).await?;
    rows.iter().map(total).collect()
}

fn total(row: &PgRow) -> sqlx::Result<Total> {
    let sum = |index| {
        let text: &str = row.try_get(index)?;
        text.parse().map_err(|error| sqlx::Error::Decode(Box::new(error)))
    };
    Ok(Total {
        currency: row.try_get(0)?,
        status: status(row.try_get(1)?)?,
        accounts: row.try_get(2)?,
        balance: sum(3)?,
        held: sum(4)?,
    })
}
