//! `GET /v1/accounts/{id}/entries`: the statement of an account.

mod line;

use axum::Json;
use axum::http::HeaderMap;
use passbook_shared::event::AccountEvent;
use passbook_shared::http::cursor::List;
use passbook_shared::http::extract::{Path, QueryWithMetadata};
use passbook_shared::http::page::{cut, limit, read_number, write_number};
use passbook_shared::http::problem::Problem;
use passbook_shared::timestamp::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};
use uuid::Uuid;

use super::documented::{Responses, Wait, account_problems};
use super::metadata::LabelParameter;
use super::{AppState, problems};
use crate::store::history::effective::{self, Place};
use crate::store::history::entries::{self, Entry, Filter};
use crate::store::history::{self, Period};
use crate::store::scope::{AccountInScope, Scope};
pub(super) use line::EntryView;

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Params {
    /// Only events of this type, such as `MoneyDeposited`. By default, all events that move or hold
    /// money.
    #[serde(rename = "type")]
    #[param(schema_with = event_types)]
    event_type: Option<String>,
    /// Time that orders the entries: time of recording, or effective time. `from`, `to` and the
    /// balances refer to the same time.
    #[param(inline)]
    #[serde(default)]
    order: Order,
    /// Start of the period, inclusive.
    #[param(value_type = Option<String>, format = DateTime)]
    from: Option<Timestamp>,
    /// End of the period, exclusive. For a past period, the answer waits until the view has all
    /// events recorded in it. In recorded order, the answer then never changes. In effective order,
    /// it changes if a later entry is effective in the period, unless `as_of` is given.
    #[param(value_type = Option<String>, format = DateTime)]
    to: Option<Timestamp>,
    /// Events recorded after this time are ignored. A statement with the same `as_of` never
    /// changes. With a recent `as_of`, the answer waits until the view has all events recorded by
    /// then.
    #[param(value_type = Option<String>, format = DateTime)]
    as_of: Option<Timestamp>,
    /// Maximum number of entries.
    #[param(minimum = 1, maximum = 200, default = 50)]
    limit: Option<i64>,
    /// `next_cursor` of the previous page. The other parameters must be the same as for that page.
    #[param(pattern = "^([0-9a-f]{16})?[0-7][0-9a-f]{15}-[0-9a-f]{16}$")]
    cursor: Option<String>,
    /// Wait until the view has reached this version.
    #[param(minimum = 1)]
    min_version: Option<i64>,
}

/// Order of a statement.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Order {
    /// By the time of recording, the order of the log.
    #[default]
    Recorded,
    /// By effective time, the value date.
    Effective,
}

/// A page of a statement, newest first. Amounts are in minor units of the account's currency.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct Statement {
    data: Vec<EntryView>,
    /// Balance before the period; 0 if the period begins before the opening.
    #[schema(examples(100_000))]
    opening_balance: i64,
    /// Balance at the end of the period.
    #[schema(examples(125_000))]
    closing_balance: i64,
    /// Time at which the first event of the account was quarantined. Later events are missing from
    /// this view. Usually absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(
        value_type = Option<String>,
        format = DateTime,
        examples("2026-11-24T12:00:00.000000Z")
    )]
    quarantined_since: Option<Timestamp>,
    /// Cursor of the next page; absent on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
    /// True if there is a next page.
    has_more: bool,
}

/// The statement of an account, newest first
///
/// `opening_balance` and `closing_balance` cover the whole period, regardless of page, type and
/// metadata. With `order=effective`, entries are ordered by effective time (value date). Each
/// `balance` is then the sum of all entries up to and including that one, in effective order.
#[utoipa::path(get, operation_id = "list_entries", path = "/v1/accounts/{id}/entries",
    tag = "accounts",
    security(("api_key" = ["accounts:read"])),
    params(("id" = Uuid, Path, description = "The account"), Params, LabelParameter, Wait),
    responses((status = 200, description = "The page", body = Statement), Problems))]
