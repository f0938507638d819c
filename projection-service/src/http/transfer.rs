//! `GET /v1/transfers/{id}`: both legs of a transfer.

mod legs;
mod view;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use passbook_shared::http::extract::{Path, Query};
use passbook_shared::http::headers::{prefer_wait, preferred_wait};
use passbook_shared::http::problem::Problem;
use passbook_shared::position::Position;
use serde::Deserialize;
use tokio::time::Instant;
use uuid::Uuid;

use super::AppState;
use super::behind;
use super::documented::{ACCOUNT, Responses, Wait, problems};
use legs::Other;
use view::TransferView;

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Asked {
    /// Wait until the views have got to this position, such as that of a reversal on one of the accounts.
    #[param(value_type = Option<String>, pattern = "^[0-9]{1,4}-[0-9]{1,18}$")]
    at_least: Option<Position>,
}

/// A transfer, with what it did to both accounts
///
/// The legs come into the views one by one. When one is there, the other is waited for as long as `Prefer: wait` says;
/// with that header, so is the first. A leg that could not be applied is null.
#[utoipa::path(get, operation_id = "get_transfer", path = "/v1/transfers/{id}", tag = "accounts",
    params(("id" = Uuid, Path, description = "The transfer"), Asked, Wait),
    responses((status = 200, description = "The transfer", body = TransferView), Problems))]
pub(super) async fn get(
    State(state): State<AppState>,
    Path(transfer_id): Path<Uuid>,
    Query(asked): Query<Asked>,
    headers: HeaderMap,
) -> Result<Json<TransferView>, Problem> {
    state.until_position(&headers, asked.at_least).await?;
    let now = Instant::now();
    let legs =
        state.first_leg(transfer_id, now + preferred_wait(&headers).unwrap_or_default()).await?;
    let (legs, since) = match &legs[..] {
        [one] => {
            let (account_id, wanted) = (one.counterparty, one.counterparty_version);
            match state.other_leg(account_id, wanted, now + prefer_wait(&headers)).await? {
                Other::Behind(found) => return Err(behind::of_account(account_id, found, wanted)),
                Other::SetAside(since) => (legs, Some(since)),
                Other::ThrownAway => (legs, None),
                // Unless it was thrown away, too, it is among them now.
                Other::Passed => (state.legs(transfer_id).await?, None),
            }
        }
        _ => (legs, None),
    };
    TransferView::new(transfer_id, legs, since).map(Json).ok_or_else(|| not_found(transfer_id))
}

/// 404: no leg of it is in the views.
fn not_found(transfer_id: Uuid) -> Problem {
    Problem::new(
        StatusCode::NOT_FOUND,
        "transfer_not_found",
        format!("there is no transfer {transfer_id}"),
    )
}

struct Problems;

impl utoipa::IntoResponses for Problems {
    fn responses() -> Responses {
        problems([
            Problem::malformed("id", "is not a UUID"),
            not_found(ACCOUNT),
            behind::of_account(ACCOUNT, 6, 7),
        ])
    }
}
