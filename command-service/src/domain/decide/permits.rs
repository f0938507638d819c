//! Check of a recorded event against the rules: derives the command from the event and decides it
//! again on the previous state.

use passbook_shared::event::{AccountEvent, TransferLeg};
use passbook_shared::money::MAX_AMOUNT;
use passbook_shared::timestamp::Timestamp;
use uuid::Uuid;

use super::{Decided, Given, Past, Subject, decide_without_expiry, opened, reversal};
use crate::domain::account::{Account, Holds, OpenAccount};
use crate::domain::command::{Capture, Command, Expire, Release, Reversal, Transfer};
use crate::domain::refusal::Refusal;

/// Event on another account that an event requires.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OtherLeg {
    /// Other account.
    pub account_id: Uuid,
    /// Version of the event in that account.
    pub version: i64,
    /// Expected event.
    pub event: AccountEvent,
}

/// Violation of the rules by an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Forbidden {
    /// The command would be refused.
    Refused(Refusal),
    /// The command would lead to these events instead.
    Other(Vec<AccountEvent>),
}

/// Checks an event against the rules, on the account before it. Returns the event that another
/// account must have, if any.
///
/// The time of the decision is unknown, so an event is allowed if the rules allow it at some time.
/// Availability as of a past effective time is not checked, because that rule is younger than the
/// log.
///
/// # Errors
/// The rules forbid the event.
pub fn permits(
    subject: Subject<'_>,
    event: &AccountEvent,
    past: &Past,
) -> Result<Option<OtherLeg>, Forbidden> {
    match event {
        AccountEvent::MoneyReceived(leg) => received(subject, event, leg),
        AccountEvent::MoneySent(leg) => {
            let account = lenient(open(subject)?);
            let to = Subject {
                account_id: leg.counterparty,
                version: leg.counterparty_version - 1,
                account: &account,
            };
            leads_to(subject, &command(event), Some(to), past, event)
        }
        AccountEvent::EntryReversed(reversed) => {
            let account = lenient(open(subject)?);
            let version = reversed.transfer.map_or(0, |transfer| transfer.counterparty_version - 1);
            let other = |account_id| Subject { account_id, version, account: &account };
            // The event has its own effective time.
            let past = &Past {
                entry: past.entry.as_ref().map(|entry| Box::new(without_effective_time(entry))),
                ..past.clone()
            };
            leads_to(subject, &command(event), reversal::counterparty(past).map(other), past, event)
        }
        AccountEvent::AccountOpened(_)
        | AccountEvent::MoneyDeposited(_)
        | AccountEvent::MoneyWithdrawn(_)
        | AccountEvent::HoldPlaced(_)
        | AccountEvent::HoldCaptured(_)
        | AccountEvent::HoldReleased(_)
        | AccountEvent::HoldExpired(_)
        | AccountEvent::OverdraftLimitSet(_)
        | AccountEvent::OwnerChanged(_)
        | AccountEvent::AccountFrozen(_)
        | AccountEvent::AccountUnfrozen(_)
        | AccountEvent::AccountClosed(_) => leads_to(subject, &command(event), None, past, event),
    }
}

fn leads_to(
    subject: Subject<'_>,
    command: &Command,
    counterparty: Option<Subject<'_>>,
    past: &Past,
    event: &AccountEvent,
) -> Result<Option<OtherLeg>, Forbidden> {
    let given = Given { counterparty, past, now: decided_at(event) };
    // The log has each expiry as an event, which is checked on its own.
    let mut decided = decide_without_expiry(subject, command, given).map_err(Forbidden::Refused)?;
    if matches!(event, AccountEvent::EntryReversed(reversed) if reversed.effective_at.is_none()) {
        decided.events.iter_mut().chain(&mut decided.counterparty).for_each(forget_time);
    }
    if decided.events.as_slice() != std::slice::from_ref(event) {
        return Err(Forbidden::Other(decided.events));
    }
    let leg = |(Subject { account_id, version, .. }, event)| OtherLeg {
        account_id,
        version: version + 1,
        event,
    };
    Ok(counterparty.zip(decided.counterparty.pop()).map(leg))
}

/// Older reversals have no effective time.
fn forget_time(event: &mut AccountEvent) {
    if let AccountEvent::EntryReversed(reversed) = event {
        reversed.effective_at = None;
    }
}

/// Decides the sender's command. The sender's own rules are checked with the sender's event.
fn received(
    subject: Subject<'_>,
    event: &AccountEvent,
    leg: &TransferLeg,
) -> Result<Option<OtherLeg>, Forbidden> {
    let account = lenient(open(subject)?);
    let (account_id, version) = (leg.counterparty, leg.counterparty_version - 1);
    let sender = Subject { account_id, version, account: &account };
    let command = Command::Transfer(transfer(leg, subject.account_id));
    // The id of the transfer is checked with the sender's event.
    let past = Past::default();
    let given = Given { counterparty: Some(subject), past: &past, now: decided_at(event) };
    let Decided { mut events, counterparty } =
        decide_without_expiry(sender, &command, given).map_err(Forbidden::Refused)?;
    if counterparty.as_slice() != std::slice::from_ref(event) {
        return Err(Forbidden::Other(counterparty));
    }
    Ok(events.pop().map(|event| OtherLeg { account_id, version: version + 1, event }))
}

