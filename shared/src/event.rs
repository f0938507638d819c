//! What can have happened to an account: the events, in their newest shape. Every shape that was ever stored stays
//! readable through [`crate::upcast`]; golden files of each are in `shared/tests/golden/`.

/// Schemas of the events' data.
pub mod schema;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use uuid::Uuid;

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
    /// Money went out to another account of this store; the same append has its [`AccountEvent::MoneyReceived`].
    MoneySent(TransferLeg),
    /// Money came in from another account of this store.
    MoneyReceived(TransferLeg),
    /// Some of the balance was set aside.
    HoldPlaced(HoldPlaced),
    /// Money that was set aside went out, all or part; the rest of that hold was given free.
    HoldCaptured(HoldCaptured),
    /// What was set aside was given free.
    HoldReleased(HoldReleased),
    /// The same, because its time was over.
    HoldExpired(HoldExpired),
    /// An earlier deposit, withdrawal or leg of a transfer was undone.
    EntryReversed(EntryReversed),
    /// The available money may go so far below 0 from now on.
    OverdraftLimitSet(OverdraftLimitSet),
    /// From now on no money goes out (nor in, where the freeze says so).
    AccountFrozen(AccountFrozen),
    /// The freeze ended.
    AccountUnfrozen(Reason),
    /// The account ended; its last event.
    AccountClosed(Reason),
}

/// Payload of [`AccountEvent::AccountOpened`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct AccountOpened {
    /// Whose it is: an opaque reference.
    #[schema(value_type = String)]
    pub owner: Owner,
    /// Of all its amounts, for good.
    pub currency: Currency,
    /// What it starts with, in minor units; 0 or more.
    #[serde(deserialize_with = "amount_or_zero")]
    #[schema(minimum = 0)]
    pub initial_deposit: i64,
    /// How far below 0 the available money may go, in minor units; 0 or more.
    #[serde(deserialize_with = "amount_or_zero")]
    #[schema(minimum = 0)]
    pub overdraft_limit: i64,
    /// When the initial deposit counts from, if not from when it was recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false, format = DateTime)]
    pub effective_at: Option<Timestamp>,
    /// The opener's own labels.
    #[serde(default, skip_serializing_if = "Metadata::is_empty")]
    #[schema(value_type = BTreeMap<String, String>, required = false)]
    pub metadata: Metadata,
}

/// Payload of [`AccountEvent::MoneyDeposited`] and [`AccountEvent::MoneyWithdrawn`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct MoneyMoved {
    /// How much, in minor units.
    #[schema(value_type = i64, minimum = 1)]
    pub amount: Amount,
    /// What for, in the sender's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false)]
    pub reference: Option<Reference>,
    /// When it counts from, if not from when it was recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false, format = DateTime)]
    pub effective_at: Option<Timestamp>,
    /// The sender's own labels.
    #[serde(default, skip_serializing_if = "Metadata::is_empty")]
    #[schema(value_type = BTreeMap<String, String>, required = false)]
    pub metadata: Metadata,
    /// It may put the account below its limit at a time that is past.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    #[schema(required = false)]
    pub allow_backdated_overdraft: bool,
}

/// Payload of [`AccountEvent::MoneySent`] and [`AccountEvent::MoneyReceived`]: one of the two legs of a transfer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct TransferLeg {
    /// What both legs share.
    pub transfer_id: Uuid,
    /// The other leg's account.
    pub counterparty: Uuid,
    /// The other leg's version in that account.
    #[schema(minimum = 1)]
    pub counterparty_version: i64,
    /// How much, in minor units.
    #[schema(value_type = i64, minimum = 1)]
    pub amount: Amount,
    /// What for, in the sender's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false)]
    pub reference: Option<Reference>,
    /// When it counts from, if not from when it was recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false, format = DateTime)]
    pub effective_at: Option<Timestamp>,
    /// The sender's own labels.
    #[serde(default, skip_serializing_if = "Metadata::is_empty")]
    #[schema(value_type = BTreeMap<String, String>, required = false)]
    pub metadata: Metadata,
    /// It may put the account below its limit at a time that is past.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    #[schema(required = false)]
    pub allow_backdated_overdraft: bool,
}

