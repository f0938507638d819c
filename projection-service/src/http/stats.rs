//! `GET /v1/stats`: sums over all accounts.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use axum::Json;
use axum::http::HeaderMap;
use passbook_shared::http::extract::Query;
use passbook_shared::http::problem::Problem;
use passbook_shared::position::Position;
use passbook_shared::timestamp::Timestamp;
use serde::{Deserialize, Serialize};
use sqlx::PgPool;
use tokio::sync::Mutex;

use super::AppState;
use super::documented::{Responses, Wait, list_problems};
use crate::checkpoint::Checkpoint;
use crate::store::accounts::{self, Total};
use crate::store::checkpoints;

/// Maximum age of cached sums. They are cached because computing them reads every account.
const FRESH: Duration = Duration::from_millis(500);

/// Latest sums.
#[derive(Debug, Default)]
pub(super) struct Cache {
    last: Mutex<Option<(Instant, Stats)>>,
}

/// Sums over all accounts. Amounts are in minor units of the currency.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub(super) struct Stats {
    /// Number of accounts.
    #[schema(minimum = 0, examples(10_000))]
    accounts: i64,
    /// Number of accounts by status.
    accounts_by_status: ByStatus,
    /// Sums by currency.
    currencies: Vec<InCurrency>,
    /// Number of positions of the log that the views have reached now, regardless of `as_of`.
    #[schema(minimum = 0, examples(1_000_000))]
    events_applied: i64,
    /// The `as_of` of the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false, format = DateTime)]
    as_of: Option<Timestamp>,
    /// Minimum position per partition that the sums include.
    #[serde(skip)]
    positions: Vec<Position>,
}

/// Number of accounts by status.
#[derive(Debug, Clone, Default, Serialize, utoipa::ToSchema)]
#[schema(as = AccountsByStatus)]
struct ByStatus {
    /// Accounts that accept debits and credits.
    #[schema(minimum = 0, examples(9_900))]
    open: i64,
    /// Accounts that accept no debits.
    #[schema(minimum = 0, examples(50))]
    frozen: i64,
    /// Accounts that accept nothing.
    #[schema(minimum = 0, examples(50))]
    closed: i64,
}

/// Sums over the accounts of a currency.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
#[schema(as = CurrencyTotals)]
struct InCurrency {
    /// ISO 4217.
    #[schema(min_length = 3, max_length = 3, examples("EUR"))]
    currency: String,
    /// Number of accounts.
    #[schema(minimum = 1, examples(10_000))]
    accounts: i64,
    /// Sum of the balances. May exceed 64 bits.
    #[schema(value_type = i64, format = "", examples(1_250_000_000))]
    balance: i128,
    /// Sum of the open holds. May exceed 64 bits.
    #[schema(value_type = i64, format = "", examples(0))]
    held: i128,
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Params {
    /// Time in the past. The sums include exactly the events recorded by then.
    #[param(value_type = Option<String>, format = DateTime)]
    as_of: Option<Timestamp>,
    /// Wait until the views have reached this position.
    #[param(value_type = Option<String>, pattern = "^[0-9]{1,4}-[0-9]{1,18}$")]
    at_least: Option<Position>,
}

/// Sums over all accounts
///
/// The sums are at most half a second old, and never older than `at_least`. With `as_of` they show
/// one moment; without it, they may include one leg of a transfer before the other.
#[utoipa::path(get, operation_id = "get_stats", path = "/v1/stats", tag = "accounts",
    security(("api_key" = ["ops:read"])),
    params(Params, Wait),
    responses((status = 200, description = "The sums", body = Stats), Problems))]
pub(super) async fn get(
    state: AppState,
    Query(params): Query<Params>,
    headers: HeaderMap,
) -> Result<Json<Stats>, Problem> {
    state.until_position(&headers, params.at_least).await?;
    state.until_all_recorded(&headers, params.as_of).await?;
    Ok(Json(state.views.read(|pool| state.stats.get(pool, params.at_least, params.as_of)).await?))
}

impl Cache {
    /// Returns the sums. Concurrent callers wait for one computation.
    async fn get(
        &self,
        pool: &PgPool,
        at_least: Option<Position>,
        as_of: Option<Timestamp>,
    ) -> sqlx::Result<Stats> {
        let mut last = self.last.lock().await;
        if as_of.is_none()
            && let Some((at, stats)) = &*last
            && at.elapsed() < FRESH
            // The cached sums may be older than the client's own write.
            && at_least.is_none_or(|wanted| stats.has(wanted))
        {
            return Ok(stats.clone());
        }
        // The positions are read before the sums, so the sums include at least these positions.
        let checkpoints = checkpoints::all(pool).await?;
        let mut stats = Stats::of(accounts::totals(pool, as_of).await?);
        stats.as_of = as_of;
        stats.events_applied = checkpoints.iter().map(|checkpoint| checkpoint.position).sum();
        let position = |c: &Checkpoint| Position { partition: c.partition, number: c.position };
        stats.positions = checkpoints.iter().map(position).collect();
        // Sums of the past depend on the request, so only the current ones are cached.
        if as_of.is_none() {
            *last = Some((Instant::now(), stats.clone()));
        }
        Ok(stats)
    }
}

impl Stats {
    fn of(totals: Vec<Total>) -> Self {
        use passbook_shared::event::AccountStatus;
        let mut by_status = ByStatus::default();
        let mut currencies = BTreeMap::<String, InCurrency>::new();
        for total in totals {
            *match total.status {
                AccountStatus::Open => &mut by_status.open,
                AccountStatus::Frozen => &mut by_status.frozen,
                AccountStatus::Closed => &mut by_status.closed,
            } += total.accounts;
            let currency = total.currency;
            let none = InCurrency { currency: currency.clone(), accounts: 0, balance: 0, held: 0 };
            let sums = currencies.entry(currency).or_insert(none);
            sums.accounts += total.accounts;
            sums.balance += total.balance;
            sums.held += total.held;
        }
        Self {
            accounts: by_status.open + by_status.frozen + by_status.closed,
            accounts_by_status: by_status,
            currencies: currencies.into_values().collect(),
            events_applied: 0,
            as_of: None,
            positions: Vec::new(),
        }
    }

    fn has(&self, wanted: Position) -> bool {
        self.positions.iter().any(|position| {
            position.partition == wanted.partition && position.number >= wanted.number
        })
    }
}

struct Problems;

impl utoipa::IntoResponses for Problems {
    fn responses() -> Responses {
        list_problems()
    }
}
