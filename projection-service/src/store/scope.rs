//! Accounts that a query may show. Queries of accounts take a scope, and queries of an
//! account's history take the account that such a query has found: none can forget it.

use passbook_shared::access::Reach;
use sqlx::{Postgres, QueryBuilder};
use uuid::Uuid;

/// Restriction of a query to the accounts in a sender's reach, by their current owner.
#[derive(Debug, Clone)]
pub struct Scope(Reach);

/// Account that a query with a scope has found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, sqlx::Type)]
#[sqlx(transparent)]
pub struct AccountInScope(pub(in crate::store) Uuid);

impl Scope {
    /// Returns the scope of a sender.
    pub fn of(reach: Reach) -> Self {
        Self(reach)
    }

    /// Returns the scope of all accounts of the tenant.
    pub fn of_tenant(&self) -> Self {
        Self(Reach { owner: None, ..self.0.clone() })
    }

    /// Returns the reach of the sender.
    pub fn reach(&self) -> &Reach {
        &self.0
    }

    /// Returns the tenant of the accounts; any, and none, if absent.
    pub(in crate::store) fn tenant(&self) -> Option<&str> {
        self.0.tenant.as_deref()
    }

    /// Returns the current owner of the accounts; any, if absent.
    pub(in crate::store) fn owner(&self) -> Option<&str> {
        self.0.owner.as_deref()
    }

    /// Adds the conditions of the scope. `owner` is the column with the current owner.
    pub(in crate::store) fn push_to(&self, sql: &mut QueryBuilder<Postgres>, owner: &str) {
        if let Some(tenant) = self.tenant() {
            sql.push(" AND tenant = ").push_bind(tenant.to_owned());
        }
        if let Some(own) = self.owner() {
            sql.push(" AND ").push(owner).push(" = ").push_bind(own.to_owned());
        }
    }
}