/// Payload of [`AccountEvent::HoldPlaced`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct HoldPlaced {
    /// Unique in the account, for good.
    pub hold_id: Uuid,
    /// How much is set aside, in minor units.
    #[schema(value_type = i64, minimum = 1)]
    pub amount: Amount,
    /// When it ends by itself, if it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false, format = DateTime)]
    pub expires_at: Option<Timestamp>,
    /// What for, in the sender's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false)]
    pub reference: Option<Reference>,
    /// The sender's own labels.
    #[serde(default, skip_serializing_if = "Metadata::is_empty")]
    #[schema(value_type = BTreeMap<String, String>, required = false)]
    pub metadata: Metadata,
}

/// Payload of [`AccountEvent::HoldCaptured`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct HoldCaptured {
    /// Of the hold that ends with this.
    pub hold_id: Uuid,
    /// How much went out, in minor units.
    #[schema(value_type = i64, minimum = 1)]
    pub amount: Amount,
    /// The rest of the hold, in minor units; 0 or more.
    #[serde(deserialize_with = "amount_or_zero")]
    #[schema(minimum = 0)]
    pub released: i64,
    /// When the hold would have ended by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false, format = DateTime)]
    pub expires_at: Option<Timestamp>,
    /// What for, in the sender's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false)]
    pub reference: Option<Reference>,
    /// The sender's own labels.
    #[serde(default, skip_serializing_if = "Metadata::is_empty")]
    #[schema(value_type = BTreeMap<String, String>, required = false)]
    pub metadata: Metadata,
}

/// Payload of [`AccountEvent::HoldReleased`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct HoldReleased {
    /// Of the hold that ends with this.
    pub hold_id: Uuid,
    /// How much was set aside, in minor units.
    #[schema(value_type = i64, minimum = 1)]
    pub amount: Amount,
    /// When the hold would have ended by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false, format = DateTime)]
    pub expires_at: Option<Timestamp>,
    /// Why, in the sender's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false)]
    pub reason: Option<Reference>,
}

/// Payload of [`AccountEvent::HoldExpired`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct HoldExpired {
    /// Of the hold that ends with this.
    pub hold_id: Uuid,
    /// How much was set aside, in minor units.
    #[schema(value_type = i64, minimum = 1)]
    pub amount: Amount,
    /// When its time was over.
    #[schema(value_type = String, format = DateTime)]
    pub expires_at: Timestamp,
}

/// Payload of [`AccountEvent::EntryReversed`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct EntryReversed {
    /// The version of the entry that is undone.
    #[schema(minimum = 1)]
    pub version: i64,
    /// What that entry is; money goes the other way now.
    pub entry: ReversibleEntry,
    /// How much, in minor units: all of it.
    #[schema(value_type = i64, minimum = 1)]
    pub amount: Amount,
    /// Where the transfer's other leg is undone, if the entry is a leg of one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = ReversedTransfer, required = false)]
    pub transfer: Option<ReversedTransfer>,
    /// When it counts from, if not from when it was recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false, format = DateTime)]
    pub effective_at: Option<Timestamp>,
    /// Why, in the sender's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false)]
    pub reference: Option<Reference>,
    /// The sender's own labels.
    #[serde(default, skip_serializing_if = "Metadata::is_empty")]
    #[schema(value_type = BTreeMap<String, String>, required = false)]
    pub metadata: Metadata,
    /// It may put the account below its limit at a time that is past.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    #[schema(required = false)]
    pub allow_backdated_overdraft: bool,
}

