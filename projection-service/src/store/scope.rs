//! Accounts that a query may show. Queries of accounts take a scope, and queries of an
//! account's history take the account that such a query has found: none can forget it.

use passbook_shared::access::Reach;
use sqlx::{Postgres, QueryBuilder};
use uuid::Uuid;

/// Restriction of a query to the accounts in a sender's reach.
#[derive(Debug, Clone)]
pub struct Scope {
    /// Tenant of the accounts; any, and none, if absent.
    pub(in crate::store) tenant: Option<String>,
    /// Current owner of the accounts; any, if absent.
    pub(in crate::store) owner: Option<String>,
}

/// Account that a query with a scope has found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, sqlx::Type)]
#[sqlx(transparent)]
pub struct AccountInScope(pub(in crate::store) Uuid);

impl Scope {
    /// Returns the scope of a sender.
    pub fn of(reach: &Reach) -> Self {
        Self {
            tenant: reach.tenant.as_deref().map(str::to_owned),
            owner: reach.owner.as_deref().map(str::to_owned),
        }
    }

    /// Returns the scope of all accounts of the tenant.
    pub fn of_tenant(&self) -> Self {
        Self { tenant: self.tenant.clone(), owner: None }
    }

    /// Returns true if an account of this tenant and owner is in the scope.
    pub fn includes(&self, tenant: Option<&str>, owner: &str) -> bool {
        (self.tenant.is_none() || self.tenant.as_deref() == tenant)
            && self.owner.as_deref().is_none_or(|own| own == owner)
    }

    /// Returns true if every account is in the scope.
    pub fn is_everything(&self) -> bool {
        self.tenant.is_none() && self.owner.is_none()
    }

    /// Adds the conditions of the scope. `owner` is the column with the current owner.
    pub(in crate::store) fn push_to(&self, sql: &mut QueryBuilder<Postgres>, owner: &str) {
        if let Some(tenant) = &self.tenant {
            sql.push(" AND tenant = ").push_bind(tenant.clone());
        }
        if let Some(own) = &self.owner {
            sql.push(" AND ").push(owner).push(" = ").push_bind(own.clone());
        }
    }
}
