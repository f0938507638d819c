//! `GET /v1/transfers/{id}`: both legs of a transfer.

mod legs;
mod view;

use axum::Json;
use axum::http::HeaderMap;
use passbook_shared::http::extract::{Path, Query};
use passbook_shared::http::headers::{prefer_wait, preferred_wait};
use passbook_shared::http::problem::Problem;
use passbook_shared::position::Position;
use serde::Deserialize;
use tokio::time::Instant;
use uuid::Uuid;

use super::AppState;
use super::documented::{ACCOUNT, Responses, Wait, problems};
use super::problems::{account_behind, transfer_not_found};
use crate::store::scope::Scope;
use legs::OtherLeg;
use view::TransferView;

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Params {
    /// Wait until the views have reached this position, such as that of a reversal on one of the
    /// accounts.
    #[param(value_type = Option<String>, pattern = "^[0-9]{1,4}-[0-9]{1,18}$")]
    at_least: Option<Position>,
}

/// A transfer, with its effect on both accounts
///
/// The legs are applied one by one. If only one is there, the answer waits for the other as long as
/// `Prefer: wait` says. With that header, it also waits for the first. A leg that could not be
/// applied is null.
#[utoipa::path(get, operation_id = "get_transfer", path = "/v1/transfers/{id}", tag = "accounts",
    security(("api_key" = ["accounts:read"])),
    params(("id" = Uuid, Path, description = "The transfer"), Params, Wait),
    responses((status = 200, description = "The transfer", body = TransferView), Problems))]
pub(super) async fn get(
    state: AppState,
    scope: Scope,
    Path(transfer_id): Path<Uuid>,
    Query(params): Query<Params>,
    headers: HeaderMap,
) -> Result<Json<TransferView>, Problem> {
    state.until_position(&headers, params.at_least).await?;
    let now = Instant::now();
    // Without a stated wait, an unknown transfer gets 404 at once.
    let legs =
        state.first_leg(&scope, transfer_id, now + preferred_wait(&headers).unwrap_or_default());
    let legs = legs.await?;
    let (legs, since) = match &legs[..] {
        [one] => {
            let (account_id, wanted) = (one.counterparty, one.counterparty_version);
            match state.other_leg(&scope, (account_id, wanted), now + prefer_wait(&headers)).await?
            {
                OtherLeg::Behind(found) => return Err(account_behind(account_id, found, wanted)),
                OtherLeg::Quarantined(since) => (legs, Some(since)),
                OtherLeg::Discarded => (legs, None),
                // The other leg is applied now, unless it was discarded.
                OtherLeg::Passed => (state.legs(&scope, transfer_id).await?, None),
            }
        }
        _ => (legs, None),
    };
    TransferView::new(transfer_id, legs, since)
        .map(Json)
        .ok_or_else(|| transfer_not_found(transfer_id))
}

struct Problems;

impl utoipa::IntoResponses for Problems {
    fn responses() -> Responses {
        problems([
            Problem::malformed("id", "is not a UUID"),
            transfer_not_found(ACCOUNT),
            account_behind(ACCOUNT, 6, 7),
        ])
    }
}
