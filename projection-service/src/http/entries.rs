//! `GET /v1/accounts/{id}/entries`: the statement.

mod line;

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use passbook_shared::event::AccountEvent;
use passbook_shared::http::cursor::List;
use passbook_shared::http::extract::{Path, QueryWithMetadata};
use passbook_shared::http::problem::Problem;
use passbook_shared::timestamp::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};
use uuid::Uuid;

use super::documented::{Responses, Wait, account_problems};
use super::labels::LabelsAsked;
use super::page::{cut, limit, read_number, write_number};
use super::{AppState, log};
use crate::store::history;
use crate::store::history::effective::{self, Place};
use crate::store::history::entries::{self, Entry, Filter};
pub(super) use line::EntryView;

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Asked {
    /// Only events of this type, such as `MoneyDeposited`; without it, all that are about money.
    #[serde(rename = "type")]
    #[param(schema_with = event_types)]
    event_type: Option<String>,
    /// The order, and what `from`, `to` and the balances go by: the time at which entries were recorded, or from which they
    /// count.
    #[param(inline)]
    #[serde(default)]
    order: Order,
    /// Recorded (or counting from) this time or later.
    #[param(value_type = Option<String>, format = DateTime)]
    from: Option<Timestamp>,
    /// Recorded (or counting from) before this time. A period that is over waits until all that was recorded in it is in
    /// the view, and is always the same then; in effective order, an entry that is recorded later may still count from it,
    /// unless `as_of` is given.
    #[param(value_type = Option<String>, format = DateTime)]
    to: Option<Timestamp>,
    /// As known at this time: nothing recorded later. A statement asked for with the same `as_of` is always the same: one
    /// as of a moment ago waits until all that was recorded by then is in the view.
    #[param(value_type = Option<String>, format = DateTime)]
    as_of: Option<Timestamp>,
    /// At most so many.
    #[param(minimum = 1, maximum = 200, default = 50)]
    limit: Option<i64>,
    /// `next_cursor` of the page before; the other parameters must be that page's too.
    #[param(pattern = "^([0-9a-f]{16})?[0-7][0-9a-f]{15}-[0-9a-f]{16}$")]
    cursor: Option<String>,
    /// Wait until the view has got to this version.
    #[param(minimum = 1)]
    min_version: Option<i64>,
}

/// What a statement goes by.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Order {
    /// The log's own: when entries were recorded.
    #[default]
    Recorded,
    /// By value date: when entries count from.
    Effective,
}

/// A page of a statement, newest first. Amounts in minor units of the account's currency.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct Statement {
    data: Vec<EntryView>,
    /// The balance when the period began; 0 if it began before the account.
    #[schema(examples(100_000))]
    opening_balance: i64,
    /// The balance when the period ended.
    #[schema(examples(125_000))]
    closing_balance: i64,
    /// Since when later events of the account are set aside, which could not be applied; absent as a rule.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime, examples("2026-11-24T12:00:00.000000Z"))]
    quarantined_since: Option<Timestamp>,
    /// For the next page; absent on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
    /// Whether there is a next page.
    has_more: bool,
}

/// The statement of an account, newest first
///
/// `opening_balance` and `closing_balance` are those of the whole period, whatever the page, the type and the labels. With
/// `order=effective`, the statement is by value date: an entry is where it counts from, and each `balance` is of all that
/// counts from there or before.
#[utoipa::path(get, operation_id = "list_entries", path = "/v1/accounts/{id}/entries", tag = "accounts",
    params(("id" = Uuid, Path, description = "The account"), Asked, LabelsAsked, Wait),
    responses((status = 200, description = "The page", body = Statement), Problems))]
pub(super) async fn list(
    State(state): State<AppState>,
    Path(account_id): Path<Uuid>,
    QueryWithMetadata(asked, metadata): QueryWithMetadata<Asked>,
    headers: HeaderMap,
) -> Result<Json<Statement>, Problem> {
    let limit = limit(asked.limit)?;
    let event_type = asked.event_type.as_deref().map(known_type).transpose()?;
    let pages = List::of(
        "entries",
        &(account_id, event_type, asked.order, asked.from, asked.to, asked.as_of, &metadata),
    );
    let before =
        asked.cursor.as_deref().map(|cursor| pages.place(cursor, read_place)).transpose()?;
    if asked.from.zip(asked.to).is_some_and(|(from, to)| from > to) {
        return Err(Problem::malformed("from", "is after `to`"));
    }
    state.until_version(&headers, account_id, asked.min_version).await?;
    state.until_recorded(&headers, account_id, asked.as_of).await?;
    if asked.as_of.is_none() {
        state.until_over(&headers, account_id, asked.to).await?;
    }

    let pool = state.views.pool()?;
    let period = state
        .views
        .read(history::period(pool, account_id, asked.from, asked.to, asked.as_of))
        .await?;
    let Some(period) = period else {
        return Err(state.no_account(account_id).await?);
    };
    let last =
        before.filter(|_| asked.order == Order::Recorded).map_or(i64::MAX, |before| before.1);
    let filter = Filter {
        after: period.after,
        before: last.min(period.last + 1),
        event_type,
        metadata: &metadata,
        known: period.known,
    };
    let (opening_balance, closing_balance, mut found) = match asked.order {
        Order::Recorded => {
            let found =
                state.views.read(entries::list(pool, account_id, &filter, limit + 1)).await?;
            (period.opening_balance, period.closing_balance, found)
        }
        Order::Effective => {
            let bounds = (asked.from, asked.to);
            let ends = [bounds.0.unwrap_or(Timestamp::FIRST), bounds.1.unwrap_or(Timestamp::LAST)];
            let ends = state
                .views
                .read(effective::balances(pool, account_id, period.known, &ends))
                .await?;
            let found = effective::list(pool, account_id, &filter, bounds, before, limit + 1);
            (ends[0], ends[1], state.views.read(found).await?)
        }
    };
    let has_more = cut(&mut found, limit);
    let place = |last: &Entry| match asked.order {
        Order::Recorded => write_number(last.version),
        Order::Effective => {
            write_place((last.effective_at.unwrap_or(last.recorded_at), last.version))
        }
    };
    Ok(Json(Statement {
        next_cursor: found.last().filter(|_| has_more).map(|last| pages.cursor(place(last))),
        data: found.into_iter().map(|entry| EntryView::of(entry, period.partition)).collect(),
        opening_balance,
        closing_balance,
        quarantined_since: period.quarantined_since,
        has_more,
    }))
}

/// A place by value date: 32 hexadecimal digits.
fn write_place((at, version): Place) -> String {
    format!("{:016x}{}", at.as_micros().cast_unsigned(), write_number(version))
}

/// The place in a cursor; of a list by recording, only the version counts.
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

fn known_type(asked: &str) -> Result<&'static str, Problem> {
    AccountEvent::TYPES.iter().copied().find(|known| *known == asked).ok_or_else(|| {
        Problem::malformed("type", format!("must be one of {}", AccountEvent::TYPES.join(", ")))
    })
}

struct Problems;

impl utoipa::IntoResponses for Problems {
    fn responses() -> Responses {
        account_problems([log::log_unavailable()])
    }
}
