//! `POST /admin/restore/accept`

#[cfg(test)]
mod tests;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use passbook_shared::epoch::{Epoch, LARGEST, MOST_AHEAD};
use passbook_shared::http::extract::Json as Body;
use passbook_shared::http::problem::Problem;
use passbook_shared::partition::Partition;
use passbook_shared::store_description::Restore;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{problem, topic_unavailable};
use crate::http::AppState;
use crate::http::documented::{Responses, body_problems, read_problems};
use crate::restore::desk::{AcceptError, ForkRef};

/// Request to accept a restored log.
#[derive(Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, expecting = "an object")]
#[schema(example = json!({"forks": [{"partition": 3, "log_position": 1042,
    "topic_position": 1057}]}))]
#[schema(as = AcceptRestoreRequest)]
pub(crate) struct AcceptRequest {
    /// Forks as shown by `GET /admin/restore`. The request is refused if they have changed since.
    pub forks: Vec<ForkReference>,
    /// Begins an epoch although no partition is forked. For views that have events which neither
    /// the log nor the topic has.
    #[serde(default)]
    pub force: bool,
    /// Lower bound of the new epoch, exclusive: the epoch of the views, if the store and the topic
    /// do not know it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = i32, required = false, minimum = 0, maximum = 1_000_000)]
    pub above_epoch: Option<Epoch>,
}

/// Fork as shown by `GET /admin/restore`.
#[derive(Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, expecting = "an object")]
#[schema(as = ForkReference)]
pub(crate) struct ForkReference {
    /// Partition number.
    #[schema(value_type = i32)]
    pub partition: Partition,
    /// Last position of the log.
    pub log_position: i64,
    /// Last position of the topic's events that the log lacks.
    pub topic_position: i64,
}

/// Accept a restored log
///
/// Begins an epoch with the log in its present state. The topic's events beyond the last common
/// positions are given up: their records stay in the topic and are ignored.
///
/// Commands are accepted again. The relay continues after the last common positions, and the views
/// go back to them.
#[utoipa::path(post, operation_id = "accept_restore", path = "/admin/restore/accept",
    tag = "operations",
    security(("api_key" = ["ops:restore"])),
    request_body = AcceptRequest,
    responses((status = 200, description = "The epoch has begun", body = Restore), Problems))]
pub(in crate::http) async fn accept(
    State(state): State<AppState>,
    Body(request): Body<AcceptRequest>,
) -> Result<Json<Restore>, Problem> {
    let AcceptRequest { forks, force, above_epoch } = request;
    // Exclusive, because the new epoch is above it.
    if above_epoch.is_some_and(|above| !(0..LARGEST).contains(&above)) {
        return Err(Problem::malformed(
            "above_epoch",
            format!("must be a whole number from 0 to {}", LARGEST - 1),
        ));
    }
    let shown = |fork: ForkReference| {
        let ForkReference { partition, log_position, topic_position } = fork;
        ForkRef { partition, log_position, topic_position }
    };
    let accepted =
        state.desk.accept(forks.into_iter().map(shown).collect(), force, above_epoch).await;
    accepted.map(Json).map_err(|error| not_accepted(&error))
}

fn not_accepted(error: &AcceptError) -> Problem {
    let conflict = |code, detail: &str| Problem::new(StatusCode::CONFLICT, code, detail);
    match error {
        AcceptError::Survey(error) => problem(error),
        AcceptError::Changed(now) => changed(&now.fork_refs()),
        AcceptError::NothingToAccept => nothing_to_accept(),
        AcceptError::EpochTooFar { latest } => {
            let most = latest.saturating_add(MOST_AHEAD);
            Problem::malformed(
                "above_epoch",
                format!("must be at most {most}: {MOST_AHEAD} above the latest epoch"),
            )
        }
        AcceptError::NoEpochLeft => conflict("no_epoch_left", "no later epoch is possible"),
        AcceptError::Task(error) => {
            tracing::error!(%error, "the acceptance of a restored log failed");
            Problem::internal()
        }
    }
}

fn changed(now: &[ForkRef]) -> Problem {
    let detail = "the forks have changed since they were shown; nothing was changed. Check GET \
                  /admin/restore again";
    let fork = |shown: &ForkRef| {
        let ForkRef { partition, log_position, topic_position } = *shown;
        serde_json::json!({
            "partition": partition,
            "log_position": log_position,
            "topic_position": topic_position,
        })
    };
    Problem::new(StatusCode::CONFLICT, "restore_changed", detail)
        .with("forks", now.iter().map(fork).collect::<Vec<Value>>())
}

fn nothing_to_accept() -> Problem {
    let detail =
        "no partition is forked: there is nothing to accept. `force` begins an epoch anyway";
    Problem::new(StatusCode::CONFLICT, "nothing_to_accept", detail)
}

struct Problems;

impl utoipa::IntoResponses for Problems {
    fn responses() -> Responses {
        let shown =
            ForkRef { partition: Partition::new(3), log_position: 1_042, topic_position: 1_058 };
        let own = [
            changed(&[shown]),
            nothing_to_accept(),
            not_accepted(&AcceptError::NoEpochLeft),
            topic_unavailable("Kafka has acknowledged nothing for some time"),
        ];
        read_problems(own.into_iter().chain(body_problems()))
    }
}
