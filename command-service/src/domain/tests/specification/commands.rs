//! Short names for commands. Amounts are in minor units.

use passbook_shared::event::{OverdraftLimitSet, OwnerChanged};
use passbook_shared::money::Amount;
use passbook_shared::text::{Metadata, Owner};
use uuid::Uuid;

use super::OTHER;
use super::events::{HOLD, TRANSFER, at, because, hold_of, money, reference};
use crate::domain::Command;
use crate::domain::command::{Capture, Expire, Release, Reversal, Transfer};

pub(crate) fn deposit(minor_units: i64) -> Command {
    Command::Deposit(money(minor_units))
}

pub(crate) fn withdraw(minor_units: i64) -> Command {
    Command::Withdraw(money(minor_units))
}

pub(crate) fn unfreeze() -> Command {
    Command::Unfreeze(because("lifted"))
}

pub(crate) fn close() -> Command {
    Command::Close(because("moved away"))
}

pub(crate) fn set_limit(limit: i64) -> Command {
    Command::SetOverdraftLimit(OverdraftLimitSet { limit })
}

pub(crate) fn change_owner(owner: &str) -> Command {
    let reason = reference("inherited");
    Command::ChangeOwner(OwnerChanged { owner: Owner::new(owner).unwrap(), reason })
}

pub(crate) fn send(minor_units: i64) -> Command {
    transfer(TRANSFER, OTHER, minor_units)
}

pub(crate) fn transfer(transfer_id: Uuid, to: Uuid, minor_units: i64) -> Command {
    Command::Transfer(Transfer {
        transfer_id,
        to,
        amount: Amount::new(minor_units).unwrap(),
        reference: reference("rent"),
        effective_at: None,
        metadata: Metadata::default(),
        allow_backdated_overdraft: false,
    })
}

pub(crate) fn hold_until(minor_units: i64, seconds: Option<i64>) -> Command {
    Command::Hold(hold_of(HOLD, minor_units, seconds.map(at)))
}

pub(crate) fn hold(minor_units: i64) -> Command {
    hold_until(minor_units, None)
}

pub(crate) fn capture(hold_id: Uuid, minor_units: Option<i64>) -> Command {
    let amount = minor_units.map(|minor_units| Amount::new(minor_units).unwrap());
    Command::Capture(Capture {
        hold_id,
        amount,
        reference: reference("two nights"),
        metadata: Metadata::default(),
    })
}

pub(crate) fn release(hold_id: Uuid) -> Command {
    Command::Release(Release { hold_id, reason: reference("cancelled") })
}

pub(crate) fn expire(hold_id: Uuid) -> Command {
    Command::Expire(Expire { hold_id })
}

pub(crate) fn reverse(version: i64) -> Command {
    reverse_as_of(version, None)
}

pub(crate) fn reverse_as_of(version: i64, seconds: Option<i64>) -> Command {
    Command::Reverse(Reversal {
        version,
        effective_at: seconds.map(at),
        reference: reference("twice"),
        metadata: Metadata::default(),
        allow_backdated_overdraft: false,
    })
}

/// Returns the command with an effective time in seconds.
pub(crate) fn as_of(seconds: i64, mut command: Command) -> Command {
    match &mut command {
        Command::Open(opening) => opening.effective_at = Some(at(seconds)),
        Command::Deposit(moved) | Command::Withdraw(moved) => {
            moved.effective_at = Some(at(seconds))
        }
        Command::Transfer(transfer) => transfer.effective_at = Some(at(seconds)),
        Command::Reverse(reversal) => reversal.effective_at = Some(at(seconds)),
        _ => unreachable!("a command without an effective time"),
    }
    command
}

/// Returns the command with the backdated check waived.
pub(crate) fn waived(mut command: Command) -> Command {
    match &mut command {
        Command::Withdraw(moved) => moved.allow_backdated_overdraft = true,
        Command::Transfer(transfer) => transfer.allow_backdated_overdraft = true,
        Command::Reverse(reversal) => reversal.allow_backdated_overdraft = true,
        _ => unreachable!("a command that debits nothing"),
    }
    command
}
