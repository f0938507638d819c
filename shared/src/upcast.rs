//! The upcaster chain: each step turns one schema version of one type's payload into the next, so that every event
//! ever stored is read in its newest shape. Stored events are never rewritten.

use std::borrow::Cow;

use serde_json::value::RawValue;
use serde_json::{Map, Value};
use thiserror::Error;

/// Why a stored event can't be read.
#[derive(Debug, Error)]
pub enum DecodeError {
    /// No event of this program has that name.
    #[error("event type `{0}` is not known to this version of the program")]
    UnknownType(String),
    /// The type is known, this shape of it is not.
    #[error(
        "schema version {schema_version} of `{event_type}` is not known to this version of the program"
    )]
    UnknownSchemaVersion {
        /// The type.
        event_type: String,
        /// The version that was found.
        schema_version: i16,
    },
    /// The payload is not of the shape it claims.
    #[error("payload can't be read: {0}")]
    Payload(#[from] serde_json::Error),
}

/// Nothing, where the newer schema version can say more, and says the same of what the older one said.
type Upcaster = Option<fn(&mut Map<String, Value>)>;

/// A type's chain: element n leads from schema version n + 1 to n + 2.
fn chain(event_type: &str) -> Option<&'static [Upcaster]> {
    match event_type {
        // Version 3 may say when the initial deposit counts from.
        "AccountOpened" => Some(&[Some(opened_without_initial_deposit), None]),
        // Version 2 may waive the check of times that are past, and a reversal's says when it counts from.
        "MoneyWithdrawn" | "MoneySent" | "MoneyReceived" | "EntryReversed" => Some(&[None]),
        "MoneyDeposited" | "HoldPlaced" | "HoldCaptured" | "HoldReleased" | "HoldExpired"
        | "OverdraftLimitSet" | "AccountFrozen" | "AccountUnfrozen" | "AccountClosed" => Some(&[]),
        _ => None,
    }
}

/// Version 1 knew neither the initial deposit nor the overdraft limit: both were 0.
fn opened_without_initial_deposit(data: &mut Map<String, Value>) {
    data.insert("initial_deposit".to_owned(), 0.into());
    data.insert("overdraft_limit".to_owned(), 0.into());
}

/// The payload in the newest schema version of its type; untouched if it is there already.
///
/// # Errors
/// An unknown type or schema version; an old payload that is not a JSON object.
pub fn to_newest<'a>(
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
