//! Payloads of events that move money.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::money::Amount;
use crate::text::{Metadata, Reference};
use crate::timestamp::Timestamp;

/// Payload of [`AccountEvent::MoneyDeposited`](super::AccountEvent::MoneyDeposited) and
/// [`AccountEvent::MoneyWithdrawn`](super::AccountEvent::MoneyWithdrawn).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct MoneyMoved {
    /// Amount in minor units.
    #[schema(value_type = i64, minimum = 1)]
    pub amount: Amount,
    /// Reference that the sender gave.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false)]
    pub reference: Option<Reference>,
    /// Time from which the entry counts, if it is not the time of recording.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false, format = DateTime)]
    pub effective_at: Option<Timestamp>,
    /// Metadata that the sender gave.
    #[serde(default, skip_serializing_if = "Metadata::is_empty")]
    #[schema(value_type = BTreeMap<String, String>, required = false)]
    pub metadata: Metadata,
    /// True if the entry may put the account below its limit at a past time.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    #[schema(required = false)]
    pub allow_backdated_overdraft: bool,
}

/// Payload of [`AccountEvent::MoneySent`](super::AccountEvent::MoneySent) and
/// [`AccountEvent::MoneyReceived`](super::AccountEvent::MoneyReceived): one of the two legs of a
/// transfer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct TransferLeg {
    /// Id of the transfer, which both legs share.
    pub transfer_id: Uuid,
    /// Account of the other leg.
    pub counterparty: Uuid,
    /// Version of the other leg in its account.
    #[schema(minimum = 1)]
    pub counterparty_version: i64,
    /// Amount in minor units.
    #[schema(value_type = i64, minimum = 1)]
    pub amount: Amount,
    /// Reference that the sender gave.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false)]
    pub reference: Option<Reference>,
    /// Time from which the entry counts, if it is not the time of recording.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false, format = DateTime)]
    pub effective_at: Option<Timestamp>,
    /// Metadata that the sender gave.
    #[serde(default, skip_serializing_if = "Metadata::is_empty")]
    #[schema(value_type = BTreeMap<String, String>, required = false)]
    pub metadata: Metadata,
    /// True if the entry may put the account below its limit at a past time.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    #[schema(required = false)]
    pub allow_backdated_overdraft: bool,
}