/// What can be reversed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReversibleEntry {
    /// `MoneyDeposited`.
    Deposit,
    /// `MoneyWithdrawn`.
    Withdrawal,
    /// `MoneySent`.
    TransferSent,
    /// `MoneyReceived`.
    TransferReceived,
}

/// The transfer that a reversal undoes, and its other leg.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ReversedTransfer {
    /// What both legs share.
    pub transfer_id: Uuid,
    /// The other leg's account.
    pub counterparty: Uuid,
    /// The version in that account of its own `EntryReversed`.
    #[schema(minimum = 1)]
    pub counterparty_version: i64,
}

impl EntryReversed {
    /// What it adds to the balance, in minor units; negative where it takes money out.
    pub fn movement(&self) -> i64 {
        match self.entry {
            ReversibleEntry::Deposit | ReversibleEntry::TransferReceived => -self.amount.get(),
            ReversibleEntry::Withdrawal | ReversibleEntry::TransferSent => self.amount.get(),
        }
    }
}

/// Payload of [`AccountEvent::OverdraftLimitSet`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct OverdraftLimitSet {
    /// How far below 0 the available money may go, in minor units; 0 or more.
    #[serde(deserialize_with = "amount_or_zero")]
    #[schema(minimum = 0)]
    pub limit: i64,
}

/// Payload of [`AccountEvent::AccountFrozen`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct AccountFrozen {
    /// Why, in the sender's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false)]
    pub reason: Option<Reference>,
    /// Whether money is kept from coming in, too.
    pub block_credits: bool,
}

/// Payload of events that carry only why.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Reason {
    /// Why, in the sender's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false)]
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

/// How a hold stands, as answers and views name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum HoldStatus {
    /// Its money is set aside.
    Open,
    /// It went out, all or part.
    Captured,
    /// It was given free.
    Released,
    /// Its time was over.
    Expired,
}

impl HoldStatus {
    /// All there are.
    pub const ALL: [Self; 4] = [Self::Open, Self::Captured, Self::Released, Self::Expired];

    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Captured => "captured",
            Self::Released => "released",
            Self::Expired => "expired",
        }
    }
}

impl AccountEvent {
    /// The name of every type of event, as stored.
    pub const TYPES: [&'static str; 14] = [
        "AccountOpened",
        "MoneyDeposited",
        "MoneyWithdrawn",
        "MoneySent",
        "MoneyReceived",
        "HoldPlaced",
        "HoldCaptured",
        "HoldReleased",
        "HoldExpired",
        "EntryReversed",
        "OverdraftLimitSet",
        "AccountFrozen",
        "AccountUnfrozen",
        "AccountClosed",
    ];

