//! Pages of accounts.

use passbook_shared::event::AccountStatus;
use passbook_shared::money::Currency;
use passbook_shared::text::Metadata;
use passbook_shared::timestamp::Timestamp;
use sqlx::{PgPool, Postgres, QueryBuilder};
use uuid::Uuid;

use super::{Account, from_accounts};
use crate::store::metadata;
use crate::store::scope::Scope;

/// Filter of a list of accounts. Each criterion that is present must match.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Tenant.
    pub tenant: Option<String>,
    /// Owner.
    pub owner: Option<String>,
    /// Currency.
    pub currency: Option<Currency>,
    /// Status.
    pub status: Option<AccountStatus>,
    /// Minimum balance, in minor units.
    pub min_balance: Option<i64>,
    /// Maximum balance, in minor units.
    pub max_balance: Option<i64>,
    /// Earliest time of the opening's recording.
    pub opened_since: Option<Timestamp>,
    /// Exclusive end of the times of the opening's recording.
    pub opened_until: Option<Timestamp>,
    /// Metadata entries, all of which must match.
    pub metadata: Metadata,
    /// Time up to which recorded events are included; absent for the current states.
    pub as_of: Option<Timestamp>,
}

/// Order of a list. Accounts with equal keys are ordered by id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sort {
    /// Sort column.
    pub by: SortBy,
    /// True if the largest or newest comes first.
    pub descending: bool,
}

/// Columns that a list can be ordered by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SortBy {
    /// Time at which the opening was recorded.
    OpenedAt,
    /// Balance.
    Balance,
    /// Time at which the newest event was recorded.
    LastActivity,
}

/// Sort key of the last row of a page; the next page begins after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SortKey {
    /// Time of a time column.
    Time(Timestamp),
    /// Amount in minor units.
    Amount(i64),
}

/// Returns a page of accounts.
pub async fn list(
    pool: &PgPool,
    scope: &Scope,
    filter: &Filter,
    sort: Sort,
    (after, limit): (Option<(SortKey, Uuid)>, i64),
) -> sqlx::Result<Vec<Account>> {
    let column = match sort.by {
        SortBy::OpenedAt => "opened_at",
        SortBy::Balance => "balance",
        SortBy::LastActivity => "last_activity",
    };
    let (behind, direction) = if sort.descending { ("<", "DESC") } else { (">", "ASC") };
    let mut sql = QueryBuilder::<Postgres>::new(
        "SELECT a.account_id, a.tenant, a.owner, a.currency, a.opened_at, a.last_activity,
                a.version, a.position, a.partition,
                a.status, a.balance, a.held, a.overdraft_limit, a.transaction_count,
                    a.metadata::text AS metadata,
                (SELECT q.since FROM quarantine AS q WHERE q.account_id = a.account_id
                    AND NOT q.waits LIMIT 1)
                    AS quarantined_since",
    );
    from_accounts(&mut sql, filter.as_of);
    scope.push_to(&mut sql, if filter.as_of.is_some() { "current_owner" } else { "owner" });
    restrict(&mut sql, filter);
    if let Some((key, account_id)) = after {
        // A comparison of rows continues after the last row, also among equal keys.
        sql.push(format_args!(" AND ({column}, account_id) {behind} ("));
        match key {
            SortKey::Time(time) => sql.push_bind(time),
            SortKey::Amount(amount) => sql.push_bind(amount),
        };
        sql.push(", ").push_bind(account_id).push(")");
    }
    sql.push(format_args!(" ORDER BY {column} {direction}, account_id {direction} LIMIT "))
        .push_bind(limit);
    sql.build_query_as().fetch_all(pool).await
}

fn restrict(sql: &mut QueryBuilder<Postgres>, filter: &Filter) {
    if let Some(tenant) = &filter.tenant {
        sql.push(" AND tenant = ").push_bind(tenant.clone());
    }
    if let Some(owner) = &filter.owner {
        sql.push(" AND owner = ").push_bind(owner.clone());
        if filter.as_of.is_some() {
            // Implied by the owner at that time, and found by indexes.
            sql.push(" AND (current_owner = ").push_bind(owner.clone());
            sql.push(" OR opening_owner IS NOT NULL)");
        }
    }
    if let Some(currency) = filter.currency {
        sql.push(" AND currency = ").push_bind(currency.code());
    }
    if let Some(status) = filter.status {
        sql.push(" AND status = ").push_bind(status.as_str());
    }
    if let Some(least) = filter.min_balance {
        sql.push(" AND balance >= ").push_bind(least);
    }
    if let Some(most) = filter.max_balance {
        sql.push(" AND balance <= ").push_bind(most);
    }
    if let Some(since) = filter.opened_since {
        sql.push(" AND opened_at >= ").push_bind(since);
    }
    if let Some(until) = filter.opened_until {
        sql.push(" AND opened_at < ").push_bind(until);
    }
    metadata::restrict(sql, "metadata", &filter.metadata);
}
