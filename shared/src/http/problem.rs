//! RFC 9457 problems: what a request gets when it is not answered.

use axum::http::header::{CONNECTION, CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::fault::Fault;
use crate::store_error::{self, is_connection_lost, is_unavailable};

static UNREAD: Fault = Fault::new("requests can't be answered from Postgres");

/// Maximum length of a `detail`, in bytes.
const LONGEST_DETAIL: usize = 768;
/// Maximum length of the name of a field, in bytes.
const LONGEST_FIELD: usize = 256;

/// An `application/problem+json` answer. `code` is stable and meant for programs, `detail` for
/// people.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Problem {
    /// Always `about:blank`: `code` says what it is.
    #[serde(rename = "type")]
    #[schema(examples("about:blank"))]
    pub problem_type: String,
    /// The phrase of the status.
    pub title: String,
    /// The HTTP status.
    #[schema(minimum = 400, maximum = 599)]
    pub status: u16,
    /// What happened, for programs; stable.
    #[schema(examples("malformed_request"))]
    pub code: String,
    /// What happened, for people.
    pub detail: String,
    /// Which fields, where that is known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldError>,
    /// Seconds after which to try again; also the header `Retry-After`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = u32, required = false)]
    pub retry_after: Option<u32>,
    /// Facts by name that belong to the code, such as `available` or `current_version`.
    #[serde(flatten)]
    pub facts: Map<String, Value>,
}

/// What is wrong with one field of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct FieldError {
    /// Its path in the body (`commands[3].amount`), or the name of the header, query or path
    /// parameter.
    pub field: String,
    /// What is wrong with it.
    pub detail: String,
}

impl Problem {
    /// A problem with nothing but its status, code and explanation.
    pub fn new(status: StatusCode, code: &str, detail: impl Into<String>) -> Self {
        Self {
            problem_type: "about:blank".to_owned(),
            title: status.canonical_reason().unwrap_or("Error").to_owned(),
            status: status.as_u16(),
            code: code.to_owned(),
            detail: cut(detail.into(), LONGEST_DETAIL),
            errors: Vec::new(),
            retry_after: None,
            facts: Map::new(),
        }
    }

