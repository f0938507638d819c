//! `GET /v1/accounts/{id}/entries/{version}`: the whole way of one entry, from its command to the view.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
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
use super::{AppState, log};
use crate::store::accounts;
use crate::store::history::entries;

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Asked {
    /// Wait until the view has got to this version.
    #[param(minimum = 1)]
    min_version: Option<i64>,
}

/// The whole way of an entry.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = EntryTrail)]
pub(super) struct EntryWay {
    account_id: Uuid,
    #[schema(minimum = 1, examples(7))]
    version: i64,
    /// Its place in the log.
    #[schema(value_type = String, pattern = "^[0-9]+-[0-9]+$", examples("3-1042"))]
    position: Position,
    /// As the statement has it.
    entry: EntryView,
    /// As the log has it.
    event: LoggedEvent,
    /// What caused it.
    command: EventMetadata,
    /// Where it was read; null if the topic did not have it and it was taken from the log.
    kafka: Option<KafkaPlace>,
    /// When it was committed to the log.
    #[schema(value_type = String, format = DateTime, examples("2026-11-24T12:00:00.000000Z"))]
    recorded_at: Timestamp,
    /// When it was published to the topic, in milliseconds; null with `kafka`.
    #[schema(value_type = Option<String>, format = DateTime, examples("2026-11-24T12:00:00.004000Z"))]
    published_at: Option<Timestamp>,
    /// When it was applied to the views; with a replay, anew.
    #[schema(value_type = String, format = DateTime, examples("2026-11-24T12:00:00.011532Z"))]
    applied_at: Timestamp,
    /// To which views: each full replay makes new ones.
    #[schema(minimum = 1, examples(1))]
    generation: i32,
}

/// An event, as the log has it.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct LoggedEvent {
    event_id: Uuid,
    #[serde(rename = "type")]
    #[schema(examples("MoneyDeposited"))]
    event_type: String,
    /// The shape of `data`.
    #[schema(minimum = 1)]
    schema_version: i16,
    /// The payload, as stored.
    #[schema(value_type = EventData)]
    data: Box<RawValue>,
}

/// A place in Kafka.
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

/// The whole way of an entry
///
/// Which command caused it, what the log has of it, and when it got where. The log is asked for that.
#[utoipa::path(get, operation_id = "get_entry", path = "/v1/accounts/{id}/entries/{version}", tag = "accounts",
    params(
        ("id" = Uuid, Path, description = "The account"),
        ("version" = i64, Path, minimum = 1, description = "The entry's place in it"),
        Asked,
        Wait,
    ),
    responses((status = 200, description = "Its way", body = EntryWay), Problems))]
pub(super) async fn get(
    State(state): State<AppState>,
    Path((account_id, version)): Path<(Uuid, i64)>,
    Query(asked): Query<Asked>,
    headers: HeaderMap,
) -> Result<Json<EntryWay>, Problem> {
    if version < 1 {
        return Err(Problem::malformed("version", "must be a version, from 1"));
    }
    state.until_version(&headers, account_id, asked.min_version).await?;
    let Some(found) =
        state.views.read(entries::find(state.views.pool()?, account_id, version)).await?
    else {
        return Err(no_entry(&state, account_id, version).await?);
    };
    let position = Position { partition: found.partition, number: found.entry.position };
    let RecordedEvent { event_id, event_type, schema_version, data, metadata, recorded_at, .. } =
        state.logged(account_id, version, position).await?;
    let topic = state.log.topic.to_string();
    Ok(Json(EntryWay {
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
    /// The event as the log has it, which must be the one that the views have.
    async fn logged(
        &self,
        account_id: Uuid,
        version: i64,
        position: Position,
    ) -> Result<RecordedEvent, Problem> {
        match log::asked(self.log.feed.event_of(account_id, version)).await? {
            Some(event) if event.position == position => Ok(event),
            Some(_) | None => {
                Err(log::unavailable("it does not have the event there: is it of this log?"))
            }
        }
    }
}

/// 404: the account has no such entry. One that is older than its newest was discarded.
async fn no_entry(state: &AppState, account_id: Uuid, version: i64) -> Result<Problem, Problem> {
    match state.views.read(accounts::version(state.views.pool()?, account_id)).await? {
        Some(newest) if newest >= version => Ok(discarded(account_id, version)),
        Some(newest) => Ok(Problem::version_not_found(account_id, newest)),
        None => state.no_account(account_id).await,
    }
}

fn discarded(account_id: Uuid, version: i64) -> Problem {
    let detail = format!(
        "version {version} of account {account_id} could not be applied, and was discarded"
    );
    Problem::new(StatusCode::NOT_FOUND, "entry_not_found", detail)
}

struct Problems;

impl utoipa::IntoResponses for Problems {
    fn responses() -> Responses {
        account_problems([
            Problem::version_not_found(ACCOUNT, 6),
            discarded(ACCOUNT, 5),
            log::log_unavailable(),
        ])
    }
}
