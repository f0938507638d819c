//! What can have happened to an account: the events, in their newest shape. Every shape that was ever stored stays
//! readable through [`crate::upcast`]; golden files of each are in `shared/tests/golden/`.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::money::{Amount, Currency, amount_or_zero};
use crate::text::{Metadata, Owner, Reference};
use crate::timestamp::Timestamp;
use crate::upcast::{self, DecodeError};

/// A fact about one account, past tense.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AccountEvent {
    /// The account came to be; its first event.
    AccountOpened(AccountOpened),
    /// Money came in from outside.
    MoneyDeposited(MoneyMoved),
    /// Money went out.
    MoneyWithdrawn(MoneyMoved),
    /// From now on no money goes out (nor in, where the freeze says so).
    AccountFrozen(AccountFrozen),
    /// The freeze ended.
    AccountUnfrozen(Reason),
    /// The account ended; its last event.
    AccountClosed(Reason),
}

/// Payload of [`AccountEvent::AccountOpened`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountOpened {
    /// Whose it is: an opaque reference.
    pub owner: Owner,
    /// Of all its amounts, for good.
    pub currency: Currency,
    /// What it starts with, in minor units; 0 or more.
    #[serde(deserialize_with = "amount_or_zero")]
    pub initial_deposit: i64,
    /// How far below 0 the available money may go, in minor units; 0 or more.
    #[serde(deserialize_with = "amount_or_zero")]
    pub overdraft_limit: i64,
    /// The opener's own labels.
    #[serde(default, skip_serializing_if = "Metadata::is_empty")]
    pub metadata: Metadata,
}

/// Payload of [`AccountEvent::MoneyDeposited`] and [`AccountEvent::MoneyWithdrawn`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MoneyMoved {
    /// How much, in minor units.
    pub amount: Amount,
    /// What for, in the sender's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<Reference>,
    /// When it counts from, if not from when it was recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effective_at: Option<Timestamp>,
    /// The sender's own labels.
    #[serde(default, skip_serializing_if = "Metadata::is_empty")]
    pub metadata: Metadata,
}

/// Payload of [`AccountEvent::AccountFrozen`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountFrozen {
    /// Why, in the sender's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reference>,
    /// Whether money is kept from coming in, too.
    pub block_credits: bool,
}

/// Payload of events that carry only why.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    /// Why, in the sender's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reference>,
}

/// How an account stands, as answers and views name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AccountStatus {
    /// Money moves.
    Open,
    /// No money goes out.
    Frozen,
    /// Nothing happens any more.
    Closed,
}

impl AccountStatus {
    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Frozen => "frozen",
            Self::Closed => "closed",
        }
    }
}

impl AccountEvent {
    /// The name of every type of event, as stored.
    pub const TYPES: [&'static str; 6] =
        ["AccountOpened", "MoneyDeposited", "MoneyWithdrawn", "AccountFrozen", "AccountUnfrozen", "AccountClosed"];

    /// The type's name, as stored and as the topic carries it.
    pub fn event_type(&self) -> &'static str {
        match self {
            Self::AccountOpened(_) => "AccountOpened",
            Self::MoneyDeposited(_) => "MoneyDeposited",
            Self::MoneyWithdrawn(_) => "MoneyWithdrawn",
            Self::AccountFrozen(_) => "AccountFrozen",
            Self::AccountUnfrozen(_) => "AccountUnfrozen",
            Self::AccountClosed(_) => "AccountClosed",
        }
    }

    /// The schema version [`AccountEvent::data`] writes.
    pub fn schema_version(&self) -> i16 {
        match self {
            Self::AccountOpened(_) => 2,
            Self::MoneyDeposited(_)
            | Self::MoneyWithdrawn(_)
            | Self::AccountFrozen(_)
            | Self::AccountUnfrozen(_)
            | Self::AccountClosed(_) => 1,
        }
    }

    /// The payload as JSON, in the newest schema version.
    ///
    /// # Errors
    /// None in practice: every payload is plain data.
    pub fn data(&self) -> serde_json::Result<Box<RawValue>> {
        use serde_json::value::to_raw_value;
        match self {
            Self::AccountOpened(data) => to_raw_value(data),
            Self::MoneyDeposited(data) | Self::MoneyWithdrawn(data) => to_raw_value(data),
            Self::AccountFrozen(data) => to_raw_value(data),
            Self::AccountUnfrozen(data) | Self::AccountClosed(data) => to_raw_value(data),
        }
    }

    /// The event from what is stored, of any schema version there ever was.
    ///
    /// # Errors
    /// A type or schema version this program does not know (a newer one wrote it), or a payload that is not of it.
    pub fn decode(event_type: &str, schema_version: i16, data: &RawValue) -> Result<Self, DecodeError> {
        let data = upcast::to_newest(event_type, schema_version, data)?;
        let data = data.get();
        Ok(match event_type {
            "AccountOpened" => Self::AccountOpened(serde_json::from_str(data)?),
            "MoneyDeposited" => Self::MoneyDeposited(serde_json::from_str(data)?),
            "MoneyWithdrawn" => Self::MoneyWithdrawn(serde_json::from_str(data)?),
            "AccountFrozen" => Self::AccountFrozen(serde_json::from_str(data)?),
            "AccountUnfrozen" => Self::AccountUnfrozen(serde_json::from_str(data)?),
            "AccountClosed" => Self::AccountClosed(serde_json::from_str(data)?),
            unknown => return Err(DecodeError::UnknownType(unknown.to_owned())),
        })
    }
}
