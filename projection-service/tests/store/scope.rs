//! Scope of the tests: every account.

use passbook_shared::access::Reach;
use projection_service::store::accounts;
use projection_service::store::scope::{AccountInScope, Scope};
use sqlx::PgPool;
use uuid::Uuid;

pub(crate) fn everything() -> Scope {
    Scope::of(Reach::default())
}

/// Returns an account that exists, for queries of its history.
pub(crate) async fn in_scope(pool: &PgPool, account_id: Uuid) -> AccountInScope {
    accounts::find(pool, &everything(), account_id).await.unwrap().unwrap().in_scope()
}
