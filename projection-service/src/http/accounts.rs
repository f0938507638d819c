//! `GET /v1/accounts`: a page of accounts.

mod cursor;

use axum::Json;
use axum::http::HeaderMap;
use passbook_shared::event::AccountStatus;
use passbook_shared::http::cursor::List;
use passbook_shared::http::extract::QueryWithMetadata;
use passbook_shared::http::page::{cut, limit};
use passbook_shared::http::problem::Problem;
use passbook_shared::money::Currency;
use passbook_shared::position::Position;
use passbook_shared::tenant::Tenant;
use passbook_shared::text::{Metadata, Owner};
use passbook_shared::timestamp::Timestamp;
use serde::{Deserialize, Serialize};

use super::AppState;
use super::account::AccountView;
use super::documented::{Responses, Wait, list_problems};
use super::metadata::LabelParameter;
use crate::store::accounts::{self, Filter, Sort, SortBy};
use crate::store::scope::Scope;
use cursor::Cursor;

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Params {
    /// Only accounts of this tenant.
    #[param(value_type = Option<String>, pattern = "^[A-Za-z0-9._-]{1,64}$")]
    tenant: Option<Tenant>,
    /// Only accounts of this owner.
    #[param(value_type = Option<String>, min_length = 1, max_length = 200)]
    owner: Option<Owner>,
    /// Only accounts in this currency, ISO 4217.
    #[param(value_type = Option<String>, pattern = "^[A-Z]{3}$")]
    currency: Option<Currency>,
    /// Only accounts with this status.
    #[param(inline)]
    status: Option<AccountStatus>,
    /// Minimum balance, in minor units.
    min_balance: Option<i64>,
    /// Maximum balance, in minor units.
    max_balance: Option<i64>,
    /// Only accounts whose opening was recorded at this time or later.
    #[param(value_type = Option<String>, format = DateTime)]
    opened_since: Option<Timestamp>,
    /// Only accounts whose opening was recorded before this time.
    #[param(value_type = Option<String>, format = DateTime)]
    opened_until: Option<Timestamp>,
    /// Order; `-` puts the newest or largest first. Accounts with equal keys are ordered by id.
    #[param(inline)]
    #[serde(default)]
    sort: Order,
    /// Maximum number of accounts.
    #[param(minimum = 1, maximum = 200, default = 50)]
    limit: Option<i64>,
    /// `next_cursor` of the previous page. The other parameters must be the same as for that page.
    #[param(pattern = "^[0-9a-f]{48}-[0-9a-f]{16}$")]
    cursor: Option<String>,
    /// Time in the past. The states include exactly the events recorded by then. Pages of one list
    /// with the same `as_of` show one moment.
    #[param(value_type = Option<String>, format = DateTime)]
    as_of: Option<Timestamp>,
    /// Wait until the views have reached this position.
    #[param(value_type = Option<String>, pattern = "^[0-9]{1,4}-[0-9]{1,18}$")]
    at_least: Option<Position>,
}

#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize, utoipa::ToSchema)]
enum Order {
    #[default]
    #[serde(rename = "opened_at")]
    Opened,
    #[serde(rename = "-opened_at")]
    OpenedLast,
    #[serde(rename = "balance")]
    Balance,
    #[serde(rename = "-balance")]
    Largest,
    #[serde(rename = "last_activity")]
    Activity,
    #[serde(rename = "-last_activity")]
    ActiveLast,
}

impl Order {
    fn sort(self) -> Sort {
        let (by, descending) = match self {
            Self::Opened => (SortBy::OpenedAt, false),
            Self::OpenedLast => (SortBy::OpenedAt, true),
            Self::Balance => (SortBy::Balance, false),
            Self::Largest => (SortBy::Balance, true),
            Self::Activity => (SortBy::LastActivity, false),
            Self::ActiveLast => (SortBy::LastActivity, true),
        };
        Sort { by, descending }
    }
}

impl Params {
    /// Returns the list that this page belongs to.
    fn list(&self, metadata: &Metadata) -> List {
        let Self { owner, currency, status, min_balance, max_balance, sort, as_of, .. } = self;
        let filters = (owner, currency, status, min_balance, max_balance, sort, as_of, metadata);
        // Cursors of builds without the later parameters stay valid.
        match (&self.tenant, self.opened_since, self.opened_until) {
            (None, None, None) => List::of("accounts", &filters),
            (None, since, until) => List::of("accounts", &(filters, (since, until))),
            later => List::of("accounts", &(filters, later)),
        }
    }
}

/// A page of accounts.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct AccountPage {
    data: Vec<AccountView>,
    /// The `as_of` of the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false, format = DateTime)]
    as_of: Option<Timestamp>,
    /// Cursor of the next page; absent on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
    /// True if there is a next page.
    has_more: bool,
}

/// A page of accounts
///
/// Pages continue after the sort key of the last row. With `as_of` all pages show one moment: a
/// transfer is on both accounts or on neither. Without it, each page shows the current state: an
/// account whose balance changes may appear on two pages or on none, and one leg of a transfer
/// before the other.
#[utoipa::path(get, operation_id = "list_accounts", path = "/v1/accounts", tag = "accounts",
    security(("api_key" = ["accounts:read"])),
    params(Params, LabelParameter, Wait),
    responses((status = 200, description = "The page", body = AccountPage), Problems))]
pub(super) async fn list(
    state: AppState,
    scope: Scope,
    QueryWithMetadata(params, metadata): QueryWithMetadata<Params>,
    headers: HeaderMap,
) -> Result<Json<AccountPage>, Problem> {
    let limit = limit(params.limit)?;
    let sort = params.sort.sort();
    if params.min_balance.zip(params.max_balance).is_some_and(|(least, most)| least > most) {
        return Err(Problem::malformed("min_balance", "must not be more than `max_balance`"));
    }
    if params.opened_since.zip(params.opened_until).is_some_and(|(since, until)| since > until) {
        return Err(Problem::malformed("opened_since", "must not be after `opened_until`"));
    }
    let pages = params.list(&metadata);
    let read = |place: &str| Cursor::read(place, sort.by);
    let after = params.cursor.as_deref().map(|cursor| pages.place(cursor, read)).transpose()?;
    state.until_position(&headers, params.at_least).await?;
    state.until_all_recorded(&headers, params.as_of).await?;
    let filter = Filter {
        tenant: params.tenant.map(|tenant| tenant.to_string()),
        owner: params.owner.map(|owner| owner.to_string()),
        currency: params.currency,
        status: params.status,
        min_balance: params.min_balance,
        max_balance: params.max_balance,
        opened_since: params.opened_since,
        opened_until: params.opened_until,
        metadata,
        as_of: params.as_of,
    };
    let after = after.map(|cursor| (cursor.key, cursor.account_id));
    // One more row than the page shows whether there is a next page.
    let found =
        state.views.read(|pool| accounts::list(pool, &scope, &filter, sort, (after, limit + 1)));
    let mut found = found.await?;
    let has_more = cut(&mut found, limit);
    let next_cursor =
        found.last().filter(|_| has_more).map(|last| pages.cursor(Cursor::after(last, sort.by)));
    Ok(Json(AccountPage {
        data: found.into_iter().map(AccountView::from).collect(),
        as_of: params.as_of,
        next_cursor,
        has_more,
    }))
}

struct Problems;

impl utoipa::IntoResponses for Problems {
    fn responses() -> Responses {
        list_problems()
    }
}