    /// The type's name, as stored and as the topic carries it.
    pub fn event_type(&self) -> &'static str {
        match self {
            Self::AccountOpened(_) => "AccountOpened",
            Self::MoneyDeposited(_) => "MoneyDeposited",
            Self::MoneyWithdrawn(_) => "MoneyWithdrawn",
            Self::MoneySent(_) => "MoneySent",
            Self::MoneyReceived(_) => "MoneyReceived",
            Self::HoldPlaced(_) => "HoldPlaced",
            Self::HoldCaptured(_) => "HoldCaptured",
            Self::HoldReleased(_) => "HoldReleased",
            Self::HoldExpired(_) => "HoldExpired",
            Self::EntryReversed(_) => "EntryReversed",
            Self::OverdraftLimitSet(_) => "OverdraftLimitSet",
            Self::AccountFrozen(_) => "AccountFrozen",
            Self::AccountUnfrozen(_) => "AccountUnfrozen",
            Self::AccountClosed(_) => "AccountClosed",
        }
    }

    /// When it counts from, if it says so.
    pub fn effective_at(&self) -> Option<Timestamp> {
        match self {
            Self::AccountOpened(opened) => opened.effective_at,
            Self::MoneyDeposited(moved) | Self::MoneyWithdrawn(moved) => moved.effective_at,
            Self::MoneySent(leg) | Self::MoneyReceived(leg) => leg.effective_at,
            Self::EntryReversed(reversed) => reversed.effective_at,
            Self::HoldPlaced(_)
            | Self::HoldCaptured(_)
            | Self::HoldReleased(_)
            | Self::HoldExpired(_)
            | Self::OverdraftLimitSet(_)
            | Self::AccountFrozen(_)
            | Self::AccountUnfrozen(_)
            | Self::AccountClosed(_) => None,
        }
    }

    /// The schema version that [`AccountEvent::data`] writes: the oldest that holds all of it, so that a program that knows
    /// no newer one reads whatever it can understand.
    pub fn schema_version(&self) -> i16 {
        match self {
            Self::AccountOpened(opened) => 2 + i16::from(opened.effective_at.is_some()),
            Self::MoneyWithdrawn(moved) => 1 + i16::from(moved.allow_backdated_overdraft),
            Self::MoneySent(leg) | Self::MoneyReceived(leg) => {
                1 + i16::from(leg.allow_backdated_overdraft)
            }
            Self::EntryReversed(reversed) => {
                1 + i16::from(reversed.effective_at.is_some() || reversed.allow_backdated_overdraft)
            }
            Self::MoneyDeposited(_)
            | Self::HoldPlaced(_)
            | Self::HoldCaptured(_)
            | Self::HoldReleased(_)
            | Self::HoldExpired(_)
            | Self::OverdraftLimitSet(_)
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
            Self::MoneySent(data) | Self::MoneyReceived(data) => to_raw_value(data),
            Self::HoldPlaced(data) => to_raw_value(data),
            Self::HoldCaptured(data) => to_raw_value(data),
            Self::HoldReleased(data) => to_raw_value(data),
            Self::HoldExpired(data) => to_raw_value(data),
            Self::EntryReversed(data) => to_raw_value(data),
            Self::OverdraftLimitSet(data) => to_raw_value(data),
            Self::AccountFrozen(data) => to_raw_value(data),
            Self::AccountUnfrozen(data) | Self::AccountClosed(data) => to_raw_value(data),
        }
    }

    /// The event from what is stored, of any schema version there ever was.
    ///
    /// # Errors
    /// A type or schema version this program does not know (a newer one wrote it), or a payload that is not of it.
    pub fn decode(
        event_type: &str,
        schema_version: i16,
        data: &RawValue,
    ) -> Result<Self, DecodeError> {
        let data = upcast::to_newest(event_type, schema_version, data)?;
        let data = data.get();
        Ok(match event_type {
            "AccountOpened" => Self::AccountOpened(serde_json::from_str(data)?),
            "MoneyDeposited" => Self::MoneyDeposited(serde_json::from_str(data)?),
            "MoneyWithdrawn" => Self::MoneyWithdrawn(serde_json::from_str(data)?),
            "MoneySent" => Self::MoneySent(serde_json::from_str(data)?),
            "MoneyReceived" => Self::MoneyReceived(serde_json::from_str(data)?),
            "HoldPlaced" => Self::HoldPlaced(serde_json::from_str(data)?),
            "HoldCaptured" => Self::HoldCaptured(serde_json::from_str(data)?),
            "HoldReleased" => Self::HoldReleased(serde_json::from_str(data)?),
            "HoldExpired" => Self::HoldExpired(serde_json::from_str(data)?),
            "EntryReversed" => Self::EntryReversed(serde_json::from_str(data)?),
            "OverdraftLimitSet" => Self::OverdraftLimitSet(serde_json::from_str(data)?),
            "AccountFrozen" => Self::AccountFrozen(serde_json::from_str(data)?),
            "AccountUnfrozen" => Self::AccountUnfrozen(serde_json::from_str(data)?),
            "AccountClosed" => Self::AccountClosed(serde_json::from_str(data)?),
            unknown => return Err(DecodeError::UnknownType(unknown.to_owned())),
        })
    }
}
