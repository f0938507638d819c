//! Entries undone: the flag that they are, and the money the other way.

use uuid::Uuid;

use super::{Kept, Model};
use crate::domain::Refusal;
use crate::domain::tests::log::place;

impl Model {
    pub(super) fn reverse(&mut self, account_id: Uuid, version: i64) -> Result<(), Refusal> {
        let own = self.open(account_id)?;
        let current_version = own.next_version() - 1;
        let entry = place(version).and_then(|place| own.entries.get(place)).cloned();
        let entry = entry.ok_or(Refusal::EntryNotFound { current_version })?;
        let not_reversible = Refusal::NotReversible { event_type: entry.event_type.to_owned() };
        let (moved, other) = entry.moved.ok_or(not_reversible)?;
        if let Some(reversed_by) = entry.reversed_by {
            return Err(Refusal::AlreadyReversed { reversed_by });
        }
        may_be_undone(own, moved)?;
        if let Some((other, _)) = other {
            self.other(other, |other| may_be_undone(other, -moved))?;
        }
        undo(self.open(account_id)?, version, moved);
        if let Some((other, version)) = other {
            undo(self.open(other)?, version, -moved);
        }
        Ok(())
    }
}

fn may_be_undone(account: &mut Kept, moved: i128) -> Result<(), Refusal> {
    if moved > 0 { account.out(moved) } else { account.comes_in(-moved) }
}

fn undo(account: &mut Kept, version: i64, moved: i128) {
    let by = account.next_version();
    account.balance -= moved;
    account.entries[place(version).unwrap()].reversed_by = Some(by);
    account.note("EntryReversed");
}