pub(super) async fn list(
    state: AppState,
    scope: Scope,
    Path(account_id): Path<Uuid>,
    QueryWithMetadata(params, metadata): QueryWithMetadata<Params>,
    headers: HeaderMap,
) -> Result<Json<Statement>, Problem> {
    let Params { order, from, to, as_of, .. } = params;
    let limit = limit(params.limit)?;
    let event_type = params.event_type.as_deref().map(known_type).transpose()?;
    let pages = List::of("entries", &(account_id, event_type, order, from, to, as_of, &metadata));
    let before =
        params.cursor.as_deref().map(|cursor| pages.place(cursor, read_place)).transpose()?;
    if from.zip(to).is_some_and(|(from, to)| from > to) {
        return Err(Problem::malformed("from", "must not be after `to`"));
    }
    state.until_version(&headers, &scope, account_id, params.min_version).await?;
    state.until_recorded(&headers, account_id, as_of).await?;
    if as_of.is_none() {
        state.until_over(&headers, account_id, to).await?;
    }
    let period = find_period(&state, &scope, account_id, (from, to), as_of).await?;
    let last = before.filter(|_| order == Order::Recorded).map_or(i64::MAX, |before| before.1);
    let filter = Filter {
        after: period.after,
        before: last.min(period.last + 1),
        event_type,
        metadata: &metadata,
        known: period.known,
    };
    let (opening_balance, closing_balance, mut found) = match order {
        Order::Recorded => {
            let id = period.account_id;
            let found = state.views.read(|pool| entries::list(pool, id, &filter, limit + 1));
            (period.opening_balance, period.closing_balance, found.await?)
        }
        Order::Effective => {
            by_value_date(&state, period.account_id, &filter, (from, to), before, limit + 1).await?
        }
    };
    let has_more = cut(&mut found, limit);
    Ok(Json(Statement {
        next_cursor: found.last().filter(|_| has_more).map(|last| pages.cursor(place(order, last))),
        data: found.into_iter().map(|entry| EntryView::of(entry, period.partition)).collect(),
        opening_balance,
        closing_balance,
        quarantined_since: period.quarantined_since,
        has_more,
    }))
}

async fn find_period(
    state: &AppState,
    scope: &Scope,
    account_id: Uuid,
    bounds: (Option<Timestamp>, Option<Timestamp>),
    as_of: Option<Timestamp>,
) -> Result<Period, Problem> {
    let found = |pool| history::period(pool, scope, account_id, bounds, as_of);
    match state.views.read(found).await? {
        Some(period) => Ok(period),
        None => Err(state.no_account(scope, account_id).await?),
    }
}

/// Writes the place of an entry in the list.
fn place(order: Order, entry: &Entry) -> String {
    match order {
        Order::Recorded => write_number(entry.version),
        Order::Effective => {
            write_place((entry.effective_at.unwrap_or(entry.recorded_at), entry.version))
        }
    }
}

/// Returns the balances at the bounds, and the entries between them, by value date.
async fn by_value_date(
    state: &AppState,
    account_id: AccountInScope,
    filter: &Filter<'_>,
    bounds: (Option<Timestamp>, Option<Timestamp>),
    before: Option<Place>,
    limit: i64,
) -> Result<(i64, i64, Vec<Entry>), Problem> {
    let ends = [bounds.0.unwrap_or(Timestamp::FIRST), bounds.1.unwrap_or(Timestamp::LAST)];
    let views = &state.views;
    let balances =
        views.read(|pool| effective::balances(pool, account_id, filter.known, &ends)).await?;
    let found =
        views.read(|pool| effective::list(pool, account_id, filter, bounds, before, limit)).await?;
    Ok((balances[0], balances[1], found))
}

/// Formats a place in effective order as 32 hexadecimal digits.
fn write_place((at, version): Place) -> String {
    format!("{:016x}{}", at.as_micros().cast_unsigned(), write_number(version))
}

/// Parses the place in a cursor. A cursor of the recorded order has only a version.
fn read_place(place: &str) -> Option<Place> {
    match place.split_at_checked(16) {
        Some((version, "")) => Some((Timestamp::LAST, read_number(version)?)),
        Some((at, version)) => {
            let micros = u64::from_str_radix(at, 16).ok()?.cast_signed();
            Some((Timestamp::from_micros(micros)?, read_number(version)?))
        }
        None => None,
    }
}

fn event_types() -> Schema {
    let types = AccountEvent::TYPES.iter().copied();
    ObjectBuilder::new().schema_type(Type::String).enum_values(Some(types)).into()
}

fn known_type(name: &str) -> Result<&'static str, Problem> {
    AccountEvent::TYPES.iter().copied().find(|known| *known == name).ok_or_else(|| {
        Problem::malformed("type", format!("must be one of {}", AccountEvent::TYPES.join(", ")))
    })
}

struct Problems;

impl utoipa::IntoResponses for Problems {
    fn responses() -> Responses {
        account_problems([problems::log_unavailable()])
    }
}
