//! JSON form of the payloads.

use serde_json::value::{RawValue, to_raw_value};

use super::AccountEvent;
use crate::upcast::{self, DecodeError};

impl AccountEvent {
    /// Returns the schema version of [`AccountEvent::data`].
    pub fn schema_version(&self) -> i16 {
        // The oldest version that can hold the payload: readers that know no newer one lose
        // nothing.
        match self {
            Self::AccountOpened(opened) => match (&opened.tenant, opened.effective_at) {
                (Some(_), _) => 4,
                (None, Some(_)) => 3,
                (None, None) => 2,
            },
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
            | Self::OwnerChanged(_)
            | Self::AccountFrozen(_)
            | Self::AccountUnfrozen(_)
            | Self::AccountClosed(_) => 1,
        }
    }

    /// Returns the payload as JSON, in [`AccountEvent::schema_version`].
    ///
    /// # Errors
    /// None in practice: every payload is plain data.
    pub fn data(&self) -> serde_json::Result<Box<RawValue>> {
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
            Self::OwnerChanged(data) => to_raw_value(data),
            Self::AccountFrozen(data) => to_raw_value(data),
            Self::AccountUnfrozen(data) | Self::AccountClosed(data) => to_raw_value(data),
        }
    }

    /// Reads a stored event of any schema version.
    ///
    /// # Errors
    /// The type or schema version is unknown, as in events of a newer build, or the payload does
    /// not match it.
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
            "OwnerChanged" => Self::OwnerChanged(serde_json::from_str(data)?),
            "AccountFrozen" => Self::AccountFrozen(serde_json::from_str(data)?),
            "AccountUnfrozen" => Self::AccountUnfrozen(serde_json::from_str(data)?),
            "AccountClosed" => Self::AccountClosed(serde_json::from_str(data)?),
            unknown => return Err(DecodeError::UnknownType(unknown.to_owned())),
        })
    }
}
