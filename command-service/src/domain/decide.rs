//! Decision on a command: events, no events if the account already is in the requested state, or a
//! refusal.

mod backdated;
mod holds;
mod money;
pub(super) mod permits;
mod reversal;
mod standing;
mod transfer;

use passbook_shared::event::AccountEvent;
use passbook_shared::timestamp::Timestamp;
use uuid::Uuid;

pub use self::backdated::backdated_debit;
use super::account::{Account, OpenAccount, evolve};
use super::command::Command;
use super::past::Past;
use super::refusal::Refusal;

/// Account that is decided on.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// Id of the account.
    pub account_id: Uuid,
    /// Current version of the account.
    pub version: i64,
    /// State at that version.
    pub account: &'a Account,
}

/// Inputs of a decision apart from the account.
#[derive(Debug, Clone, Copy)]
pub struct Given<'a> {
    /// Other account that the command touches, see [`counterparty`].
    pub counterparty: Option<Subject<'a>>,
    /// Facts that the account's state does not contain.
    pub past: &'a Past,
    /// Current time.
    pub now: Timestamp,
}

/// Outcome of an accepted command.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Decided {
    /// Events of the account, in order.
    pub events: Vec<AccountEvent>,
    /// Events of the counterparty, in order, in the same append.
    pub counterparty: Vec<AccountEvent>,
}

/// Returns the other account that a command touches, if any.
pub fn counterparty(command: &Command, past: &Past) -> Option<Uuid> {
    let needs = command.needs();
    needs.receiver.or_else(|| needs.entry_version.and_then(|_| reversal::counterparty(past)))
}

/// Decides a command on an account. Holds that have expired without a recorded expiry are expired
/// first if they would cause a refusal.
///
/// # Errors
/// The refusal.
pub fn decide(
    subject: Subject<'_>,
    command: &Command,
    given: Given<'_>,
) -> Result<Decided, Refusal> {
    let refused = match decide_without_expiry(subject, command, given) {
        Err(refusal) if depends_on_holds(&refusal) => refusal,
        decided => return decided,
    };
    // Expiries are recorded only if they matter, so that most commands append a single event.
    let is_of_counterparty = matches!(refused, Refusal::Counterparty { .. });
    let concerned = given.counterparty.filter(|_| is_of_counterparty).unwrap_or(subject);
    let expired = holds::expire_all(concerned.account, given.now);
    if expired.is_empty() {
        return Err(refused);
    }
    let account = expired.iter().fold(concerned.account.clone(), evolve);
    let version = concerned.version + i64::try_from(expired.len()).unwrap_or(i64::MAX);
    let after = Subject { version, account: &account, ..concerned };
    let mut past = given.past.clone();
    // The timeline is that of the account which the command debits.
    let is_debited = backdated_debit(subject.account_id, command, &past)
        .is_some_and(|(debited, _)| debited == concerned.account_id);
    if let Some(timeline) = past.timeline.as_mut().filter(|_| is_debited) {
        expired.iter().for_each(|event| timeline.take(event, given.now));
    }
    let given = Given { past: &past, ..given };
    // Decided as a whole again, because the other account may have expired holds too.
    let mut decided = if is_of_counterparty {
        decide(subject, command, Given { counterparty: Some(after), ..given })?
    } else {
        decide(after, command, given)?
    };
    // First, because the command was decided on the account after them.
    let events = if is_of_counterparty { &mut decided.counterparty } else { &mut decided.events };
    events.splice(0..0, expired);
    Ok(decided)
}

/// Returns whether the refusal might be caused by holds.
fn depends_on_holds(refusal: &Refusal) -> bool {
    match refusal {
        Refusal::InsufficientFunds { .. }
        | Refusal::HoldsOpen { .. }
        | Refusal::OverdraftInUse { .. }
        // The sum of an account's holds has a limit.
        | Refusal::AmountOverflow => true,
        Refusal::Counterparty { refusal, .. } => depends_on_holds(refusal),
        _ => false,
    }
}

fn decide_without_expiry(
    subject: Subject<'_>,
    command: &Command,
    given: Given<'_>,
) -> Result<Decided, Refusal> {
    let Given { counterparty, past, now } = given;
    let debit = backdated_debit(subject.account_id, command, past);
    let headroom =
        debit.and_then(|(_, at)| past.timeline.as_ref().map(|timeline| timeline.headroom(at)));
    let one = |event| vec![event];
    let events = match command {
        Command::Open(opening) => standing::open(subject.account, opening).map(one),
        Command::Deposit(deposit) => {
            opened(subject.account).and_then(|own| money::deposit(own, deposit)).map(one)
        }
        Command::Withdraw(withdrawal) => opened(subject.account)
            .and_then(|own| money::withdraw(own, withdrawal, headroom))
            .map(one),
        Command::Transfer(transfer) => {
            return transfer::transfer(subject, transfer, counterparty, (past, headroom));
        }
        Command::Hold(hold) => {
            opened(subject.account).and_then(|own| holds::place(own, hold, past, now)).map(one)
        }
        Command::Capture(capture) => {
            opened(subject.account).and_then(|own| holds::capture(own, capture, past, now)).map(one)
        }
        Command::Release(release) => {
            opened(subject.account).and_then(|own| holds::release(own, release, past, now)).map(one)
        }
        Command::Expire(expire) => {
            opened(subject.account).map(|own| holds::expire(own, expire.hold_id, now))
        }
        Command::Reverse(reversal) => {
            return reversal::reverse(subject, reversal, counterparty, (past, headroom));
        }
        Command::SetOverdraftLimit(set) => {
            opened(subject.account).and_then(|own| standing::set_limit(own, *set))
        }
        Command::ChangeOwner(to) => opened(subject.account).map(|own| standing::set_owner(own, to)),
        Command::Freeze(freeze) => opened(subject.account).map(|own| standing::freeze(own, freeze)),
        Command::Unfreeze(reason) => {
            opened(subject.account).map(|own| standing::unfreeze(own, reason))
        }
        Command::Close(reason) => {
            opened(subject.account).and_then(|own| standing::close(own, reason)).map(one)
        }
    };
    events.map(|events| Decided { events, counterparty: Vec::new() })
}

fn opened(account: &Account) -> Result<&OpenAccount, Refusal> {
    match account {
        Account::Unopened => Err(Refusal::AccountNotFound),
        Account::Open(open) => Ok(open),
        Account::Closed(_) => Err(Refusal::AccountClosed),
    }
}

/// Checks the other account; wraps its refusals in [`Refusal::Counterparty`].
fn on_counterparty<'a, T>(
    counterparty: Option<Subject<'a>>,
    check: impl FnOnce(&'a OpenAccount) -> Result<T, Refusal>,
) -> Result<(Subject<'a>, T), Refusal> {
    let subject = counterparty.ok_or(Refusal::AccountNotFound)?;
    let of_it = |refusal| Refusal::Counterparty {
        account_id: subject.account_id,
        refusal: Box::new(refusal),
    };
    opened(subject.account).and_then(check).map(|checked| (subject, checked)).map_err(of_it)
}