    /// The same, with a fact of its code.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.facts.insert(name.to_owned(), value.into());
        self
    }

    /// The same, to be tried again after so many seconds.
    #[must_use]
    pub fn retry_after(mut self, seconds: u32) -> Self {
        self.retry_after = Some(seconds);
        self
    }

    /// 400 `malformed_request` that names the field.
    pub fn malformed(field: impl Into<String>, detail: impl Into<String>) -> Self {
        let (field, detail) =
            (cut(field.into(), LONGEST_FIELD), cut(detail.into(), LONGEST_DETAIL - LONGEST_FIELD));
        let mut problem =
            Self::new(StatusCode::BAD_REQUEST, "malformed_request", format!("`{field}`: {detail}"));
        problem.errors.push(FieldError { field, detail });
        problem
    }

    /// The same, with more names in the list of those that an unknown field could have had.
    #[must_use]
    pub fn also_known(self, names: &str) -> Self {
        let is_unknown =
            self.errors.first().is_some_and(|error| error.detail.starts_with("unknown field"));
        if is_unknown { self.adding(names) } else { self }
    }

    /// The same, with more said of its first field.
    #[must_use]
    pub fn adding(self, more: &str) -> Self {
        self.with_first(|error| error.detail += more)
    }

    /// The same, of fields that belong to what is at `path`.
    #[must_use]
    pub fn within(self, path: &str) -> Self {
        self.with_first(|error| error.field = format!("{path}.{}", error.field))
    }

    /// The same, with its first field changed, and with the detail that says so.
    fn with_first(mut self, change: impl FnOnce(&mut FieldError)) -> Self {
        if let Some(error) = self.errors.first_mut() {
            change(error);
            self.detail = format!("`{}`: {}", error.field, error.detail);
        }
        self
    }

    /// 400 `malformed_request` that names the fields of all of these; nothing if there are none.
    pub fn all_malformed(problems: Vec<Self>) -> Option<Self> {
        let mut problems = problems.into_iter();
        let mut first = problems.next()?;
        let more = problems.len();
        if more > 0 {
            let detail =
                format!("{}; and {more} more in `errors`", cut(first.detail, LONGEST_DETAIL - 64));
            first.detail = detail;
        }
        first.errors.extend(problems.flat_map(|problem| problem.errors));
        Some(first)
    }

    /// 404 `not_found`.
    pub fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", detail)
    }

    /// 404 `account_not_found`.
    pub fn account_not_found(account_id: uuid::Uuid) -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "account_not_found",
            format!("there is no account {account_id}"),
        )
    }

    /// 404 `version_not_found`: the account is there, and not yet at that version.
    pub fn version_not_found(account_id: uuid::Uuid, current_version: i64) -> Self {
        let detail = format!("account {account_id} is only at version {current_version}");
        Self::new(StatusCode::NOT_FOUND, "version_not_found", detail)
            .with("current_version", current_version)
    }

    /// 405 `method_not_allowed`.
    pub fn method_not_allowed() -> Self {
        Self::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "method_not_allowed",
            "this route does not take that method",
        )
    }

    /// 503 `store_unavailable`: Postgres can't be used now, for its own reason.
    pub fn store_unavailable(reason: &str) -> Self {
        let detail = format!("the store can't be used now: {reason}");
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "store_unavailable", detail).retry_after(1)
    }

    /// 500 `internal_error`: a defect of ours, which is in the log.
    pub fn internal() -> Self {
        let detail = "a defect of this service: its log says more";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal_error", detail)
    }

    /// 415 `unsupported_media_type`: a body is not said to be JSON.
    pub fn unsupported_media_type() -> Self {
        let detail = "the body must be JSON, with `Content-Type: application/json`";
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", detail)
    }

    /// 415 `unsupported_media_type`: a body that is compressed, or the like.
    pub fn unsupported_coding() -> Self {
        let detail = "the body must be sent as it is, without `Content-Encoding`";
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", detail)
    }

    /// 503 `overloaded`: the store has no time for this read.
    pub fn reads_overloaded() -> Self {
        let detail = "the store did not answer in time: too many ask, or it is away";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "overloaded", detail).retry_after(1)
    }

    /// For a read that failed: `overloaded` if it took too long, `store_unavailable` if Postgres is
    /// away, else logged and `internal_error`.
    pub fn from_store(error: &sqlx::Error) -> Self {
        if matches!(error, sqlx::Error::PoolTimedOut) {
            // Readiness tells which of the two it is; here it would be a line a request.
            tracing::debug!(%error, "a read took too long");
            Self::reads_overloaded()
        } else if is_connection_lost(error) || is_unavailable(error) {
            // A service that is starting or stopping has no pool: nothing is wrong.
            if !matches!(error, sqlx::Error::PoolClosed) {
                UNREAD.occurred(store_error::reason(error));
            }
            Self::store_unavailable(&store_error::reason(error))
        } else {
            tracing::error!(%error, "a query failed");
            Self::internal()
        }
    }
}

/// The text, without its middle if it is too long: it may repeat what a request has.
fn cut(text: String, longest: usize) -> String {
    const MIDDLE: &str = " … ";
    if text.len() <= longest {
        return text;
    }
    let kept = longest - MIDDLE.len();
    let (head, tail) =
        (text.floor_char_boundary(kept / 2), text.ceil_char_boundary(text.len() - kept / 2));
    [&text[..head], MIDDLE, &text[tail..]].concat()
}

impl From<sqlx::Error> for Problem {
    fn from(error: sqlx::Error) -> Self {
        Self::from_store(&error)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = serde_json::to_vec(&self).unwrap_or_default();
        let mut response = (status, body).into_response();
        response
            .headers_mut()
            .insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(seconds) = self.retry_after {
            response.headers_mut().insert(RETRY_AFTER, seconds.into());
        }
        if matches!(status, StatusCode::REQUEST_TIMEOUT | StatusCode::PAYLOAD_TOO_LARGE) {
            // The rest of that request is not waited for, so no other can follow it.
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_request_has_is_repeated_only_in_part() {
        let long = "ä".repeat(1_000_000);
        for problem in [
            Problem::malformed(long.clone(), "unknown field"),
            Problem::malformed("type", format!("unknown variant `{long}`, expected `deposit`")),
            Problem::malformed(long.clone(), long.clone()).within("commands[999]"),
            Problem::not_found(long.clone()),
        ] {
            assert!(problem.detail.len() <= 1_024, "{}", problem.detail.len());
            let body = serde_json::to_vec(&problem).unwrap();
            assert!(body.len() < 2_500, "{}", body.len());
        }
        let problem =
            Problem::malformed("type", format!("unknown variant `{long}`, expected `deposit`"));
        assert!(
            problem.detail.starts_with("`type`: unknown variant `ä")
                && problem.detail.ends_with("expected `deposit`")
        );
        assert_eq!(Problem::malformed("a", "is short").detail, "`a`: is short");
    }
}
