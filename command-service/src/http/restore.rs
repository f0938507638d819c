//! `GET /admin/restore` and `POST /admin/restore/accept`

mod accept;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use passbook_shared::epoch::Epoch;
use passbook_shared::http::bounded::QueryInt;
use passbook_shared::http::extract::Query;
use passbook_shared::http::problem::Problem;
use passbook_shared::partition::Partition;
use passbook_shared::position::Position;
use passbook_shared::recorded_event::RecordedEvent;
use passbook_shared::timestamp::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub(super) use self::accept::{__path_accept, accept};
pub(crate) use self::accept::{AcceptRequest, ForkReference};
use super::AppState;
use super::documented::{Responses, read_problems};
use crate::restore::survey::{Survey, SurveyError, SurveyedFork};

const DEFAULT_LIMIT: i64 = 100;
const MAX_LIMIT: i64 = 1_000;
/// `Retry-After` in seconds while the topic is unavailable.
const TOPIC_RETRY: u32 = 5;

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct RestoreQuery {
    /// Maximum number of events shown for each partition; 100 if absent.
    #[param(value_type = i64, required = false, minimum = 0, maximum = 1_000)]
    limit: Option<QueryInt<0, MAX_LIMIT>>,
}

/// Preview of an accepted restore.
#[derive(Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub(crate) struct RestorePreview {
    /// Current epoch of the store.
    #[schema(value_type = i32, minimum = 0, maximum = 1_000_000)]
    pub epoch: Epoch,
    /// Forked partitions, in ascending order; empty if there is nothing to accept.
    pub forks: Vec<ForkPreview>,
}

/// Partition in which the topic holds events that the log lacks.
#[derive(Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub(crate) struct ForkPreview {
    /// Partition number.
    #[schema(value_type = i32)]
    pub partition: Partition,
    /// Last position of the log.
    #[schema(minimum = 0)]
    pub log_position: i64,
    /// Last position of the topic's events that the log lacks.
    #[schema(minimum = 1)]
    pub topic_position: i64,
    /// Last position that log and topic have in common. The topic's events after it are given up.
    #[schema(minimum = 0)]
    pub kept: i64,
    /// Description of the difference.
    #[schema(examples("the topic holds another event at position 1042"))]
    pub reason: String,
    /// First events that are given up.
    pub events: Vec<GivenUp>,
    /// True if there are more such events.
    pub has_more: bool,
}

/// Event that the topic has and the log lacks.
#[derive(Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = GivenUpEvent)]
pub(crate) struct GivenUp {
    /// Original position in the log: partition and number.
    #[schema(value_type = String, pattern = "^[0-9]+-[0-9]+$", examples("3-1042"))]
    pub position: Position,
    /// Id of the event.
    pub event_id: Uuid,
    /// Account of the event.
    pub account_id: Uuid,
    /// Type of the event.
    #[serde(rename = "type")]
    #[schema(examples("MoneyDeposited"))]
    pub event_type: String,
    /// Amount in minor units, if the event has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = i64)]
    pub amount: Option<i64>,
    /// Time of the commit.
    #[schema(value_type = String, format = DateTime)]
    pub recorded_at: Timestamp,
}

impl From<Survey> for RestorePreview {
    fn from(Survey { epoch, forks, .. }: Survey) -> Self {
        Self { epoch, forks: forks.into_iter().map(ForkPreview::from).collect() }
    }
}

impl From<SurveyedFork> for ForkPreview {
    fn from(SurveyedFork { fork, kept, events, has_more }: SurveyedFork) -> Self {
        let (log_position, topic_position) = (fork.log_position, fork.topic_position);
        let events = events.iter().map(GivenUp::from).collect();
        Self {
            partition: fork.partition,
            log_position,
            topic_position,
            kept,
            reason: fork.reason,
            events,
            has_more,
        }
    }
}

impl From<&RecordedEvent> for GivenUp {
    fn from(event: &RecordedEvent) -> Self {
        #[derive(Deserialize)]
        struct About {
            // The amount of an opening.
            #[serde(alias = "initial_deposit")]
            amount: Option<i64>,
        }
        let about: Option<About> = serde_json::from_str(event.data.get()).ok();
        Self {
            position: event.position,
            event_id: event.event_id,
            account_id: event.account_id,
            event_type: event.event_type.clone(),
            amount: about.and_then(|about| about.amount),
            recorded_at: event.recorded_at,
        }
    }
}

/// Preview an accepted restore
///
/// Compares the end of each topic partition with the log. Events that the topic holds and the log
/// lacks mean that the log was restored from a backup. The answer shows these events and the last
/// common position.
#[utoipa::path(get, operation_id = "get_restore", path = "/admin/restore", tag = "operations",
    security(("api_key" = ["ops:restore"])),
    params(RestoreQuery),
    responses((status = 200, description = "The forks, if any", body = RestorePreview), Problems))]
pub(super) async fn restore(
    State(state): State<AppState>,
    Query(query): Query<RestoreQuery>,
) -> Result<Json<RestorePreview>, Problem> {
    let limit = query.limit.map_or(DEFAULT_LIMIT, QueryInt::get);
    let found = state
        .desk
        .survey(usize::try_from(limit).unwrap_or_default())
        .await
        .map_err(|error| problem(&error))?;
    Ok(Json(found.into()))
}

/// Returns the problem of a failed survey.
fn problem(error: &SurveyError) -> Problem {
    match error {
        SurveyError::Store(error) => Problem::from_store(error),
        SurveyError::Topic(reason) => topic_unavailable(reason),
    }
}

fn topic_unavailable(reason: &str) -> Problem {
    let detail =
        format!("the topic cannot be compared with the log; nothing was changed: {reason}");
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "topic_unavailable", detail)
        .retry_after(TOPIC_RETRY)
}

struct Problems;

impl utoipa::IntoResponses for Problems {
    fn responses() -> Responses {
        read_problems([topic_unavailable("Kafka has acknowledged nothing for some time")])
    }
}
