//! Needs of commands: the facts that a decision rests on and the account's state does not keep.

use passbook_shared::timestamp::Timestamp;
use uuid::Uuid;

use super::command::Command;

/// References of a command to what its account's state may not have.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Needs {
    /// The hold that the command places or ends.
    pub hold_id: Option<Uuid>,
    /// Version of the entry to reverse.
    pub entry_version: Option<i64>,
    /// Id of the transfer to make.
    pub transfer_id: Option<Uuid>,
    /// The account to transfer to.
    pub receiver: Option<Uuid>,
    /// Time from which the command's entry counts, if it is given.
    pub effective_at: Option<Timestamp>,
}

impl Command {
    /// Returns the command's needs.
    pub fn needs(&self) -> Needs {
        let of_hold = |hold_id| Needs { hold_id: Some(hold_id), ..Needs::default() };
        match self {
            Self::Deposit(moved) | Self::Withdraw(moved) => {
                Needs { effective_at: moved.effective_at, ..Needs::default() }
            }
            Self::Transfer(transfer) => Needs {
                transfer_id: Some(transfer.transfer_id),
                receiver: Some(transfer.to),
                effective_at: transfer.effective_at,
                ..Needs::default()
            },
            Self::Reverse(reversal) => Needs {
                entry_version: Some(reversal.version),
                effective_at: reversal.effective_at,
                ..Needs::default()
            },
            Self::Hold(hold) => of_hold(hold.hold_id),
            Self::Capture(capture) => of_hold(capture.hold_id),
            Self::Release(release) => of_hold(release.hold_id),
            // An expiry of a hold that has ended does nothing, however the hold has ended.
            Self::Expire(_)
            | Self::Open(_)
            | Self::SetOverdraftLimit(_)
            | Self::ChangeOwner(_)
            | Self::Freeze(_)
            | Self::Unfreeze(_)
            | Self::Close(_) => Needs::default(),
        }
    }
}
