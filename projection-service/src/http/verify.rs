//! `/admin/verify`: comparison of the views with the log.

use axum::Json;
use axum::http::header::LOCATION;
use axum::http::{HeaderName, StatusCode};
use passbook_shared::http::extract::Path;
use passbook_shared::http::problem::Problem;
use passbook_shared::position::Position;
use passbook_shared::timestamp::Timestamp;
use serde::Serialize;
use uuid::Uuid;

use super::AppState;
use super::documented::{Responses, problems};
use super::problems::{verify_not_found, verify_running};
use crate::store::verifications;
use crate::verify::jobs::{Job, State as Standing};
use passbook_shared::difference::Difference;

/// A verification.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Verification)]
pub(super) struct VerificationView {
    id: Uuid,
    /// One of `running`, `done` (the comparison is complete, with or without differences) and
    /// `failed`.
    #[schema(pattern = "^(running|done|failed)$", examples("done"))]
    state: &'static str,
    /// Number of events that were folded and compared.
    #[schema(minimum = 0, examples(1_000_000))]
    events: i64,
    /// Total number of events to fold, as of the start; null until known.
    #[schema(minimum = 0, examples(1_000_000))]
    events_total: Option<i64>,
    /// Number of accounts compared.
    #[schema(minimum = 0, examples(10_000))]
    accounts: i64,
    /// Number of quarantined events. An event that belongs in the quarantine is not a difference.
    #[schema(minimum = 0, examples(0))]
    quarantined: i64,
    /// Number of differences so far.
    #[schema(minimum = 0, examples(0))]
    differences: u64,
    /// The first 20 differences, and the first of each kind.
    samples: Vec<Difference>,
    /// Position at which each partition is compared: that of its views.
    #[schema(value_type = Vec<String>, examples("0-83312"))]
    positions: Vec<Position>,
    /// Error that ended the comparison early.
    error: Option<String>,
    #[schema(value_type = String, format = DateTime)]
    asked_at: Timestamp,
    #[schema(value_type = Option<String>, format = DateTime)]
    ended_at: Option<Timestamp>,
}

impl From<Job> for VerificationView {
    fn from(job: Job) -> Self {
        let positions =
            job.positions.into_iter().map(|(partition, number)| Position { partition, number });
        Self {
            id: job.id,
            state: match job.state {
                Standing::Running => "running",
                Standing::Done => "done",
                Standing::Failed => "failed",
            },
            events: job.events,
            events_total: job.events_total,
            accounts: job.accounts,
            quarantined: job.quarantined,
            differences: job.findings.count,
            samples: job.findings.samples,
            positions: positions.collect(),
            error: job.error,
            asked_at: job.asked_at,
            ended_at: job.ended_at,
        }
    }
}

/// Compare the views with the log
///
/// Folds the whole log and compares every account and every entry of the live views with the
/// result. Commands and queries continue: each partition is compared at the position of its
/// snapshot. Only one verification runs at a time.
#[utoipa::path(post, operation_id = "start_verification", path = "/admin/verify",
    tag = "operations",
    security(("api_key" = ["ops:verify"])),
    responses(
        (status = 202, description = "Started", body = VerificationView,
            headers(("Location" = String, description = "Where to poll the status"))),
        AskProblems,
    ))]
pub(super) async fn ask(
    state: AppState,
) -> Result<(StatusCode, [(HeaderName, String); 1], Json<VerificationView>), Problem> {
    // Only one at a time, across all instances.
    if let Some(running) = state.views.read(verifications::running).await? {
        return Err(verify_running(running));
    }
    let job = state.verifications.ask().map_err(verify_running)?;
    let location = format!("/admin/verify/{}", job.id);
    Ok((StatusCode::ACCEPTED, [(LOCATION, location)], Json(job.into())))
}

/// Status of a verification
///
/// The last 20 of all instances are kept.
#[utoipa::path(get, operation_id = "get_verification", path = "/admin/verify/{verify_id}",
    tag = "operations",
    security(("api_key" = ["ops:read"])),
    params(("verify_id" = Uuid, Path)),
    responses((status = 200, description = "The status", body = VerificationView), OneProblems))]
pub(super) async fn get(
    state: AppState,
    Path(id): Path<Uuid>,
) -> Result<Json<VerificationView>, Problem> {
    let job = match state.verifications.find(id) {
        // The state in memory is newer than the stored one, which is updated once a second.
        Some(job) => job,
        None => of_another_instance(&state, id).await?.ok_or_else(|| verify_not_found(id))?,
    };
    Ok(Json(job.into()))
}

/// Returns a verification that another instance has stored.
async fn of_another_instance(state: &AppState, id: Uuid) -> Result<Option<Job>, Problem> {
    let Some(stored) = state.views.read(|pool| verifications::find(pool, id)).await? else {
        return Ok(None);
    };
    let mut job: Job = serde_json::from_value(stored.body).map_err(|error| {
        tracing::error!(
            %error,
            verify.id = %id,
            "failed to decode a verification that another instance stored"
        );
        Problem::internal()
    })?;
    // An instance that was killed could not store the end.
    if stored.is_lost {
        job.state = Standing::Failed;
        job.error = Some("the instance that ran the verification has ended".to_owned());
    }
    Ok(Some(job))
}

const EXAMPLE: Uuid = Uuid::from_u128(0x0199_0d2c_6f4a_7d3e_9b1a_5c8e_2f7a_4b62);

struct AskProblems;

impl utoipa::IntoResponses for AskProblems {
    fn responses() -> Responses {
        problems([verify_running(EXAMPLE)])
    }
}

struct OneProblems;

impl utoipa::IntoResponses for OneProblems {
    fn responses() -> Responses {
        problems([Problem::malformed("verify_id", "is not a UUID"), verify_not_found(EXAMPLE)])
    }
}
