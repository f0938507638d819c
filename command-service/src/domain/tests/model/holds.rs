//! Holds: each with its status.

use passbook_shared::event::HoldStatus;
use passbook_shared::money::MAX_AMOUNT;
use passbook_shared::timestamp::Timestamp;
use uuid::Uuid;

use super::ModelAccount;
use crate::domain::{Command, Refusal};

#[derive(Debug, Clone, Copy)]
pub(in super::super) struct KeptHold {
    pub(super) amount: i128,
    expires_at: Option<Timestamp>,
    pub(in super::super) status: HoldStatus,
}

pub(super) fn execute(
    own: &mut ModelAccount,
    command: &Command,
    now: Timestamp,
) -> Result<(), Refusal> {
    let (event_type, goes_out) = match command {
        Command::Hold(hold) => {
            let (amount, expires_at) = (i128::from(hold.amount.get()), hold.expires_at);
            if own.holds.contains_key(&hold.hold_id) {
                return Err(Refusal::HoldExists);
            }
            if expires_at.is_some_and(|expires_at| expires_at <= now) {
                return Err(Refusal::ExpiryPassed);
            }
            own.out(amount)?;
            if own.held() + amount > MAX_AMOUNT.into() {
                return Err(Refusal::AmountOverflow);
            }
            own.holds
                .insert(hold.hold_id, KeptHold { amount, expires_at, status: HoldStatus::Open });
            ("HoldPlaced", 0)
        }
        Command::Capture(capture) => {
            let frozen = own.no_money_out;
            let hold = open(own, capture.hold_id, now)?;
            let amount = capture.amount.map_or(hold.amount, |amount| amount.get().into());
            if frozen {
                return Err(Refusal::AccountFrozen);
            }
            if amount > hold.amount {
                return Err(Refusal::HoldExceeded { amount: hold.amount.try_into().unwrap() });
            }
            hold.status = HoldStatus::Captured;
            ("HoldCaptured", amount)
        }
        Command::Release(release) => {
            open(own, release.hold_id, now)?.status = HoldStatus::Released;
            ("HoldReleased", 0)
        }
        Command::Expire(expire) => match own.holds.get_mut(&expire.hold_id) {
            Some(hold)
                if hold.status == HoldStatus::Open
                    && hold.expires_at.is_some_and(|at| at <= now) =>
            {
                hold.status = HoldStatus::Expired;
                ("HoldExpired", 0)
            }
            _ => return Ok(()),
        },
        _ => unreachable!("not a command on holds"),
    };
    own.balance -= goes_out;
    own.note(event_type);
    Ok(())
}

/// Expires all holds that are due. Returns whether there were any.
pub(super) fn expire_all(own: &mut ModelAccount, now: Timestamp) -> bool {
    let before = own.entries.len();
    let over = |hold: &&mut KeptHold| {
        hold.status == HoldStatus::Open && hold.expires_at.is_some_and(|at| at <= now)
    };
    let over: Vec<&mut KeptHold> = own.holds.values_mut().filter(over).collect();
    let count = over.len();
    over.into_iter().for_each(|hold| hold.status = HoldStatus::Expired);
    (0..count).for_each(|_| own.note("HoldExpired"));
    own.entries.len() > before
}

fn open(own: &mut ModelAccount, hold_id: Uuid, now: Timestamp) -> Result<&mut KeptHold, Refusal> {
    let hold = own.holds.get_mut(&hold_id).ok_or(Refusal::HoldNotFound)?;
    let over = hold.expires_at.is_some_and(|expires_at| expires_at <= now);
    match hold.status {
        HoldStatus::Open if over => Err(Refusal::HoldNotOpen { status: HoldStatus::Expired }),
        HoldStatus::Open => Ok(hold),
        status => Err(Refusal::HoldNotOpen { status }),
    }
}
