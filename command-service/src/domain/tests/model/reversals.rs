//! Reversals: a flag on the entry, and the opposite movement of money.

use passbook_shared::timestamp::Timestamp;
use uuid::Uuid;

use super::{Model, ModelAccount};
use crate::domain::Refusal;
use crate::domain::command::Reversal;
use crate::domain::tests::log::place;

impl Model {
    pub(super) fn reverse(&mut self, account_id: Uuid, reversal: &Reversal) -> Result<(), Refusal> {
        let version = reversal.version;
        let own = self.open(account_id)?;
        let current_version = own.next_version() - 1;
        let entry = place(version).and_then(|place| own.entries.get(place)).cloned();
        let entry = entry.ok_or(Refusal::EntryNotFound { current_version })?;
        let not_reversible = Refusal::NotReversible { event_type: entry.event_type.to_owned() };
        let (moved, other) = entry.moved.ok_or(not_reversible)?;
        if let Some(reversed_by) = entry.reversed_by {
            return Err(Refusal::AlreadyReversed { reversed_by });
        }
        // Both legs of a transfer have the same effective time.
        let effective = reversal.effective_at.or(entry.effect.map(|effect| effect.0));
        let as_of = effective.filter(|_| !reversal.allow_backdated_overdraft);
        may_be_reversed(own, moved, as_of)?;
        if let Some((other, _)) = other {
            self.other(other, |other| may_be_reversed(other, -moved, as_of))?;
        }
        reverse_entry(self.open(account_id)?, version, moved, effective);
        if let Some((other, version)) = other {
            reverse_entry(self.open(other)?, version, -moved, effective);
        }
        Ok(())
    }
}

fn may_be_reversed(
    account: &mut ModelAccount,
    moved: i128,
    as_of: Option<Timestamp>,
) -> Result<(), Refusal> {
    if moved < 0 {
        return account.comes_in(-moved);
    }
    account.out(moved)?;
    account.out_as_of(moved, as_of)
}

fn reverse_entry(
    account: &mut ModelAccount,
    version: i64,
    moved: i128,
    effective: Option<Timestamp>,
) {
    account.times.1 = effective.unwrap_or(account.times.0);
    let by = account.next_version();
    account.balance -= moved;
    account.entries[place(version).unwrap()].reversed_by = Some(by);
    account.note("EntryReversed");
}
