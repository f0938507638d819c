//! Available money by the time from which entries count, instead of the order in which they were recorded. Pure.

use std::ops::Bound;

use passbook_shared::event::AccountEvent;
use passbook_shared::timestamp::Timestamp;
use rpds::RedBlackTreeMapSync;
use uuid::Uuid;

use super::account::{Account, OpenAccount};
use super::command::Command;
use super::decide::{Past, reversal};

/// Maximum number of events, recorded since a debit's effective time, over which it is decided.
pub const MOST_LATER_EVENTS: usize = 20_000;
/// The same for all debits of a request.
pub const MOST_OF_REQUEST: usize = 5 * MOST_LATER_EVENTS;

/// The tightest moment of an account from a time on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Headroom {
    /// The moment at which least is left to go out. Amounts in minor units.
    Lowest {
        /// `balance - held` at that moment.
        available: i64,
        /// The overdraft limit at that moment.
        overdraft_limit: i64,
        /// The first such moment.
        at: Timestamp,
    },
    /// Unknown: there are more than [`MOST_LATER_EVENTS`].
    TooFarBack,
}

/// The account that a command takes money from as of a time in the past, and that time; nothing if the command waives the
/// check of that time and the ones after it.
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
        | Command::Freeze(_)
        | Command::Unfreeze(_)
        | Command::Close(_) => None,
    }
}

/// An account's available money and its limit by effective time, from a moment on. A copy shares all that it does not change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timeline {
    from: Timestamp,
    version: i64,
    /// At `from`.
    start: Level,
    /// What changes later.
    changes: RedBlackTreeMapSync<Timestamp, Level>,
    /// The newest limit, by the order of the log.
    limit: i64,
    later_events: usize,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Level {
    available: i64,
    limit: i64,
}

impl Timeline {
    /// From a moment on, of an account that was at that version and in that state just before it.
    pub fn new(from: Timestamp, version: i64, account: &Account) -> Self {
        let start = match account {
            Account::Open(open) => {
                Level { available: OpenAccount::available(open), limit: open.overdraft_limit }
            }
            Account::Closed(closed) => Level { available: 0, limit: closed.overdraft_limit },
            Account::Unopened => Level::default(),
        };
        let (changes, limit) = (RedBlackTreeMapSync::default(), start.limit);
        Self { from, version, start, changes, limit, later_events: 0 }
    }

    /// The version up to which it has the account's events.
    pub fn version(&self) -> i64 {
        self.version
    }

    /// The events that it has taken in.
    pub fn later_events(&self) -> usize {
        self.later_events
    }

    /// The moment from which on it says how the account stood.
    pub fn from(&self) -> Timestamp {
        self.from
    }

    /// Returns whether it was given up.
    pub fn is_cut(&self) -> bool {
        self.later_events > MOST_LATER_EVENTS
    }

    /// Gives up: there are too many events.
    pub fn cut(&mut self) {
        self.later_events = MOST_LATER_EVENTS + 1;
    }

    /// Takes in the account's next event.
    pub fn take(&mut self, event: &AccountEvent, recorded_at: Timestamp) {
        self.version += 1;
        self.later_events += 1;
        let mut change =
            Level { available: available_change(event), limit: self.limit_change(event) };
        if matches!(event, AccountEvent::AccountOpened(_)) {
            // What counts from before the opening is on an account with that limit and nothing on it.
            self.start.limit += std::mem::take(&mut change.limit);
        }
        self.add(event.effective_at().unwrap_or(recorded_at), change);
    }

    /// The tightest moment from `from` on, which must not be before the timeline's own.
    pub fn headroom(&self, from: Timestamp) -> Headroom {
        if self.is_cut() {
            return Headroom::TooFarBack;
        }
        let until = self.changes.range(..=from).map(|(_, change)| *change);
        let mut level = until.fold(self.start, Level::plus);
        let mut lowest = (level, from);
        for (at, change) in self.changes.range((Bound::Excluded(from), Bound::Unbounded)) {
            level = level.plus(*change);
            if level.room() < lowest.0.room() {
                lowest = (level, *at);
            }
        }
        let (Level { available, limit: overdraft_limit }, at) = lowest;
        Headroom::Lowest { available, overdraft_limit, at }
    }

    fn add(&mut self, at: Timestamp, change: Level) {
        if at <= self.from {
            self.start = self.start.plus(change);
        } else if change != Level::default() {
            let before = self.changes.get(&at).copied().unwrap_or_default();
            self.changes.insert_mut(at, before.plus(change));
        }
    }

    fn limit_change(&mut self, event: &AccountEvent) -> i64 {
        let limit = match event {
            AccountEvent::AccountOpened(opened) => opened.overdraft_limit,
            AccountEvent::OverdraftLimitSet(set) => set.limit,
            AccountEvent::MoneyDeposited(_)
            | AccountEvent::MoneyWithdrawn(_)
            | AccountEvent::MoneySent(_)
            | AccountEvent::MoneyReceived(_)
            | AccountEvent::HoldPlaced(_)
            | AccountEvent::HoldCaptured(_)
            | AccountEvent::HoldReleased(_)
            | AccountEvent::HoldExpired(_)
            | AccountEvent::EntryReversed(_)
            | AccountEvent::AccountFrozen(_)
            | AccountEvent::AccountUnfrozen(_)
            | AccountEvent::AccountClosed(_) => return 0,
        };
        limit - std::mem::replace(&mut self.limit, limit)
    }
}

impl Level {
    /// What can go out.
    fn room(self) -> i64 {
        self.available.saturating_add(self.limit)
    }

    fn plus(self, change: Self) -> Self {
        let available = self.available.saturating_add(change.available);
        Self { available, limit: self.limit.saturating_add(change.limit) }
    }
}

/// What an event adds to what is available, in minor units.
fn available_change(event: &AccountEvent) -> i64 {
    match event {
        AccountEvent::AccountOpened(opened) => opened.initial_deposit,
        AccountEvent::MoneyDeposited(moved) => moved.amount.get(),
        AccountEvent::MoneyWithdrawn(moved) => -moved.amount.get(),
        AccountEvent::MoneySent(leg) => -leg.amount.get(),
        AccountEvent::MoneyReceived(leg) => leg.amount.get(),
        AccountEvent::HoldPlaced(placed) => -placed.amount.get(),
        AccountEvent::HoldCaptured(captured) => captured.released,
        AccountEvent::HoldReleased(released) => released.amount.get(),
        AccountEvent::HoldExpired(expired) => expired.amount.get(),
        AccountEvent::EntryReversed(reversed) => reversed.movement(),
        AccountEvent::OverdraftLimitSet(_)
        | AccountEvent::AccountFrozen(_)
        | AccountEvent::AccountUnfrozen(_)
        | AccountEvent::AccountClosed(_) => 0,
    }
}
