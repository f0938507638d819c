//! Payloads of events that concern the account itself.

use serde::{Deserialize, Serialize};
use strum::{EnumString, IntoStaticStr};

use crate::money::{Currency, amount_or_zero};
use crate::tenant::Tenant;
use crate::text::{Metadata, Owner, Reference};
use crate::timestamp::Timestamp;

/// Payload of [`AccountEvent::AccountOpened`](super::AccountEvent::AccountOpened).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct AccountOpened {
    /// Owner of the account: an opaque reference.
    #[schema(value_type = String)]
    pub owner: Owner,
    /// Currency of every amount of the account; it never changes.
    pub currency: Currency,
    /// Initial balance in minor units, 0 or more.
    #[serde(deserialize_with = "amount_or_zero")]
    #[schema(minimum = 0)]
    pub initial_deposit: i64,
    /// Distance below 0 that the available balance may reach, in minor units, 0 or more.
    #[serde(deserialize_with = "amount_or_zero")]
    #[schema(minimum = 0)]
    pub overdraft_limit: i64,
    /// Time from which the initial deposit counts, if it is not the time of recording.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false, format = DateTime)]
    pub effective_at: Option<Timestamp>,
    /// Metadata that the sender gave.
    #[serde(default, skip_serializing_if = "Metadata::is_empty")]
    #[schema(value_type = BTreeMap<String, String>, required = false)]
    pub metadata: Metadata,
    /// Tenant of the account; it never changes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false)]
    pub tenant: Option<Tenant>,
}

/// Payload of [`AccountEvent::OverdraftLimitSet`](super::AccountEvent::OverdraftLimitSet).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct OverdraftLimitSet {
    /// Distance below 0 that the available balance may reach, in minor units, 0 or more.
    #[serde(deserialize_with = "amount_or_zero")]
    #[schema(minimum = 0)]
    pub limit: i64,
}

/// Payload of [`AccountEvent::OwnerChanged`](super::AccountEvent::OwnerChanged).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct OwnerChanged {
    /// New owner of the account: an opaque reference.
    #[schema(value_type = String)]
    pub owner: Owner,
    /// Reason that the sender gave.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false)]
    pub reason: Option<Reference>,
}

/// Payload of [`AccountEvent::AccountFrozen`](super::AccountEvent::AccountFrozen).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct AccountFrozen {
    /// Reason that the sender gave.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false)]
    pub reason: Option<Reference>,
    /// True if the freeze refuses credits as well as debits.
    pub block_credits: bool,
}

/// Payload of events that have only a reason.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Reason {
    /// Reason that the sender gave.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false)]
    pub reason: Option<Reference>,
}

/// Status of an account, as answers and views name it.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Serialize,
    Deserialize,
    IntoStaticStr,
    EnumString,
    utoipa::ToSchema,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum AccountStatus {
    /// Money moves in and out.
    Open,
    /// Debits are refused.
    Frozen,
    /// Every change is refused, for good.
    Closed,
}

impl AccountStatus {
    /// Returns the name that is stored and shown.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}
