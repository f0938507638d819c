//! Rows that an append keeps next to an event, so that a later decision finds it by id.

use uuid::Uuid;

use super::{AccountEvent, EntryReversed, HoldPlaced, HoldStatus, TransferLeg};

/// Change of a row of `holds`, `transfers` or `reversals` that follows from an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SideRow<'e> {
    /// A new row of `holds`.
    HoldPlaced(&'e HoldPlaced),
    /// The final status of a row of `holds`.
    HoldEnded(Uuid, HoldStatus),
    /// A new row of `transfers`; the leg is the sender's.
    TransferSent(&'e TransferLeg),
    /// A new row of `reversals`.
    EntryReversed(&'e EntryReversed),
}

impl AccountEvent {
    /// Returns the row that the append of this event changes, if there is one.
    pub fn side_row(&self) -> Option<SideRow<'_>> {
        match self {
            Self::HoldPlaced(placed) => Some(SideRow::HoldPlaced(placed)),
            Self::HoldCaptured(captured) => {
                Some(SideRow::HoldEnded(captured.hold_id, HoldStatus::Captured))
            }
            Self::HoldReleased(released) => {
                Some(SideRow::HoldEnded(released.hold_id, HoldStatus::Released))
            }
            Self::HoldExpired(expired) => {
                Some(SideRow::HoldEnded(expired.hold_id, HoldStatus::Expired))
            }
            Self::MoneySent(leg) => Some(SideRow::TransferSent(leg)),
            Self::EntryReversed(reversed) => Some(SideRow::EntryReversed(reversed)),
            Self::AccountOpened(_)
            | Self::MoneyDeposited(_)
            | Self::MoneyWithdrawn(_)
            | Self::MoneyReceived(_)
            | Self::OverdraftLimitSet(_)
            | Self::OwnerChanged(_)
            | Self::AccountFrozen(_)
            | Self::AccountUnfrozen(_)
            | Self::AccountClosed(_) => None,
        }
    }
}
