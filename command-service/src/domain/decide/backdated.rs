//! Debits with an effective time in the past.

use passbook_shared::timestamp::Timestamp;
use uuid::Uuid;

use super::reversal;
use crate::domain::command::Command;
use crate::domain::past::Past;

/// Returns the account that a command debits as of a past effective time, and that time. Returns
/// `None` if the command waives the check of that time and of the later ones.
pub fn backdated_debit(
    account_id: Uuid,
    command: &Command,
    past: &Past,
) -> Option<(Uuid, Timestamp)> {
    match command {
        Command::Withdraw(withdrawal) if !withdrawal.allow_backdated_overdraft => {
            Some((account_id, withdrawal.effective_at?))
        }
        Command::Transfer(transfer) if !transfer.allow_backdated_overdraft => {
            Some((account_id, transfer.effective_at?))
        }
        Command::Reverse(reversal) if !reversal.allow_backdated_overdraft => {
            Some((reversal::debited(account_id, past)?, reversal::effective_at(reversal, past)?))
        }
        Command::Withdraw(_)
        | Command::Transfer(_)
        | Command::Reverse(_)
        | Command::Open(_)
        | Command::Deposit(_)
        | Command::Hold(_)
        | Command::Capture(_)
        | Command::Release(_)
        | Command::Expire(_)
        | Command::SetOverdraftLimit(_)
        | Command::ChangeOwner(_)
        | Command::Freeze(_)
        | Command::Unfreeze(_)
        | Command::Close(_) => None,
    }
}
