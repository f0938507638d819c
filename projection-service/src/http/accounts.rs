//! `GET /v1/accounts`: a page of accounts.

mod cursor;

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use passbook_shared::event::AccountStatus;
use passbook_shared::http::cursor::List;
use passbook_shared::http::extract::QueryWithMetadata;
use passbook_shared::http::problem::Problem;
use passbook_shared::money::Currency;
use passbook_shared::position::Position;
use passbook_shared::text::{Metadata, Owner};
use passbook_shared::timestamp::Timestamp;
use serde::{Deserialize, Serialize};

use super::AppState;
use super::account::AccountView;
use super::documented::{Responses, Wait, list_problems};
use super::labels::LabelsAsked;
use super::page::{cut, limit};
use crate::store::accounts::{self, Filter, Sort, SortBy};
use cursor::Cursor;

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Asked {
    /// Only this owner's.
    #[param(value_type = Option<String>, min_length = 1, max_length = 200)]
    owner: Option<Owner>,
    /// Only in this currency, ISO 4217.
    #[param(value_type = Option<String>, pattern = "^[A-Z]{3}$")]
    currency: Option<Currency>,
    /// Only with this status.
    #[param(inline)]
    status: Option<AccountStatus>,
    /// Only with at least this balance, in minor units.
    min_balance: Option<i64>,
    /// Only with at most this balance, in minor units.
    max_balance: Option<i64>,
    /// The order; `-`: newest or largest first. Accounts alike in it are ordered by id.
    #[param(inline)]
    #[serde(default)]
    sort: Order,
    /// At most so many.
    #[param(minimum = 1, maximum = 200, default = 50)]
    limit: Option<i64>,
    /// `next_cursor` of the page before; the other parameters must be that page's too.
    #[param(pattern = "^[0-9a-f]{48}-[0-9a-f]{16}$")]
    cursor: Option<String>,
    /// As of this time, which must be past: nothing recorded later, and all that was recorded by then. Pages of one list that
    /// are asked for with the same `as_of` show one moment.
    #[param(value_type = Option<String>, format = DateTime)]
    as_of: Option<Timestamp>,
    /// Wait until the views have got to this position.
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

impl Asked {
    /// The list of which this is a page.
    fn list(&self, metadata: &Metadata) -> List {
        let Self { owner, currency, status, min_balance, max_balance, sort, as_of, .. } = self;
        List::of(
            "accounts",
            &(owner, currency, status, min_balance, max_balance, sort, as_of, metadata),
        )
    }
}

/// A page of accounts.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct AccountPage {
    data: Vec<AccountView>,
    /// The moment it shows, if one was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false, format = DateTime)]
    as_of: Option<Timestamp>,
    /// For the next page; absent on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
    /// Whether there is a next page.
    has_more: bool,
}

/// A page of accounts
///
/// Pages follow each other by the value they are ordered by. With `as_of`, they show one moment, so that what moved between two
/// accounts is on both or on neither. Without it, each page shows the accounts as they are when it is made: an account whose
/// balance changes between two pages may be seen on both or on neither, and one leg of a transfer before the other.
#[utoipa::path(get, operation_id = "list_accounts", path = "/v1/accounts", tag = "accounts",
    params(Asked, LabelsAsked, Wait),
    responses((status = 200, description = "The page", body = AccountPage), Problems))]
pub(super) async fn list(
    State(state): State<AppState>,
    QueryWithMetadata(asked, metadata): QueryWithMetadata<Asked>,
    headers: HeaderMap,
) -> Result<Json<AccountPage>, Problem> {
    let limit = limit(asked.limit)?;
    let sort = asked.sort.sort();
    if asked.min_balance.zip(asked.max_balance).is_some_and(|(least, most)| least > most) {
        return Err(Problem::malformed("min_balance", "is more than `max_balance`"));
    }
    let pages = asked.list(&metadata);
    let read = |place: &str| Cursor::read(place, sort.by);
    let after = asked.cursor.as_deref().map(|cursor| pages.place(cursor, read)).transpose()?;
    state.until_position(&headers, asked.at_least).await?;
    state.until_all_recorded(&headers, asked.as_of).await?;
    let filter = Filter {
        owner: asked.owner.map(|owner| owner.to_string()),
        currency: asked.currency,
        status: asked.status,
        min_balance: asked.min_balance,
        max_balance: asked.max_balance,
        metadata,
        as_of: asked.as_of,
    };
    let after = after.map(|cursor| (cursor.key, cursor.account_id));
    let pool = state.views.pool()?;
    let mut found = state.views.read(accounts::list(pool, &filter, sort, after, limit + 1)).await?;
    let has_more = cut(&mut found, limit);
    let next_cursor =
        found.last().filter(|_| has_more).map(|last| pages.cursor(Cursor::after(last, sort.by)));
    Ok(Json(AccountPage {
        data: found.into_iter().map(AccountView::from).collect(),
        as_of: asked.as_of,
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
