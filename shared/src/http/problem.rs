//! Problems of RFC 9457, the body of every error response.

mod kinds;
mod store;

use axum::http::header::{ALLOW, CONNECTION, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Maximum length of a `detail`, in bytes.
const MAX_DETAIL: usize = 768;
/// Maximum length of the name of a field, in bytes.
const MAX_FIELD: usize = 256;

/// Error response of type `application/problem+json`. Programs use the stable `code`; people read
/// `detail`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Problem {
    /// Always `about:blank`; the `code` identifies the problem.
    #[serde(rename = "type")]
    #[schema(examples("about:blank"))]
    pub problem_type: String,
    /// Reason phrase of the status.
    pub title: String,
    /// HTTP status.
    #[schema(minimum = 400, maximum = 599)]
    pub status: u16,
    /// Stable code of the problem, for programs.
    #[schema(examples("malformed_request"))]
    pub code: String,
    /// Description of the problem, for people.
    pub detail: String,
    /// Faulty fields of the request, where known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldError>,
    /// Seconds after which to retry; also in the header `Retry-After`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = u32, required = false)]
    pub retry_after: Option<u32>,
    /// Further facts by name, such as `available` or `current_version`, depending on the code.
    #[serde(flatten)]
    pub facts: Map<String, Value>,
    /// The request had credentials, which are not valid; in the header `WWW-Authenticate`.
    #[serde(skip)]
    pub invalid_token: bool,
    /// Methods of the route, in the header `Allow`.
    #[serde(skip)]
    pub allow: Option<HeaderValue>,
}

/// Fault of one field of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct FieldError {
    /// Path of the field in the body (`commands[3].amount`), or name of the header or parameter.
    pub field: String,
    /// Description of the fault.
    pub detail: String,
}

impl Problem {
    /// Creates a problem of a status, code and description.
    pub fn new(status: StatusCode, code: &str, detail: impl Into<String>) -> Self {
        Self {
            problem_type: "about:blank".to_owned(),
            title: status.canonical_reason().unwrap_or("Error").to_owned(),
            status: status.as_u16(),
            code: code.to_owned(),
            detail: cut(detail.into(), MAX_DETAIL),
            errors: Vec::new(),
            retry_after: None,
            facts: Map::new(),
            invalid_token: false,
            allow: None,
        }
    }

    /// Adds a fact.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.facts.insert(name.to_owned(), value.into());
        self
    }

    /// Sets the number of seconds after which to retry.
    #[must_use]
    pub fn retry_after(mut self, seconds: u32) -> Self {
        self.retry_after = Some(seconds);
        self
    }

    /// Names the methods that the route has.
    #[must_use]
    pub(super) fn allowing(mut self, methods: &str) -> Self {
        self.allow = HeaderValue::from_str(methods).ok();
        self
    }

    /// Returns 400 `malformed_request` that names the field.
    pub fn malformed(field: impl Into<String>, detail: impl Into<String>) -> Self {
        let (field, detail) =
            (cut(field.into(), MAX_FIELD), cut(detail.into(), MAX_DETAIL - MAX_FIELD));
        let mut problem =
            Self::new(StatusCode::BAD_REQUEST, "malformed_request", format!("`{field}`: {detail}"));
        problem.errors.push(FieldError { field, detail });
        problem
    }

    /// Adds names to the list of known fields, if the problem is an unknown field.
    #[must_use]
    pub(crate) fn also_known(self, names: &str) -> Self {
        let is_unknown =
            self.errors.first().is_some_and(|error| error.detail.starts_with("unknown field"));
        if is_unknown { self.adding(names) } else { self }
    }

    /// Appends text to the description of the first field.
    #[must_use]
    pub(crate) fn adding(self, more: &str) -> Self {
        self.with_first(|error| error.detail += more)
    }

    /// Prefixes the first field with the path of its parent.
    #[must_use]
    pub fn within(self, path: &str) -> Self {
        self.with_first(|error| error.field = format!("{path}.{}", error.field))
    }

    /// Changes the first field, and updates the detail.
    fn with_first(mut self, change: impl FnOnce(&mut FieldError)) -> Self {
        if let Some(error) = self.errors.first_mut() {
            change(error);
            self.detail = format!("`{}`: {}", error.field, error.detail);
        }
        self
    }

    /// Merges problems into one that names the fields of all; `None` if there are none.
    pub fn all_malformed(problems: Vec<Self>) -> Option<Self> {
        let mut problems = problems.into_iter();
        let mut first = problems.next()?;
        let more = problems.len();
        if more > 0 {
            let detail =
                format!("{}; and {more} more in `errors`", cut(first.detail, MAX_DETAIL - 64));
            first.detail = detail;
        }
        first.errors.extend(problems.flat_map(|problem| problem.errors));
        Some(first)
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
        if let Some(methods) = self.allow {
            response.headers_mut().insert(ALLOW, methods);
        }
        if status == StatusCode::UNAUTHORIZED {
            // RFC 9110, section 11.6.1.
            let challenge = if self.invalid_token {
                "Bearer realm=\"passbook\", error=\"invalid_token\""
            } else {
                "Bearer realm=\"passbook\""
            };
            let challenge = HeaderValue::from_static(challenge);
            response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
        }
        if matches!(status, StatusCode::REQUEST_TIMEOUT | StatusCode::PAYLOAD_TOO_LARGE) {
            // The server does not read the rest of the body, so no other request can follow.
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

/// Cuts the middle out of a long text, which can quote a request.
fn cut(text: String, max: usize) -> String {
    const MIDDLE: &str = " … ";
    if text.len() <= max {
        return text;
    }
    let kept = max - MIDDLE.len();
    let (head, tail) =
        (text.floor_char_boundary(kept / 2), text.ceil_char_boundary(text.len() - kept / 2));
    [&text[..head], MIDDLE, &text[tail..]].concat()
}

#[cfg(test)]
mod tests;
