//! `GET /v1/accounts/{id}/entries/{version}`: one entry and its origin.

use axum::Json;
use axum::http::HeaderMap;
use passbook_shared::event::schema::EventData;
use passbook_shared::http::extract::{Path, Query};
use passbook_shared::http::problem::Problem;
use passbook_shared::partition::Partition;
use passbook_shared::position::Position;
use passbook_shared::recorded_event::{EventMetadata, RecordedEvent};
use passbook_shared::timestamp::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use uuid::Uuid;

use super::documented::{ACCOUNT, Responses, Wait, account_problems};
use super::entries::EntryView;
use super::{AppState, log_queries, problems};
use crate::store::accounts;
use crate::store::history::entries;
use crate::store::scope::Scope;

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Params {
    /// Wait until the view has reached this version.
    #[param(minimum = 1)]
    min_version: Option<i64>,
}

/// Origin of an entry: its command, its event, and the time of each step.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = EntryTrail)]
pub(super) struct EntryTrail {
    account_id: Uuid,
    #[schema(minimum = 1, examples(7))]
    version: i64,
    /// Position in the log.
    #[schema(value_type = String, pattern = "^[0-9]+-[0-9]+$", examples("3-1042"))]
    position: Position,
    /// Entry in the statement.
    entry: EntryView,
    /// Event in the log.
    event: LoggedEvent,
    /// Command that caused the event.
    command: EventMetadata,
    /// Place in Kafka; null if the event came from the log, which is read where the topic lacks
    /// events and once after a start.
    kafka: Option<KafkaPlace>,
    /// Time at which the event was recorded.
    #[schema(value_type = String, format = DateTime, examples("2026-11-24T12:00:00.000000Z"))]
    recorded_at: Timestamp,
    /// Time of publication to the topic, in whole milliseconds; null if `kafka` is null.
    #[schema(
        value_type = Option<String>,
        format = DateTime,
        examples("2026-11-24T12:00:00.004000Z")
    )]
    published_at: Option<Timestamp>,
    /// Time at which the event was applied to the views; after a replay, the time of the replay.
    #[schema(value_type = String, format = DateTime, examples("2026-11-24T12:00:00.011532Z"))]
    applied_at: Timestamp,
    /// Generation of the views. Each replay from the beginning builds a new one.
    #[schema(minimum = 1, examples(1))]
    generation: i32,
}

/// Event as the log has it.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct LoggedEvent {
    event_id: Uuid,
    #[serde(rename = "type")]
    #[schema(examples("MoneyDeposited"))]
    event_type: String,
    /// Version of the schema of `data`.
    #[schema(minimum = 1)]
    schema_version: i16,
    /// Payload, as stored.
    #[schema(value_type = EventData)]
    data: Box<RawValue>,
}

/// Place in Kafka.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = KafkaOffset)]
struct KafkaPlace {
    #[schema(examples("passbook.events"))]
    topic: String,
    #[schema(value_type = i32, minimum = 0, examples(3))]
    partition: Partition,
    #[schema(minimum = 0, examples(1_041))]
    offset: i64,
}

/// Origin of an entry
///
/// Shows the command that caused the entry, the event in the log, and the time of each step.
/// Requires the command-service.
#[utoipa::path(get, operation_id = "get_entry", path = "/v1/accounts/{id}/entries/{version}",
    tag = "accounts",
    security(("api_key" = ["accounts:read"])),
    params(
        ("id" = Uuid, Path, description = "The account"),
        ("version" = i64, Path, minimum = 1, description = "Version of the entry"),
        Params,
        Wait,
    ),
    responses((status = 200, description = "The origin", body = EntryTrail), Problems))]
pub(super) async fn get(
    state: AppState,
    scope: Scope,
    Path((account_id, version)): Path<(Uuid, i64)>,
    Query(params): Query<Params>,
    headers: HeaderMap,
) -> Result<Json<EntryTrail>, Problem> {
    if version < 1 {
        return Err(Problem::malformed("version", "must be a version, at least 1"));
    }
    state.until_version(&headers, &scope, account_id, params.min_version).await?;
    let found = state.views.read(|pool| entries::find(pool, &scope, account_id, version)).await?;
    let Some(found) = found else {
        return Err(no_entry(&state, &scope, account_id, version).await?);
    };
    let position = Position { partition: found.partition, number: found.entry.position };
    let RecordedEvent { event_id, event_type, schema_version, data, metadata, recorded_at, .. } =
        state.logged(account_id, version, position).await?;
    let topic = state.log.topic.to_string();
    Ok(Json(EntryTrail {
        account_id,
        version,
        position,
        entry: EntryView::of(found.entry, found.partition),
        event: LoggedEvent { event_id, event_type, schema_version, data },
        command: metadata,
        kafka: found.kafka_offset.map(|offset| KafkaPlace {
            topic,
            partition: found.partition,
            offset,
        }),
        recorded_at,
        published_at: found.published_at,
        applied_at: found.applied_at,
        generation: found.generation,
    }))
}

impl AppState {
    /// Returns the event of an entry from the log.
    ///
    /// # Errors
    /// 503 if the log is unreachable, or has no such event at the position that the views have.
    async fn logged(
        &self,
        account_id: Uuid,
        version: i64,
        position: Position,
    ) -> Result<RecordedEvent, Problem> {
        match log_queries::query(self.log.feed.event_of(account_id, version)).await? {
            Some(event) if event.position == position => Ok(event),
            Some(_) | None => Err(log_queries::unavailable(
                "the event is not at its position: does COMMAND_SERVICE_URL name another store?",
            )),
        }
    }
}

/// Returns 404 for a missing entry. An entry older than the newest one was discarded.
async fn no_entry(
    state: &AppState,
    scope: &Scope,
    account_id: Uuid,
    version: i64,
) -> Result<Problem, Problem> {
    match state.views.read(|pool| accounts::version(pool, scope, account_id)).await? {
        Some(newest) if newest >= version => Ok(problems::entry_discarded(account_id, version)),
        Some(newest) => Ok(Problem::version_not_found(account_id, newest)),
        None => state.no_account(scope, account_id).await,
    }
}

struct Problems;

impl utoipa::IntoResponses for Problems {
    fn responses() -> Responses {
        account_problems([
            Problem::version_not_found(ACCOUNT, 6),
            problems::entry_discarded(ACCOUNT, 5),
            problems::log_unavailable(),
        ])
    }
}
