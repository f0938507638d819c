//! `GET /v1/events`: one partition of the log, or a search over all of them.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use passbook_shared::event::AccountEvent;
use passbook_shared::http::cursor::List;
use passbook_shared::http::extract::Query;
use passbook_shared::http::limits::Bounds;
use passbook_shared::http::problem::Problem;
use passbook_shared::partition::Partition;
use passbook_shared::recorded_event::RecordedEvent;
use passbook_shared::timestamp::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::openapi::path::Parameter;
use utoipa::openapi::schema::{Object, ObjectBuilder, Schema, Type};
use utoipa::openapi::{OpenApi, RefOr};

use super::documented::{Responses, read_problems};
use super::event_stream::{self, Of};
use super::whole::{LARGEST, Whole};
use super::{AppState, examples};
use crate::log::read::search::{Cursor, Found, Search};
use crate::log::store::Store;

const PATH: &str = "/v1/events";
const DEFAULT_LIMIT: i64 = 100;
/// Large, for those who read the whole log.
const MAX_LIMIT: i64 = 5_000;

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct EventsQuery {
    /// One partition of the log, in order. Takes `after`, and none of the other parameters but `limit`.
    #[param(value_type = i64, required = false, minimum = 0, maximum = 999)]
    partition: Option<Whole<0, 999>>,
    /// With `partition`: only events after this position; 0 if absent.
    #[param(value_type = i64, required = false, minimum = 0, maximum = 9_007_199_254_740_991_i64)]
    after: Option<Whole<0, LARGEST>>,
    #[serde(rename = "type")]
    #[param(schema_with = event_types, required = false)]
    event_type: Option<String>,
    /// Only events that were recorded then or later.
    #[param(value_type = String, required = false, format = DateTime)]
    from: Option<Timestamp>,
    /// Only events that were recorded before then.
    #[param(value_type = String, required = false, format = DateTime)]
    to: Option<Timestamp>,
    #[param(schema_with = cursor, required = false)]
    cursor: Option<String>,
    /// At most so many; 100 if absent. A page may have fewer, even none: `has_more` tells.
    #[param(value_type = i64, required = false, minimum = 1, maximum = 5_000)]
    limit: Option<Whole<1, MAX_LIMIT>>,
}

/// Some events of the log, in order.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct EventPage {
    /// The events.
    data: Vec<RecordedEvent>,
    /// Where to go on, in a search.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false)]
    next_cursor: Option<String>,
    /// Whether there is more behind.
    has_more: bool,
}

impl EventPage {
    fn found(found: Found, pages: List) -> Self {
        let next_cursor = found.next.map(|place| pages.cursor(place));
        Self { data: found.events, has_more: next_cursor.is_some(), next_cursor }
    }
}

/// Events across accounts
///
/// Either one partition of the log (`partition`, `after`), complete and in order; or a search over all partitions by
/// type and time, oldest first. To follow the log, follow its partitions: a search is for people.
#[utoipa::path(get, operation_id = "list_events", path = "/v1/events", tag = "log", params(EventsQuery),
    responses(
        (status = 200, description = "Some events", body = EventPage,
            headers(
                ("X-Store-Id" = Uuid, description = "The store whose log it is"),
                ("X-Partitions" = i16, description = "How many partitions that log has"),
                ("X-Store-Epoch" = i32, description = "The epoch of that store"),
            ),
            example = json!(examples::page())),
        Problems,
    ))]
pub(super) async fn events(
    State(state): State<AppState>,
    Extension(bounds): Extension<Arc<Bounds>>,
    Query(query): Query<EventsQuery>,
) -> Result<Response, Problem> {
    let (whose, Store { partitions, .. }) = (state.whose(), state.log.store());
    let limit =
        usize::try_from(query.limit.map_or(DEFAULT_LIMIT, Whole::get)).unwrap_or(usize::MAX);
    if let Some(partition) = query.partition {
        only_with_partition(&query)?;
        let partition = partition_number(partition, partitions)?;
        let after = query.after.map_or(0, Whole::get);
        let page = event_stream::page(state, bounds.client, Of::Partition(partition), after, limit)
            .await?;
        return Ok((whose, page).into_response());
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
    let found = state.read_turns.wait_for(bounds.client, state.log.search(&search)).await??;
    Ok((whose, Json(EventPage::found(found, pages))).into_response())
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
        Err(Problem::malformed(name, "can't be combined with `partition`"))
    })
}

fn partition_number(asked: Whole<0, 999>, partitions: Partition) -> Result<Partition, Problem> {
    let partition =
        Partition::try_from(asked.get()).ok().filter(|partition| *partition < partitions);
    partition.ok_or_else(|| no_partition(partitions))
}

/// 400: the log has only so many.
pub(super) fn no_partition(partitions: Partition) -> Problem {
    Problem::malformed("partition", format!("the log has partitions 0 to {}", partitions - 1))
}

fn event_types() -> Object {
    let description = Some("Only events of this type");
    ObjectBuilder::new()
        .schema_type(Type::String)
        .description(description)
        .enum_values(Some(AccountEvent::TYPES.iter().copied()))
        .build()
}

fn cursor() -> Object {
    let description =
        Some("`next_cursor` of the page before; `type`, `from` and `to` must be that page's, too");
    ObjectBuilder::new()
        .schema_type(Type::String)
        .description(description)
        .pattern(Some(Cursor::PATTERN))
        .build()
}

/// Says in the document how many partitions this log has.
pub(super) fn document_partitions(document: &mut OpenApi, partitions: Partition) {
    let parameters =
        document.paths.paths.get_mut(PATH).and_then(|path| path.get.as_mut()?.parameters.as_mut());
    for parameter in parameters.into_iter().flatten() {
        if let RefOr::T(Parameter { name, schema: Some(RefOr::T(Schema::Object(schema))), .. }) =
            parameter
            && name == "partition"
        {
            schema.maximum = Some(i64::from(partitions - 1).into());
        }
    }
}

struct Problems;

impl utoipa::IntoResponses for Problems {
    fn responses() -> Responses {
        read_problems([])
    }
}