/// Returns the command that leads to an event.
fn command(event: &AccountEvent) -> Command {
    match event {
        AccountEvent::AccountOpened(opened) => Command::Open(opened.clone()),
        AccountEvent::MoneyDeposited(moved) => Command::Deposit(moved.clone()),
        AccountEvent::MoneyWithdrawn(moved) => Command::Withdraw(moved.clone()),
        AccountEvent::MoneySent(leg) | AccountEvent::MoneyReceived(leg) => {
            Command::Transfer(transfer(leg, leg.counterparty))
        }
        AccountEvent::HoldPlaced(placed) => Command::Hold(placed.clone()),
        AccountEvent::HoldCaptured(captured) => Command::Capture(Capture {
            hold_id: captured.hold_id,
            amount: Some(captured.amount),
            reference: captured.reference.clone(),
            metadata: captured.metadata.clone(),
        }),
        AccountEvent::HoldReleased(released) => {
            Command::Release(Release { hold_id: released.hold_id, reason: released.reason.clone() })
        }
        AccountEvent::HoldExpired(expired) => Command::Expire(Expire { hold_id: expired.hold_id }),
        AccountEvent::EntryReversed(reversed) => Command::Reverse(Reversal {
            version: reversed.version,
            effective_at: reversed.effective_at,
            reference: reversed.reference.clone(),
            metadata: reversed.metadata.clone(),
            allow_backdated_overdraft: reversed.allow_backdated_overdraft,
        }),
        AccountEvent::OverdraftLimitSet(set) => Command::SetOverdraftLimit(*set),
        AccountEvent::OwnerChanged(change) => Command::ChangeOwner(change.clone()),
        AccountEvent::AccountFrozen(frozen) => Command::Freeze(frozen.clone()),
        AccountEvent::AccountUnfrozen(reason) => Command::Unfreeze(reason.clone()),
        AccountEvent::AccountClosed(reason) => Command::Close(reason.clone()),
    }
}

fn transfer(leg: &TransferLeg, to: Uuid) -> Transfer {
    Transfer {
        transfer_id: leg.transfer_id,
        to,
        amount: leg.amount,
        reference: leg.reference.clone(),
        effective_at: leg.effective_at,
        metadata: leg.metadata.clone(),
        allow_backdated_overdraft: leg.allow_backdated_overdraft,
    }
}

fn without_effective_time(entry: &AccountEvent) -> AccountEvent {
    let mut entry = entry.clone();
    match &mut entry {
        AccountEvent::MoneyDeposited(moved) | AccountEvent::MoneyWithdrawn(moved) => {
            moved.effective_at = None
        }
        AccountEvent::MoneySent(leg) | AccountEvent::MoneyReceived(leg) => leg.effective_at = None,
        AccountEvent::AccountOpened(_)
        | AccountEvent::HoldPlaced(_)
        | AccountEvent::HoldCaptured(_)
        | AccountEvent::HoldReleased(_)
        | AccountEvent::HoldExpired(_)
        | AccountEvent::EntryReversed(_)
        | AccountEvent::OverdraftLimitSet(_)
        | AccountEvent::OwnerChanged(_)
        | AccountEvent::AccountFrozen(_)
        | AccountEvent::AccountUnfrozen(_)
        | AccountEvent::AccountClosed(_) => {}
    }
    entry
}

/// Returns a possible time of the decision: before any hold's expiry, or at the expiry of the hold
/// that expired.
fn decided_at(event: &AccountEvent) -> Timestamp {
    match event {
        AccountEvent::HoldExpired(expired) => expired.expires_at,
        AccountEvent::AccountOpened(_)
        | AccountEvent::MoneyDeposited(_)
        | AccountEvent::MoneyWithdrawn(_)
        | AccountEvent::MoneySent(_)
        | AccountEvent::MoneyReceived(_)
        | AccountEvent::HoldPlaced(_)
        | AccountEvent::HoldCaptured(_)
        | AccountEvent::HoldReleased(_)
        | AccountEvent::EntryReversed(_)
        | AccountEvent::OverdraftLimitSet(_)
        | AccountEvent::OwnerChanged(_)
        | AccountEvent::AccountFrozen(_)
        | AccountEvent::AccountUnfrozen(_)
        | AccountEvent::AccountClosed(_) => Timestamp::EPOCH,
    }
}

fn open(subject: Subject<'_>) -> Result<&OpenAccount, Forbidden> {
    opened(subject.account).map_err(Forbidden::Refused)
}

/// Returns an account like this one that can send and receive any amount. The other account's rules
/// are checked with its own event.
fn lenient(own: &OpenAccount) -> Account {
    Account::Open(OpenAccount {
        tenant: own.tenant.clone(),
        owner: own.owner.clone(),
        currency: own.currency,
        balance: 0,
        held: 0,
        overdraft_limit: MAX_AMOUNT,
        freeze: None,
        holds: Holds::default(),
    })
}
