//! Past of an account, searched in all events.

use command_service::domain::{Command, Past};
use passbook_shared::event::{AccountEvent, HoldStatus};
use uuid::Uuid;

use super::Reference;

impl Reference {
    /// Returns what a decision needs to know of the past.
    pub(super) fn past(&self, account_id: Uuid, command: &Command) -> Past {
        let events =
            || self.of(account_id).iter().map(|happened| (happened.version, &happened.event));
        let mut past = Past::default();
        match command {
            Command::Reverse(reversal) => {
                let entry = self
                    .of(account_id)
                    .iter()
                    .find(|happened| happened.version == reversal.version);
                past.entry = entry.map(|happened| Box::new(happened.event.clone()));
                // A reversal recorded together with its entry has the same time.
                let place = usize::try_from(reversal.version - 1).unwrap_or(usize::MAX);
                let recorded = self
                    .recorded
                    .get(&account_id)
                    .and_then(|recorded| recorded.get(place))
                    .copied();
                past.entry_recorded_at = recorded.filter(|at| *at < self.now());
                past.reversed_by = events().find_map(|(version, event)| match event {
                    AccountEvent::EntryReversed(reversed)
                        if reversed.version == reversal.version =>
                    {
                        Some(version)
                    }
                    _ => None,
                });
            }
            Command::Hold(_) | Command::Capture(_) | Command::Release(_) => {
                let hold_id = hold_id(command);
                past.ended_hold = events().find_map(|(_, event)| match event {
                    AccountEvent::HoldCaptured(end) if Some(end.hold_id) == hold_id => {
                        Some(HoldStatus::Captured)
                    }
                    AccountEvent::HoldReleased(end) if Some(end.hold_id) == hold_id => {
                        Some(HoldStatus::Released)
                    }
                    AccountEvent::HoldExpired(end) if Some(end.hold_id) == hold_id => {
                        Some(HoldStatus::Expired)
                    }
                    _ => None,
                });
            }
            Command::Transfer(transfer) => {
                past.transfer_exists = self.transfers.contains_key(&transfer.transfer_id)
            }
            _ => {}
        }
        past
    }
}

fn hold_id(command: &Command) -> Option<Uuid> {
    match command {
        Command::Hold(hold) => Some(hold.hold_id),
        Command::Capture(capture) => Some(capture.hold_id),
        Command::Release(release) => Some(release.hold_id),
        _ => None,
    }
}
