//! Holds: each ends once, by capture, release or expiry.

use passbook_shared::event::{
    AccountEvent, HoldCaptured, HoldExpired, HoldPlaced, HoldReleased, HoldStatus,
};
use passbook_shared::money::{Amount, MAX_AMOUNT};
use passbook_shared::timestamp::Timestamp;
use uuid::Uuid;

use super::{Past, money};
use crate::domain::account::{Account, Hold, OpenAccount};
use crate::domain::command::{Capture, Release};
use crate::domain::refusal::Refusal;

pub(super) fn place(
    account: &OpenAccount,
    hold: &HoldPlaced,
    past: &Past,
    now: Timestamp,
) -> Result<AccountEvent, Refusal> {
    if account.holds.contains_key(&hold.hold_id) || past.ended_hold.is_some() {
        return Err(Refusal::HoldExists);
    }
    if hold.expires_at.is_some_and(|expires_at| expires_at <= now) {
        return Err(Refusal::ExpiryPassed);
    }
    money::may_go_out(account, hold.amount.get())?;
    // An overdraft lets the sum of the holds exceed the balance, so it has a bound of its own.
    if account.held > MAX_AMOUNT - hold.amount.get() {
        return Err(Refusal::AmountOverflow);
    }
    Ok(AccountEvent::HoldPlaced(hold.clone()))
}

pub(super) fn capture(
    account: &OpenAccount,
    capture: &Capture,
    past: &Past,
    now: Timestamp,
) -> Result<AccountEvent, Refusal> {
    let hold = open_hold(account, capture.hold_id, past, now)?;
    if account.freeze.is_some() {
        return Err(Refusal::AccountFrozen);
    }
    let amount = capture.amount.map_or(hold.amount, Amount::get);
    let amount = Amount::new(amount).filter(|amount| amount.get() <= hold.amount);
    let amount = amount.ok_or(Refusal::HoldExceeded { amount: hold.amount })?;
    Ok(AccountEvent::HoldCaptured(HoldCaptured {
        hold_id: capture.hold_id,
        amount,
        released: hold.amount - amount.get(),
        expires_at: hold.expires_at,
        reference: capture.reference.clone(),
        metadata: capture.metadata.clone(),
    }))
}

pub(super) fn release(
    account: &OpenAccount,
    release: &Release,
    past: &Past,
    now: Timestamp,
) -> Result<AccountEvent, Refusal> {
    let hold = open_hold(account, release.hold_id, past, now)?;
    // Never fails: the amount of a placed hold is positive.
    let amount = Amount::new(hold.amount).ok_or(Refusal::HoldNotFound)?;
    let (hold_id, expires_at, reason) = (release.hold_id, hold.expires_at, release.reason.clone());
    Ok(AccountEvent::HoldReleased(HoldReleased { hold_id, amount, expires_at, reason }))
}

/// Returns no event if the hold is no longer open or has not expired.
pub(super) fn expire(account: &OpenAccount, hold_id: Uuid, now: Timestamp) -> Vec<AccountEvent> {
    account.holds.get(&hold_id).and_then(|hold| expired(hold_id, *hold, now)).into_iter().collect()
}

/// Returns the expiries of all holds that have expired.
pub(super) fn expire_all(account: &Account, now: Timestamp) -> Vec<AccountEvent> {
    match account {
        Account::Open(open) => {
            open.holds.iter().filter_map(|(id, hold)| expired(*id, *hold, now)).collect()
        }
        Account::Unopened | Account::Closed(_) => Vec::new(),
    }
}

fn expired(hold_id: Uuid, hold: Hold, now: Timestamp) -> Option<AccountEvent> {
    let (amount, expires_at) =
        (Amount::new(hold.amount)?, hold.expires_at.filter(|_| hold.is_over(now))?);
    Some(AccountEvent::HoldExpired(HoldExpired { hold_id, amount, expires_at }))
}

/// Returns the hold if it is open and has not expired.
fn open_hold(
    account: &OpenAccount,
    hold_id: Uuid,
    past: &Past,
    now: Timestamp,
) -> Result<Hold, Refusal> {
    match account.holds.get(&hold_id) {
        // By its time, even if the expiry is not recorded yet.
        Some(hold) if hold.is_over(now) => {
            Err(Refusal::HoldNotOpen { status: HoldStatus::Expired })
        }
        Some(hold) => Ok(*hold),
        None => Err(past
            .ended_hold
            .map_or(Refusal::HoldNotFound, |status| Refusal::HoldNotOpen { status })),
    }
}
