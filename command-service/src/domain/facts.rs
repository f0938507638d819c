//! Facts that decisions need and states do not keep.

use std::collections::{HashMap, HashSet};

use passbook_shared::event::{AccountEvent, HoldStatus};
use uuid::Uuid;

use super::effective::Timeline;

/// Facts from the log, or from the events of a batch.
#[derive(Debug, Default)]
pub(crate) struct Facts {
    /// Holds that have ended, by account and hold.
    pub(crate) ended_holds: HashMap<(Uuid, Uuid), HoldStatus>,
    /// Versions of reversals, by account and version of the entry.
    pub(crate) reversals: HashMap<(Uuid, i64), i64>,
    /// Ids of transfers.
    pub(crate) transfers: HashSet<Uuid>,
    /// Timelines of accounts that are debited as of an earlier time.
    pub(crate) timelines: HashMap<Uuid, Timeline>,
}

impl Facts {
    /// Adds what an event says. Timelines are not part of it.
    pub(crate) fn learn(&mut self, account_id: Uuid, version: i64, event: &AccountEvent) {
        let (hold_id, status) = match event {
            AccountEvent::HoldCaptured(captured) => (captured.hold_id, HoldStatus::Captured),
            AccountEvent::HoldReleased(released) => (released.hold_id, HoldStatus::Released),
            AccountEvent::HoldExpired(expired) => (expired.hold_id, HoldStatus::Expired),
            AccountEvent::EntryReversed(reversed) => {
                self.reversals.insert((account_id, reversed.version), version);
                return;
            }
            AccountEvent::MoneySent(leg) => {
                self.transfers.insert(leg.transfer_id);
                return;
            }
            AccountEvent::AccountOpened(_)
            | AccountEvent::MoneyDeposited(_)
            | AccountEvent::MoneyWithdrawn(_)
            | AccountEvent::MoneyReceived(_)
            | AccountEvent::HoldPlaced(_)
            | AccountEvent::OverdraftLimitSet(_)
            | AccountEvent::OwnerChanged(_)
            | AccountEvent::AccountFrozen(_)
            | AccountEvent::AccountUnfrozen(_)
            | AccountEvent::AccountClosed(_) => return,
        };
        self.ended_holds.insert((account_id, hold_id), status);
    }

    /// Adds later facts.
    pub(crate) fn extend(&mut self, later: Self) {
        self.ended_holds.extend(later.ended_holds);
        self.reversals.extend(later.reversals);
        self.transfers.extend(later.transfers);
        self.timelines.extend(later.timelines);
    }
}
