//! Available money by effective time, instead of the order of recording. Pure.

use std::ops::Bound;

use passbook_shared::event::AccountEvent;
use passbook_shared::timestamp::Timestamp;
use rpds::RedBlackTreeMapSync;

use super::account::{Account, OpenAccount};

/// Maximum number of events since the effective time of a backdated debit.
pub const MOST_LATER_EVENTS: usize = 20_000;
/// Maximum number of such events over all debits of a request.
pub const MOST_OF_REQUEST: usize = 5 * MOST_LATER_EVENTS;

/// Lowest headroom of an account from a time on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Headroom {
    /// Moment with the least available money. Amounts are in minor units.
    Lowest {
        /// `balance - held` at that moment.
        available: i64,
        /// Overdraft limit at that moment.
        overdraft_limit: i64,
        /// First such moment.
        at: Timestamp,
    },
    /// Unknown, because there are more than [`MOST_LATER_EVENTS`].
    TooFarBack,
}

/// Available money and overdraft limit of an account by effective time, from a moment on.
/// Persistent: a copy shares its unchanged parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timeline {
    from: Timestamp,
    version: i64,
    /// Level at `from`.
    start: Level,
    /// Changes of the level after `from`.
    changes: RedBlackTreeMapSync<Timestamp, Level>,
    /// Newest limit by order of recording.
    limit: i64,
    later_events: usize,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Level {
    available: i64,
    limit: i64,
}

impl Timeline {
    /// Creates a timeline from `from` on. `version` and `account` are the account's version and
    /// state just before.
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

    /// Returns the account's version up to which events were added.
    pub fn version(&self) -> i64 {
        self.version
    }

    /// Returns the number of events that were added.
    pub fn later_events(&self) -> usize {
        self.later_events
    }

    /// Returns the moment at which the timeline starts.
    pub fn from(&self) -> Timestamp {
        self.from
    }

    /// Returns whether the timeline was cut.
    pub fn is_cut(&self) -> bool {
        self.later_events > MOST_LATER_EVENTS
    }

    /// Marks the timeline as cut: the account has too many events.
    pub fn cut(&mut self) {
        self.later_events = MOST_LATER_EVENTS + 1;
    }

    /// Adds the account's next event.
    pub fn take(&mut self, event: &AccountEvent, recorded_at: Timestamp) {
        self.version += 1;
        self.later_events += 1;
        let mut change =
            Level { available: available_change(event), limit: self.limit_change(event) };
        if matches!(event, AccountEvent::AccountOpened(_)) {
            // Entries effective before the opening apply to an account with that limit and balance
            // 0.
            self.start.limit += std::mem::take(&mut change.limit);
        }
        self.add(event.effective_at().unwrap_or(recorded_at), change);
    }

    /// Returns the lowest headroom from `from` on, which must not be before the timeline's own
    /// start.
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
            // Effective from the beginning on: it changes every level.
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
            | AccountEvent::OwnerChanged(_)
            | AccountEvent::AccountFrozen(_)
            | AccountEvent::AccountUnfrozen(_)
            | AccountEvent::AccountClosed(_) => return 0,
        };
        // The difference, because levels are sums of changes.
        limit - std::mem::replace(&mut self.limit, limit)
    }
}

impl Level {
    /// Returns the amount that can go out.
    fn room(self) -> i64 {
        self.available.saturating_add(self.limit)
    }

    fn plus(self, change: Self) -> Self {
        let available = self.available.saturating_add(change.available);
        Self { available, limit: self.limit.saturating_add(change.limit) }
    }
}

/// Returns the event's change of the available money, in minor units.
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
        | AccountEvent::OwnerChanged(_)
        | AccountEvent::AccountFrozen(_)
        | AccountEvent::AccountUnfrozen(_)
        | AccountEvent::AccountClosed(_) => 0,
    }
}
