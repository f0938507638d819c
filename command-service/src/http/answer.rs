//! What a command is answered with. A function of its outcome alone: a repeat gets the same bytes.

mod body;
mod hold;

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
use crate::outcome::{Answer, Outcome};

const IDEMPOTENCY_REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// How a command is answered if it is accepted.
#[derive(Debug, Clone, Copy)]
pub(super) struct Form {
    /// The status.
    pub(super) status: StatusCode,
    shape: Shape,
}

impl Form {
    /// Of an entry on one account.
    pub(super) const ENTRY: Self = Self { status: StatusCode::CREATED, shape: Shape::Account };

    /// The form for a command; a dry run has made nothing.
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
            | Command::Freeze(_)
            | Command::Unfreeze(_)
            | Command::Close(_) => Self { status: StatusCode::OK, ..Self::ENTRY },
        };
        if dry_run { Self { status: StatusCode::OK, ..made } } else { made }
    }

    /// What is told of an outcome.
    ///
    /// # Errors
    /// The problem that a refusal is.
    pub(super) fn tell(self, account_id: Uuid, outcome: &Outcome) -> Result<Body<'_>, Problem> {
        match outcome {
            Outcome::Refused(refusal) => Err(problems::refused(account_id, refusal)),
            Outcome::Accepted(accepted) => Body::of(accepted, self.shape).ok_or_else(|| {
                tracing::error!(account.id = %account_id, "the events of a command are not what its answer needs");
                Problem::internal()
            }),
        }
    }
}

/// The response to a command that was decided.
pub(super) fn respond(account_id: Uuid, answer: &Answer, form: Form) -> Response {
    let told = form.tell(account_id, &answer.outcome);
    let mut response = told
        .and_then(|body| written(&body, form.status))
        .unwrap_or_else(IntoResponse::into_response);
    if answer.replayed {
        response.headers_mut().insert(IDEMPOTENCY_REPLAYED, HeaderValue::from_static("true"));
    }
    response
}

fn written(body: &Body<'_>, status: StatusCode) -> Result<Response, Problem> {
    match (serde_json::to_vec(body), HeaderValue::try_from(etag(body.version()))) {
        (Ok(bytes), Ok(tag)) => {
            let json = HeaderValue::from_static("application/json");
            Ok((status, [(CONTENT_TYPE, json), (ETAG, tag)], bytes).into_response())
        }
        (bytes, _) => {
            tracing::error!(error = ?bytes.err(), "an answer can't be written");
            Err(Problem::internal())
        }
    }
}
