//! Answers to commands: a pure function of the outcome, so a replay returns the same bytes.

mod body;
mod hold;
#[cfg(test)]
mod tests;

use axum::http::header::{CONTENT_TYPE, ETAG, HeaderName};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use passbook_shared::http::headers::etag;
use passbook_shared::http::problem::Problem;
use uuid::Uuid;

pub(super) use self::body::{
    AnsweredEvent, Body, CommandAnswer, HoldAnswer, Shape, TransferAnswer,
};
pub(super) use self::hold::AnsweredHold;
use super::problems;
use crate::domain::Command;
use crate::outcome::Outcome;

const IDEMPOTENCY_REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// Status and body type of the answer to an accepted command.
#[derive(Debug, Clone, Copy)]
pub(super) struct Form {
    pub(super) status: StatusCode,
    shape: Shape,
}

impl Form {
    /// Form of an entry on one account.
    pub(super) const ENTRY: Self = Self { status: StatusCode::CREATED, shape: Shape::Account };

    /// Returns the form for a command. The status of a dry run is always 200.
    pub(super) fn of(command: &Command, dry_run: bool) -> Self {
        let made = match command {
            Command::Open(_) | Command::Deposit(_) | Command::Withdraw(_) | Command::Reverse(_) => {
                Self::ENTRY
            }
            Command::Transfer(_) => Self { shape: Shape::Transfer, ..Self::ENTRY },
            Command::Hold(_) | Command::Capture(_) | Command::Release(_) | Command::Expire(_) => {
                Self { shape: Shape::Hold, ..Self::ENTRY }
            }
            Command::SetOverdraftLimit(_)
            | Command::ChangeOwner(_)
            | Command::Freeze(_)
            | Command::Unfreeze(_)
            | Command::Close(_) => Self { status: StatusCode::OK, ..Self::ENTRY },
        };
        if dry_run { Self { status: StatusCode::OK, ..made } } else { made }
    }

    /// Returns the body for an outcome.
    ///
    /// # Errors
    /// The problem of a refusal.
    pub(super) fn body(self, account_id: Uuid, outcome: &Outcome) -> Result<Body<'_>, Problem> {
        match outcome {
            Outcome::Refused { refusal, .. } => Err(problems::refused(account_id, refusal)),
            Outcome::Accepted { own, to, .. } => {
                Body::of(own, to.as_ref(), self.shape).ok_or_else(|| {
                    tracing::error!(account.id = %account_id, "the events of a command do not \
                        match its answer");
                    Problem::internal()
                })
            }
        }
    }
}

/// Builds the response to a decided command.
pub(super) fn respond(account_id: Uuid, outcome: &Outcome, form: Form) -> Response {
    let body = form.body(account_id, outcome);
    let mut response = body
        .and_then(|body| serialized(&body, form.status))
        .unwrap_or_else(IntoResponse::into_response);
    if outcome.is_replay() {
        response.headers_mut().insert(IDEMPOTENCY_REPLAYED, HeaderValue::from_static("true"));
    }
    response
}

fn serialized(body: &Body<'_>, status: StatusCode) -> Result<Response, Problem> {
    match (serde_json::to_vec(body), HeaderValue::try_from(etag(body.version()))) {
        (Ok(bytes), Ok(tag)) => {
            let json = HeaderValue::from_static("application/json");
            Ok((status, [(CONTENT_TYPE, json), (ETAG, tag)], bytes).into_response())
        }
        (bytes, _) => {
            tracing::error!(error = ?bytes.err(), "an answer cannot be serialized");
            Err(Problem::internal())
        }
    }
}
