//! `GET /v1/events`: one partition of the log, or a search across partitions

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use passbook_shared::event::AccountEvent;
use passbook_shared::http::bounded::{LARGEST, QueryInt};
use passbook_shared::http::cursor::List;
use passbook_shared::http::extract::Query;
use passbook_shared::http::gate::Holder;
use passbook_shared::http::problem::Problem;
use passbook_shared::partition::{Partition, PartitionCount};
use passbook_shared::recorded_event::RecordedEvent;
use passbook_shared::timestamp::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::openapi::path::Parameter;
use utoipa::openapi::schema::{Object, ObjectBuilder, Schema, Type};
use utoipa::openapi::{OpenApi, RefOr};

use super::documented::{Responses, read_problems};
use super::event_stream::{self, EventRange};
use super::{AppState, examples};
use crate::log::read::search::{Cursor, Search, SearchPage};
use crate::log::store::Store;

const PATH: &str = "/v1/events";
const DEFAULT_LIMIT: i64 = 100;
/// Large enough for clients that read the whole log.
const MAX_LIMIT: i64 = 5_000;

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct EventsQuery {
    /// Returns one partition of the log, in order. Can be combined only with `after` and `limit`.
    #[param(value_type = i64, required = false, minimum = 0, maximum = 999)]
    partition: Option<QueryInt<0, 999>>,
    /// With `partition`: returns only events after this position; 0 if absent.
    #[param(value_type = i64, required = false, minimum = 0, maximum = 9_007_199_254_740_991_i64)]
    after: Option<QueryInt<0, LARGEST>>,
    #[serde(rename = "type")]
    #[param(schema_with = event_types, required = false)]
    event_type: Option<String>,
    /// Returns only events recorded at this time or later.
    #[param(value_type = String, required = false, format = DateTime)]
    from: Option<Timestamp>,
    /// Returns only events recorded before this time.
    #[param(value_type = String, required = false, format = DateTime)]
    to: Option<Timestamp>,
    #[param(schema_with = cursor, required = false)]
    cursor: Option<String>,
    /// Maximum number of events; 100 if absent. A page may be shorter or even empty: `has_more`
    /// says whether more follow.
    #[param(value_type = i64, required = false, minimum = 1, maximum = 5_000)]
    limit: Option<QueryInt<1, MAX_LIMIT>>,
}

/// Page of events, in order.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct EventPage {
    /// Events of the page.
    data: Vec<RecordedEvent>,
    /// Cursor of the next page of a search.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false)]
    next_cursor: Option<String>,
    /// True if more events follow.
    has_more: bool,
}

impl EventPage {
    fn found(found: SearchPage, pages: List) -> Self {
        let next_cursor = found.next.map(|place| pages.cursor(place));
        Self { data: found.events, has_more: next_cursor.is_some(), next_cursor }
    }
}

/// List events across accounts
///
/// Returns one partition of the log (`partition`, `after`), complete and in order. Without
/// `partition`, searches all partitions by type and time, oldest first. To follow the log, read its
/// partitions; the search is for interactive use.
#[utoipa::path(get, operation_id = "list_events", path = "/v1/events", tag = "log",
    security(("api_key" = ["log:read"])),
    params(EventsQuery),
    responses(
        (status = 200, description = "A page of events", body = EventPage,
            headers(
                ("X-Store-Id" = Uuid, description = "Id of the store"),
                ("X-Partitions" = i16, description = "Number of partitions of the log"),
                ("X-Store-Epoch" = i32, description = "Epoch of the store"),
            ),
            example = json!(examples::page())),
        Problems,
    ))]
pub(super) async fn events(
    State(state): State<AppState>,
    holder: Holder,
    Query(query): Query<EventsQuery>,
) -> Result<Response, Problem> {
    let (headers, Store { partitions, .. }) = (state.store_headers(), state.log.store());
    let limit =
        usize::try_from(query.limit.map_or(DEFAULT_LIMIT, QueryInt::get)).unwrap_or(usize::MAX);
    if let Some(partition) = query.partition {
        only_with_partition(&query)?;
        let partition = partition_number(partition.get(), partitions)?;
        let after = query.after.map_or(0, QueryInt::get);
        let page =
            event_stream::page(state, holder, EventRange::Partition(partition), after, limit)
                .await?;
        return Ok((headers, page).into_response());
    }
    if query.after.is_some() {
        return Err(Problem::malformed("after", "needs `partition`"));
    }
    if query.from.zip(query.to).is_some_and(|(from, to)| from > to) {
        return Err(Problem::malformed("from", "is after `to`"));
    }
    let event_type = query.event_type.as_deref();
    if event_type.is_some_and(|event_type| !AccountEvent::TYPES.contains(&event_type)) {
        return Err(Problem::malformed(
            "type",
            format!("must be one of {}", AccountEvent::TYPES.join(", ")),
        ));
    }
    let pages = List::of("events", &(event_type, query.from, query.to));
    let read = |place: &str| place.parse::<Cursor>().ok();
    let after = query.cursor.as_deref().map(|cursor| pages.place(cursor, read)).transpose()?;
    let search = Search { event_type, from: query.from, to: query.to, after, limit };
    let found = state.read_turns.wait_for(&holder, state.log.search(&search)).await??;
    Ok((headers, Json(EventPage::found(found, pages))).into_response())
}

fn only_with_partition(query: &EventsQuery) -> Result<(), Problem> {
    let searched = [
        ("type", query.event_type.is_some()),
        ("from", query.from.is_some()),
        ("to", query.to.is_some()),
        ("cursor", query.cursor.is_some()),
    ];
    let given = searched.into_iter().find(|(_, is_given)| *is_given);
    given.map_or(Ok(()), |(name, _)| {
        Err(Problem::malformed(name, "cannot be combined with `partition`"))
    })
}

fn partition_number(asked: i64, partitions: PartitionCount) -> Result<Partition, Problem> {
    let partition = usize::try_from(asked).ok().and_then(|index| partitions.all().nth(index));
    partition.ok_or_else(|| no_partition(partitions))
}

/// Returns 400 for a partition that the log does not have.
pub(super) fn no_partition(partitions: PartitionCount) -> Problem {
    Problem::malformed("partition", format!("the log has partitions 0 to {}", partitions.last()))
}

fn event_types() -> Object {
    let description = Some("Returns only events of this type");
    ObjectBuilder::new()
        .schema_type(Type::String)
        .description(description)
        .enum_values(Some(AccountEvent::TYPES.iter().copied()))
        .build()
}

fn cursor() -> Object {
    let description =
        Some("`next_cursor` of the previous page; `type`, `from` and `to` must be the same");
    ObjectBuilder::new()
        .schema_type(Type::String)
        .description(description)
        .pattern(Some(Cursor::PATTERN))
        .build()
}

/// Adds the log's number of partitions to the OpenAPI document.
pub(super) fn document_partitions(document: &mut OpenApi, partitions: PartitionCount) {
    let parameters =
        document.paths.paths.get_mut(PATH).and_then(|path| path.get.as_mut()?.parameters.as_mut());
    for parameter in parameters.into_iter().flatten() {
        if let RefOr::T(Parameter { name, schema: Some(RefOr::T(Schema::Object(schema))), .. }) =
            parameter
            && name == "partition"
        {
            schema.maximum = Some((i64::from(partitions.get()) - 1).into());
        }
    }
}

struct Problems;

impl utoipa::IntoResponses for Problems {
    fn responses() -> Responses {
        read_problems([])
    }
}
