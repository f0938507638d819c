//! Limit, owner, freeze and closing.

use passbook_shared::event::HoldStatus;

use super::ModelAccount;
use crate::domain::{Command, Refusal};

pub(super) fn execute(own: &mut ModelAccount, command: &Command) -> Result<(), Refusal> {
    match command {
        Command::SetOverdraftLimit(set) if own.limit == set.limit.into() => {}
        Command::SetOverdraftLimit(set) if own.available() < -i128::from(set.limit) => {
            return Err(Refusal::OverdraftInUse { available: own.available().try_into().unwrap() });
        }
        Command::SetOverdraftLimit(set) => {
            own.limit = set.limit.into();
            own.note("OverdraftLimitSet");
        }
        Command::ChangeOwner(change) if own.owner == *change.owner => {}
        Command::ChangeOwner(change) => {
            own.owner = change.owner.to_string();
            own.note("OwnerChanged");
        }
        Command::Freeze(freeze) if own.no_money_out && own.no_money_in == freeze.block_credits => {}
        Command::Freeze(freeze) => {
            (own.no_money_out, own.no_money_in) = (true, freeze.block_credits);
            own.note("AccountFrozen");
        }
        Command::Unfreeze(_) if !own.no_money_out => {}
        Command::Unfreeze(_) => {
            (own.no_money_out, own.no_money_in) = (false, false);
            own.note("AccountUnfrozen");
        }
        Command::Close(_) => {
            if own.balance != 0 {
                return Err(Refusal::BalanceNotZero { balance: own.balance.try_into().unwrap() });
            }
            match own.holds.values().filter(|hold| hold.status == HoldStatus::Open).count() {
                0 => own.closed = true,
                holds => return Err(Refusal::HoldsOpen { holds }),
            }
            own.no_money_out = false;
            own.note("AccountClosed");
        }
        _ => unreachable!("not a command on the account's standing"),
    }
    Ok(())
}
