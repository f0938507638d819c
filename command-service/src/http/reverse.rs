//! `POST /v1/accounts/{id}/reversals`

use axum::extract::State;
use axum::response::Response;
use passbook_shared::http::extract::{Json, Path};
use passbook_shared::text::{Metadata, Reference};
use serde::Deserialize;
use uuid::Uuid;

use super::command_headers::CommandHeaders;
use super::documented::{Responses, command_problems, made};
use super::submit::submit;
use super::whole::{LARGEST, Number};
use super::{AppState, examples, schemas};
use crate::domain::command::Reversal;
use crate::domain::{Command, Refusal};

/// An entry to be undone.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, expecting = "must be an object")]
#[schema(example = json!({"version": 2, "reference": "booked twice"}))]
pub(super) struct ReversalRequest {
    #[schema(schema_with = schemas::version)]
    version: Number<1, LARGEST>,
    #[schema(schema_with = schemas::optional_reference)]
    reference: Option<Reference>,
    #[schema(schema_with = schemas::optional_metadata)]
    metadata: Option<Metadata>,
}

impl ReversalRequest {
    /// What is asked for.
    pub(super) fn into_command(self) -> Command {
        let Self { version, reference, metadata } = self;
        let (version, metadata) = (version.get(), metadata.unwrap_or_default());
        Command::Reverse(Reversal { version, reference, metadata })
    }
}

/// Undo an entry
///
/// A deposit, a withdrawal, or a transfer (on both accounts, from either of them); each once, and as a whole.
#[utoipa::path(post, path = "/v1/accounts/{id}/reversals", tag = "commands",
    params(("id" = Uuid, Path, description = "The account"), CommandHeaders),
    request_body = ReversalRequest, responses(Done, Problems))]
pub(super) async fn reverse(
    State(state): State<AppState>,
    Path(account_id): Path<Uuid>,
    headers: CommandHeaders,
    Json(request): Json<ReversalRequest>,
) -> Response {
    submit(&state, account_id, headers, request.into_command()).await
}

struct Done;

impl utoipa::IntoResponses for Done {
    fn responses() -> Responses {
        made("CommandAnswer", "The money has moved back", examples::reversal())
    }
}

struct Problems;

impl utoipa::IntoResponses for Problems {
    fn responses() -> Responses {
        command_problems([
            Refusal::AccountNotFound,
            Refusal::EntryNotFound { current_version: 7 },
            Refusal::NotReversible { event_type: "HoldPlaced".to_owned() },
            Refusal::AlreadyReversed { reversed_by: 6 },
            Refusal::InsufficientFunds { available: 300, overdraft_limit: 0 },
            Refusal::AccountClosed,
            Refusal::AccountFrozen,
            Refusal::AmountOverflow,
        ])
    }
}
