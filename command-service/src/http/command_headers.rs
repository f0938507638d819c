//! What a command's request says beside its body: headers, and `?dry_run=true`.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use passbook_shared::http::extract::Query;
use passbook_shared::http::headers::{if_match, visible_ascii};
use passbook_shared::http::problem::Problem;
use passbook_shared::recorded_event::CommandContext;
use serde::Deserialize;
use utoipa::openapi::path::{Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::{ObjectBuilder, OneOfBuilder, Schema, Type};
use utoipa::openapi::{RefOr, Required};

use super::AppState;

const IDEMPOTENCY_KEY: &str = "Idempotency-Key";
const CORRELATION_ID: &str = "X-Correlation-Id";
const LONGEST_IDEMPOTENCY_KEY: usize = 255;
const LONGEST_CORRELATION_ID: usize = 128;

/// What every endpoint for a command takes beside its body.
#[derive(Debug)]
pub(super) struct CommandHeaders {
    /// From `If-Match`.
    pub(super) expected_version: Option<i64>,
    /// Decide and answer, but append nothing.
    pub(super) dry_run: bool,
    /// For the events' metadata.
    pub(super) context: CommandContext,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CommandQuery {
    #[serde(default)]
    dry_run: bool,
}

impl FromRequestParts<AppState> for CommandHeaders {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Problem> {
        let Query(CommandQuery { dry_run }) = Query::from_request_parts(parts, state).await?;
        let headers = &parts.headers;
        let context = CommandContext {
            idempotency_key: visible_ascii(headers, IDEMPOTENCY_KEY, LONGEST_IDEMPOTENCY_KEY)?.map(str::to_owned),
            correlation_id: visible_ascii(headers, CORRELATION_ID, LONGEST_CORRELATION_ID)?.map(str::to_owned),
            causation_id: None,
            actor: None,
            traceparent: traceparent(headers).map(str::to_owned),
        };
        if state.require_idempotency_key && !dry_run && context.idempotency_key.is_none() {
            return Err(key_missing());
        }
        Ok(Self { expected_version: if_match(headers)?, dry_run, context })
    }
}

/// 400 `idempotency_key_missing`.
pub(super) fn key_missing() -> Problem {
    let detail = "this service takes changes only with the header Idempotency-Key";
    Problem::new(StatusCode::BAD_REQUEST, "idempotency_key_missing", detail)
}

/// The W3C trace context of the request. One that is not well-formed is to be ignored, not refused (Trace Context,
/// section 3.2).
fn traceparent(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all("traceparent").iter();
    let (Some(value), None) = (values.next(), values.next()) else { return None };
    let text = value.to_str().ok()?;
    let mut fields = text.split('-');
    let mut field = |length| {
        let is_hex = |field: &&str| field.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        fields.next().filter(|field| field.len() == length).filter(is_hex)
    };
    let (version, trace_id, parent_id, _flags) = (field(2)?, field(32)?, field(16)?, field(2)?);
    let is_zero = |field: &str| field.bytes().all(|b| b == b'0');
    (version != "ff" && !is_zero(trace_id) && !is_zero(parent_id) && fields.next().is_none()).then_some(text)
}

impl utoipa::IntoParams for CommandHeaders {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let visible = |longest: usize| text().pattern(Some("^[!-~]+$")).min_length(Some(1)).max_length(Some(longest));
        vec![
            header(
                IDEMPOTENCY_KEY,
                "Names this change. A repeat with the same key has no second effect: it gets the first answer, byte for \
                 byte, whether that was done or refused. A key belongs to its account.",
                visible(LONGEST_IDEMPOTENCY_KEY),
            ),
            header(
                "If-Match",
                "The version the account must be at, in quotes, else 412 `version_mismatch`. `*`: any.",
                version_tag(),
            ),
            header(
                CORRELATION_ID,
                "Kept with the events, for those who follow a trail.",
                visible(LONGEST_CORRELATION_ID),
            ),
            header(
                "traceparent",
                "W3C trace context, kept with the events; ignored if it is not well-formed.",
                text().examples(["00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"]),
            ),
            ParameterBuilder::new()
                .name("dry_run")
                .parameter_in(ParameterIn::Query)
                .required(Required::False)
                .description(Some("Decide and answer as it would have been done (200), but do nothing."))
                .schema(Some(ObjectBuilder::new().schema_type(Type::Boolean)))
                .build(),
        ]
    }
}

/// `"7"` or `*`.
fn version_tag() -> Schema {
    let tag = text().pattern(Some(r#"^"[0-9]{1,18}"$"#)).min_length(Some(3)).max_length(Some(20)).examples(["\"7\""]);
    OneOfBuilder::new().item(tag).item(text().enum_values(Some(["*"]))).build().into()
}

fn text() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String)
}

fn header(name: &str, description: &str, schema: impl Into<RefOr<Schema>>) -> Parameter {
    ParameterBuilder::new()
        .name(name)
        .parameter_in(ParameterIn::Header)
        .required(Required::False)
        .description(Some(description))
        .schema(Some(schema))
        .build()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_well_formed_traceparent_is_kept() {
        let kept = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert("traceparent", text.parse().unwrap());
            traceparent(&headers).is_some()
        };
        assert!(kept("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"));
        for bad in [
            "",
            "x",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
        ] {
            assert!(!kept(bad), "{bad}");
        }
    }
}
