//! Problems that several endpoints return.

use axum::http::StatusCode;

use super::Problem;

impl Problem {
    /// Returns 404 `not_found`.
    pub fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", detail)
    }

    /// Returns 404 `account_not_found`.
    pub fn account_not_found(account_id: uuid::Uuid) -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "account_not_found",
            format!("there is no account {account_id}"),
        )
    }

    /// Returns 404 `version_not_found`: the account exists, but not yet at that version.
    pub fn version_not_found(account_id: uuid::Uuid, current_version: i64) -> Self {
        let detail = format!("account {account_id} is only at version {current_version}");
        Self::new(StatusCode::NOT_FOUND, "version_not_found", detail)
            .with("current_version", current_version)
    }

    /// Returns 405 `method_not_allowed`.
    pub fn method_not_allowed() -> Self {
        Self::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "method_not_allowed",
            "the route does not support the method",
        )
    }

    /// Returns 503 `store_unavailable` with Postgres's reason.
    pub fn store_unavailable(reason: &str) -> Self {
        let detail = format!("the store is unavailable: {reason}");
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "store_unavailable", detail).retry_after(1)
    }

    /// Returns 500 `internal_error`. The caller logs the defect.
    pub fn internal() -> Self {
        let detail = "internal error; the log of the service has details";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal_error", detail)
    }

    /// Returns 415 `unsupported_media_type`: the content type is not JSON.
    pub fn unsupported_media_type() -> Self {
        let detail = "the body must be JSON, with `Content-Type: application/json`";
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", detail)
    }

    /// Returns 415 `unsupported_media_type`: the body has a content encoding.
    pub(crate) fn unsupported_coding() -> Self {
        let detail = "the body must be sent without `Content-Encoding`";
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", detail)
    }

    /// Returns 503 `overloaded`: the store did not answer a query in time.
    pub fn reads_overloaded() -> Self {
        let detail = "the store did not answer in time: it is overloaded or unreachable";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "overloaded", detail).retry_after(1)
    }
}
