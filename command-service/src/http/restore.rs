//! `GET /admin/restore` and `POST /admin/restore/accept`

mod accept;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use passbook_shared::epoch::Epoch;
use passbook_shared::http::extract::Query;
use passbook_shared::http::problem::Problem;
use passbook_shared::partition::Partition;
use passbook_shared::position::Position;
use passbook_shared::recorded_event::RecordedEvent;
use passbook_shared::timestamp::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub(super) use self::accept::{__path_accept, accept};
pub(crate) use self::accept::{AcceptRequest, ShownFork};
use super::AppState;
use super::documented::{Responses, read_problems};
use super::whole::Whole;
use crate::restore::survey::{Survey, SurveyError, Surveyed};

const DEFAULT_LIMIT: i64 = 100;
const MAX_LIMIT: i64 = 1_000;
/// Seconds after which the topic is worth another try.
const TOPIC_RETRY: u32 = 5;

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct RestoreQuery {
    /// At most so many events of each partition; 100 if absent.
    #[param(value_type = i64, required = false, minimum = 0, maximum = 1_000)]
    limit: Option<Whole<0, MAX_LIMIT>>,
}

/// What accepting the log as it is means.
#[derive(Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub(crate) struct RestorePreview {
    /// The epoch of the store.
    #[schema(value_type = i32, minimum = 0, maximum = 1_000_000)]
    pub epoch: Epoch,
    /// The forked partitions, in ascending order; none if there is nothing to accept.
    pub forks: Vec<ForkPreview>,
}

/// A partition in which the topic holds events that the log does not have.
#[derive(Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub(crate) struct ForkPreview {
    /// The partition.
    #[schema(value_type = i32)]
    pub partition: Partition,
    /// Where the log ends.
    #[schema(minimum = 0)]
    pub log_position: i64,
    /// The last position that the topic holds of the events the log does not have.
    #[schema(minimum = 1)]
    pub topic_position: i64,
    /// The last position that both have in common: what is after it in the topic is given up.
    #[schema(minimum = 0)]
    pub kept: i64,
    /// What was found, for people.
    #[schema(examples("the topic holds another event at position 1042"))]
    pub reason: String,
    /// The first of the events that are given up.
    pub events: Vec<GivenUp>,
    /// Whether there are more.
    pub has_more: bool,
}

/// An event that the topic has and the log has not.
#[derive(Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = GivenUpEvent)]
pub(crate) struct GivenUp {
    /// Where it was in the log.
    #[schema(value_type = String, pattern = "^[0-9]+-[0-9]+$", examples("3-1042"))]
    pub position: Position,
    /// The event.
    pub event_id: Uuid,
    /// The account it happened to.
    pub account_id: Uuid,
    /// What happened.
    #[serde(rename = "type")]
    #[schema(examples("MoneyDeposited"))]
    pub event_type: String,
    /// The amount it is about, in minor units, if it is about one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = i64)]
    pub amount: Option<i64>,
    /// When it was committed.
    #[schema(value_type = String, format = DateTime)]
    pub recorded_at: Timestamp,
}

impl From<Survey> for RestorePreview {
    fn from(Survey { epoch, forks, .. }: Survey) -> Self {
        Self { epoch, forks: forks.into_iter().map(ForkPreview::from).collect() }
    }
}

impl From<Surveyed> for ForkPreview {
    fn from(Surveyed { fork, kept, events, has_more }: Surveyed) -> Self {
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

/// What accepting a restore gives up
///
/// Compares the end of each partition of the topic with the log. Where the topic holds events that the log does not have,
/// the log was restored from a backup: here is what they are, and up to where both agree.
#[utoipa::path(get, operation_id = "get_restore", path = "/admin/restore", tag = "operations", params(RestoreQuery),
    responses((status = 200, description = "The forks, if there are any", body = RestorePreview), Problems))]
pub(super) async fn restore(
    State(state): State<AppState>,
    Query(query): Query<RestoreQuery>,
) -> Result<Json<RestorePreview>, Problem> {
    let limit = query.limit.map_or(DEFAULT_LIMIT, Whole::get);
    let found = state
        .desk
        .survey(usize::try_from(limit).unwrap_or_default())
        .await
        .map_err(|error| problem(&error))?;
    Ok(Json(found.into()))
}

/// The problem that keeps the topic or the store from being looked at.
fn problem(error: &SurveyError) -> Problem {
    match error {
        SurveyError::Store(error) => Problem::from_store(error),
        SurveyError::Topic(reason) => topic_unavailable(reason),
    }
}

fn topic_unavailable(reason: &str) -> Problem {
    let detail =
        format!("the topic can't be compared with the log now, and nothing was changed: {reason}");
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "topic_unavailable", detail)
        .retry_after(TOPIC_RETRY)
}

struct Problems;

impl utoipa::IntoResponses for Problems {
    fn responses() -> Responses {
        read_problems([topic_unavailable("Kafka has acknowledged nothing for some time")])
    }
}
