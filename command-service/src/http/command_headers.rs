//! Headers and query parameters of commands.

mod parameters;
#[cfg(test)]
mod tests;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use passbook_shared::access::Reach;
use passbook_shared::http::extract::Query;
use passbook_shared::http::gate::Caller;
use passbook_shared::http::headers::{
    if_match, is_printable_ascii, string_item, traceparent, visible_ascii,
};
use passbook_shared::http::problem::Problem;
use passbook_shared::recorded_event::CommandContext;
use serde::{Deserialize, Deserializer, de};

pub(super) use self::parameters::optional_key;
use super::AppState;

const IDEMPOTENCY_KEY: &str = "Idempotency-Key";
const CORRELATION_ID: &str = "X-Correlation-Id";
const LONGEST_IDEMPOTENCY_KEY: usize = 255;
const LONGEST_CORRELATION_ID: usize = 128;

/// Parameters of a single command.
#[derive(Debug)]
pub(super) struct CommandHeaders {
    /// Accounts that the sender's rights apply to.
    pub(super) reach: Reach,
    /// Versions accepted by `If-Match`; `None` accepts any.
    pub(super) expected_versions: Option<Vec<i64>>,
    /// Decides and answers without appending.
    pub(super) dry_run: bool,
    /// Metadata of the command's events.
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
        let key = string_item(headers, IDEMPOTENCY_KEY, LONGEST_IDEMPOTENCY_KEY)?;
        let context = CommandContext { idempotency_key: key, ..context(parts)? };
        // A dry run changes nothing, so its repeat needs no protection.
        if state.require_idempotency_key && !dry_run && context.idempotency_key.is_none() {
            return Err(key_missing(IDEMPOTENCY_KEY));
        }
        Ok(Self { reach: reach(parts), expected_versions: if_match(headers)?, dry_run, context })
    }
}

/// Parameters of a bulk request.
#[derive(Debug)]
pub(super) struct BulkHeaders {
    /// Accounts that the sender's rights apply to.
    pub(super) reach: Reach,
    /// Decides and answers without appending.
    pub(super) dry_run: bool,
    /// Metadata of all events, without an idempotency key.
    pub(super) context: CommandContext,
}

impl FromRequestParts<AppState> for BulkHeaders {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Problem> {
        let Query(CommandQuery { dry_run }) = Query::from_request_parts(parts, state).await?;
        // Refused instead of ignored: a client that sends them relies on their effect.
        for (name, field) in
            [(IDEMPOTENCY_KEY, "idempotency_key"), ("If-Match", "expected_version")]
        {
            if parts.headers.contains_key(name) {
                let detail = format!(
                    "does not apply to a bulk request: set `{field}` of each command in the body"
                );
                return Err(Problem::malformed(name, detail));
            }
        }
        Ok(Self { reach: reach(parts), dry_run, context: context(parts)? })
    }
}

fn reach(parts: &Parts) -> Reach {
    parts.extensions.get().map(Caller::reach).unwrap_or_default()
}

/// Reads the events' metadata from the head of a request, without the idempotency key.
fn context(parts: &Parts) -> Result<CommandContext, Problem> {
    let headers = &parts.headers;
    Ok(CommandContext {
        // The account's state has it.
        tenant: None,
        idempotency_key: None,
        correlation_id: visible_ascii(headers, CORRELATION_ID, LONGEST_CORRELATION_ID)?
            .map(str::to_owned),
        causation_id: None,
        actor: parts.extensions.get().and_then(Caller::actor).map(str::to_owned),
        traceparent: traceparent(headers).map(str::to_owned),
    })
}

/// Returns 400 `idempotency_key_missing` for a field or header.
pub(super) fn key_missing(field: &str) -> Problem {
    let mut problem = Problem::malformed(
        field,
        "is missing: this service requires an idempotency key for every change",
    );
    "idempotency_key_missing".clone_into(&mut problem.code);
    problem
}

/// Idempotency key in a body.
#[derive(Debug)]
pub(super) struct IdempotencyKey(pub(super) String);

impl<'de> Deserialize<'de> for IdempotencyKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if is_printable_ascii(&text, LONGEST_IDEMPOTENCY_KEY) {
            return Ok(Self(text));
        }
        let detail =
            format!("must be 1 to {LONGEST_IDEMPOTENCY_KEY} characters of printable ASCII");
        Err(de::Error::custom(detail))
    }
}
