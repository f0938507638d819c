//! What follows from a command: events, nothing (what is asked for is so already), or a refusal.

mod holds;
mod money;
pub(super) mod permits;
pub(super) mod reversal;
mod standing;
mod transfer;

use passbook_shared::event::{AccountEvent, HoldStatus};
use passbook_shared::timestamp::Timestamp;
use uuid::Uuid;

use super::account::{Account, OpenAccount, evolve};
use super::command::Command;
use super::effective::{Timeline, backdated_debit};
use super::refusal::Refusal;

/// An account that is decided on.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// Which.
    pub account_id: Uuid,
    /// The version it is at.
    pub version: i64,
    /// Its state there.
    pub account: &'a Account,
}

/// What a decision rests on beside the account.
#[derive(Debug, Clone, Copy)]
pub struct Given<'a> {
    /// The other account that is touched: of [`counterparty`].
    pub counterparty: Option<Subject<'a>>,
    /// What the account's state does not say any more.
    pub past: &'a Past,
    /// The time.
    pub now: Timestamp,
}

/// Facts that a decision needs and states do not keep. Large ones are boxed: few commands need them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Past {
    /// The entry that a reversal is to undo, if the account has it.
    pub entry: Option<Box<AccountEvent>>,
    /// When that was recorded; nothing if it is of the same append.
    pub entry_recorded_at: Option<Timestamp>,
    /// The version of the reversal that has undone it, if one has.
    pub reversed_by: Option<i64>,
    /// How the hold that a command names has ended, if the account had it and it has.
    pub ended_hold: Option<HoldStatus>,
    /// Another transfer has the id.
    pub transfer_exists: bool,
    /// How the account of [`backdated_debit`] stood from that time on, or from an earlier one.
    pub timeline: Option<Box<Timeline>>,
}

/// What follows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Decided {
    /// On the account, in order.
    pub events: Vec<AccountEvent>,
    /// On the counterparty, in the same append.
    pub counterparty: Option<AccountEvent>,
}

/// The account beside its own that a command touches.
pub fn counterparty(command: &Command, past: &Past) -> Option<Uuid> {
    let needs = command.needs();
    needs.receiver.or_else(|| needs.entry_version.and_then(|_| reversal::counterparty(past)))
}

/// What follows from a command on an account. Holds whose time is over, and whose expiry is not recorded yet, expire with it
/// if they would be in its way.
///
/// # Errors
/// The rule that refuses it.
pub fn decide(
    subject: Subject<'_>,
    command: &Command,
    given: Given<'_>,
) -> Result<Decided, Refusal> {
    let refused = match decide_as_it_is(subject, command, given) {
        Err(refusal) if is_for_holds(&refusal) => refusal,
        decided => return decided,
    };
    let expired = holds::expire_all(subject.account, given.now);
    if expired.is_empty() {
        return Err(refused);
    }
    let account = expired.iter().fold(subject.account.clone(), evolve);
    let version = subject.version + i64::try_from(expired.len()).unwrap_or(i64::MAX);
    let mut past = given.past.clone();
    let is_own = backdated_debit(subject.account_id, command, &past)
        .is_some_and(|debit| debit.0 == subject.account_id);
    if let Some(timeline) = past.timeline.as_mut().filter(|_| is_own) {
        expired.iter().for_each(|event| timeline.take(event, given.now));
    }
    let given = Given { past: &past, ..given };
    let mut decided =
        decide_as_it_is(Subject { version, account: &account, ..subject }, command, given)?;
    decided.events.splice(0..0, expired);
    Ok(decided)
}

/// Whether an account without holds might not refuse it.
fn is_for_holds(refusal: &Refusal) -> bool {
    matches!(
        refusal,
        Refusal::InsufficientFunds { .. }
            | Refusal::HoldsOpen { .. }
            | Refusal::OverdraftInUse { .. }
    )
}

fn decide_as_it_is(
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
            opened(subject.account).and_then(|own| money::take_in(own, deposit)).map(one)
        }
        Command::Withdraw(withdrawal) => opened(subject.account)
            .and_then(|own| money::give_out(own, withdrawal, headroom))
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
        Command::Freeze(freeze) => opened(subject.account).map(|own| standing::freeze(own, freeze)),
        Command::Unfreeze(reason) => {
            opened(subject.account).map(|own| standing::unfreeze(own, reason))
        }
        Command::Close(reason) => {
            opened(subject.account).and_then(|own| standing::close(own, reason)).map(one)
        }
    };
    events.map(|events| Decided { events, counterparty: None })
}

fn opened(account: &Account) -> Result<&OpenAccount, Refusal> {
    match account {
        Account::Unopened => Err(Refusal::AccountNotFound),
        Account::Open(open) => Ok(open),
        Account::Closed(_) => Err(Refusal::AccountClosed),
    }
}

/// The other account, on which something is to happen; its refusals are told as such.
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
