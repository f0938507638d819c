//! What a command that was done is answered with. A function of its outcome alone: a repeat gets the same bytes.

use axum::http::header::{CONTENT_TYPE, ETAG, HeaderName};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use passbook_shared::http::headers::etag;
use passbook_shared::position::Position;
use passbook_shared::recorded_event::RecordedEvent;
use passbook_shared::timestamp::Timestamp;
use serde::Serialize;
use serde_json::value::RawValue;
use uuid::Uuid;

use super::problems;
use crate::domain::AccountSummary;
use crate::lanes::request::Accepted;
use crate::lanes::{Answer, Leg, Outcome};

const IDEMPOTENCY_REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// The account after the command, and the events that the command caused.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct CommandAnswer<'a> {
    account_id: Uuid,
    /// The account's version after the command; also the `ETag`.
    #[schema(minimum = 1, examples(7))]
    version: i64,
    /// Where the account's newest event is in the log: partition and position. For `at_least` of a query.
    #[schema(value_type = String, pattern = "^[0-9]+-[0-9]+$", examples("3-1042"))]
    position: Position,
    account: &'a AccountSummary,
    /// Oldest first; none if what was asked for was so already.
    events: Vec<AnsweredEvent<'a>>,
}

/// An event that a command caused.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct AnsweredEvent<'a> {
    event_id: Uuid,
    #[serde(rename = "type")]
    #[schema(examples("MoneyDeposited"))]
    event_type: &'a str,
    /// Its place in the account, from 1.
    #[schema(minimum = 1, examples(7))]
    version: i64,
    /// Its place in the log.
    #[schema(value_type = String, pattern = "^[0-9]+-[0-9]+$", examples("3-1042"))]
    position: Position,
    #[schema(value_type = String, format = DateTime, examples("2026-11-24T12:00:00.000000Z"))]
    recorded_at: Timestamp,
    /// What happened.
    #[schema(value_type = Object, examples(json!({"amount": 25_000})))]
    data: &'a RawValue,
}

impl<'a> CommandAnswer<'a> {
    /// The answer to what was done.
    pub(super) fn of(done: &'a Leg) -> Self {
        Self {
            account_id: done.account_id,
            version: done.version,
            position: done.position,
            account: &done.account,
            events: done.events.iter().map(|event| AnsweredEvent::of(event)).collect(),
        }
    }
}

impl<'a> AnsweredEvent<'a> {
    fn of(event: &'a RecordedEvent) -> Self {
        Self {
            event_id: event.event_id,
            event_type: &event.event_type,
            version: event.version,
            position: event.position,
            recorded_at: event.recorded_at,
            data: &event.data,
        }
    }
}

/// The response to a command that was decided; `done` is the status if it was accepted.
pub(super) fn respond(account_id: Uuid, answer: &Answer, done: StatusCode) -> Response {
    let mut response = match &answer.outcome {
        Outcome::Accepted(accepted) => accept(accepted, done),
        Outcome::Refused(refusal) => problems::refused(account_id, refusal).into_response(),
    };
    if answer.replayed {
        response.headers_mut().insert(IDEMPOTENCY_REPLAYED, HeaderValue::from_static("true"));
    }
    response
}

fn accept(accepted: &Accepted, done: StatusCode) -> Response {
    match (serde_json::to_vec(&CommandAnswer::of(&accepted.own)), HeaderValue::try_from(etag(accepted.own.version))) {
        (Ok(body), Ok(tag)) => {
            let json = HeaderValue::from_static("application/json");
            (done, [(CONTENT_TYPE, json), (ETAG, tag)], body).into_response()
        }
        (body, _) => {
            tracing::error!(error = ?body.err(), "an answer can't be written");
            passbook_shared::http::problem::Problem::internal().into_response()
        }
    }
}
