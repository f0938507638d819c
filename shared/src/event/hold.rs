//! Payloads of events that concern a hold.

use serde::{Deserialize, Serialize};
use strum::IntoStaticStr;
use uuid::Uuid;

use crate::money::{Amount, amount_or_zero};
use crate::text::{Metadata, Reference};
use crate::timestamp::Timestamp;

/// Payload of [`AccountEvent::HoldPlaced`](super::AccountEvent::HoldPlaced).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct HoldPlaced {
    /// Id of the hold; the account never uses it again.
    pub hold_id: Uuid,
    /// Held amount in minor units.
    #[schema(value_type = i64, minimum = 1)]
    pub amount: Amount,
    /// Time at which the hold expires, if it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false, format = DateTime)]
    pub expires_at: Option<Timestamp>,
    /// Reference that the sender gave.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false)]
    pub reference: Option<Reference>,
    /// Metadata that the sender gave.
    #[serde(default, skip_serializing_if = "Metadata::is_empty")]
    #[schema(value_type = BTreeMap<String, String>, required = false)]
    pub metadata: Metadata,
}

/// Payload of [`AccountEvent::HoldCaptured`](super::AccountEvent::HoldCaptured).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct HoldCaptured {
    /// Id of the hold, which ends with this event.
    pub hold_id: Uuid,
    /// Captured amount in minor units.
    #[schema(value_type = i64, minimum = 1)]
    pub amount: Amount,
    /// Released rest of the hold in minor units, 0 or more.
    #[serde(deserialize_with = "amount_or_zero")]
    #[schema(minimum = 0)]
    pub released: i64,
    /// Time at which the hold would have expired.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false, format = DateTime)]
    pub expires_at: Option<Timestamp>,
    /// Reference that the sender gave.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false)]
    pub reference: Option<Reference>,
    /// Metadata that the sender gave.
    #[serde(default, skip_serializing_if = "Metadata::is_empty")]
    #[schema(value_type = BTreeMap<String, String>, required = false)]
    pub metadata: Metadata,
}

/// Payload of [`AccountEvent::HoldReleased`](super::AccountEvent::HoldReleased).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct HoldReleased {
    /// Id of the hold, which ends with this event.
    pub hold_id: Uuid,
    /// Amount that was held, in minor units.
    #[schema(value_type = i64, minimum = 1)]
    pub amount: Amount,
    /// Time at which the hold would have expired.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false, format = DateTime)]
    pub expires_at: Option<Timestamp>,
    /// Reason that the sender gave.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false)]
    pub reason: Option<Reference>,
}

/// Payload of [`AccountEvent::HoldExpired`](super::AccountEvent::HoldExpired).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct HoldExpired {
    /// Id of the hold, which ends with this event.
    pub hold_id: Uuid,
    /// Amount that was held, in minor units.
    #[schema(value_type = i64, minimum = 1)]
    pub amount: Amount,
    /// Time at which the hold expired.
    #[schema(value_type = String, format = DateTime)]
    pub expires_at: Timestamp,
}

/// Status of a hold, as answers and views name it.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, IntoStaticStr, utoipa::ToSchema,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum HoldStatus {
    /// The money is held.
    Open,
    /// The money went out, all or part of it.
    Captured,
    /// The money was released on request.
    Released,
    /// The money was released at the hold's expiry.
    Expired,
}

impl HoldStatus {
    /// All statuses.
    pub const ALL: [Self; 4] = [Self::Open, Self::Captured, Self::Released, Self::Expired];

    /// Returns the name that is stored and shown.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}
