//! Upcasters: each step converts the payload of one schema version into the next. Every stored
//! event is read in the newest shape, and none is ever rewritten.

use std::borrow::Cow;

use serde_json::value::RawValue;
use serde_json::{Map, Value};
use thiserror::Error;

/// Errors of decoding a stored event.
#[derive(Debug, Error)]
pub enum DecodeError {
    /// This build knows no event type of that name.
    #[error("event type `{0}` is not known to this build")]
    UnknownType(String),
    /// This build knows the type, but not that schema version of it.
    #[error("schema version {schema_version} of `{event_type}` is not known to this build")]
    UnknownSchemaVersion {
        /// Name of the type.
        event_type: String,
        /// Unknown schema version.
        schema_version: i16,
    },
    /// The payload does not match its schema version.
    #[error("payload cannot be read: {0}")]
    Payload(#[from] serde_json::Error),
}

/// Conversion of a payload; `None` if every payload of the older schema version is valid in the
/// newer.
type Upcaster = Option<fn(&mut Map<String, Value>)>;

/// Returns the upcasters of a type; element n leads from schema version n + 1 to n + 2.
fn chain(event_type: &str) -> Option<&'static [Upcaster]> {
    match event_type {
        // Version 3 added `effective_at`, version 4 `tenant`.
        "AccountOpened" => Some(&[Some(opened_without_initial_deposit), None, None]),
        // Version 2 added `allow_backdated_overdraft`, and `effective_at` of a reversal.
        "MoneyWithdrawn" | "MoneySent" | "MoneyReceived" | "EntryReversed" => Some(&[None]),
        "MoneyDeposited" | "HoldPlaced" | "HoldCaptured" | "HoldReleased" | "HoldExpired"
        | "OverdraftLimitSet" | "OwnerChanged" | "AccountFrozen" | "AccountUnfrozen"
        | "AccountClosed" => Some(&[]),
        _ => None,
    }
}

/// Adds the initial deposit and the overdraft limit, which version 1 lacks: both were 0.
fn opened_without_initial_deposit(data: &mut Map<String, Value>) {
    data.insert("initial_deposit".to_owned(), 0.into());
    data.insert("overdraft_limit".to_owned(), 0.into());
}

/// Converts a payload to the newest schema version of its type; borrows it if nothing changes.
///
/// # Errors
/// Fails if the type or schema version is unknown, or an old payload is not a JSON object.
pub(crate) fn to_newest<'a>(
    event_type: &str,
    schema_version: i16,
    data: &'a RawValue,
) -> Result<Cow<'a, RawValue>, DecodeError> {
    let chain = chain(event_type).ok_or_else(|| DecodeError::UnknownType(event_type.to_owned()))?;
    let steps = usize::try_from(schema_version)
        .ok()
        .filter(|version| *version >= 1)
        .and_then(|v| chain.get(v - 1..));
    let steps = steps.ok_or_else(|| DecodeError::UnknownSchemaVersion {
        event_type: event_type.to_owned(),
        schema_version,
    })?;
    let mut steps = steps.iter().flatten().peekable();
    if steps.peek().is_none() {
        return Ok(Cow::Borrowed(data));
    }
    let mut object: Map<String, Value> = serde_json::from_str(data.get())?;
    for step in steps {
        step(&mut object);
    }
    Ok(Cow::Owned(serde_json::value::to_raw_value(&object)?))
}

#[cfg(test)]
mod tests;
