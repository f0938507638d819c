//! The state of an account: a fold of its events.

use passbook_shared::event::{AccountEvent, AccountStatus};
use passbook_shared::money::{Currency, MAX_AMOUNT};
use passbook_shared::timestamp::Timestamp;
use rpds::RedBlackTreeMapSync;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The shape of [`Account`] as snapshots keep it; to be raised whenever the shape, or what [`evolve`] makes of an
/// event, changes. Snapshots of another are passed over.
pub const STATE_VERSION: i16 = 2;

/// An account, as its events left it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Account {
    /// It has no events.
    #[default]
    Unopened,
    /// Money can move.
    Open(OpenAccount),
    /// It is over.
    Closed(ClosedAccount),
}

/// An account between its first event and its closing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenAccount {
    /// Of all its amounts.
    pub currency: Currency,
    /// What is on it, in minor units.
    pub balance: i64,
    /// How much of it is set aside by holds, in minor units.
    pub held: i64,
    /// How far below 0 `balance - held` may go, in minor units.
    pub overdraft_limit: i64,
    /// Set while it is frozen.
    pub freeze: Option<Freeze>,
    /// Its open holds; `held` is their sum.
    pub holds: Holds,
}

/// Open holds by id. A copy shares all that it does not change: an account may have many.
pub type Holds = RedBlackTreeMapSync<Uuid, Hold>;

/// An open hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// How much is set aside, in minor units.
    pub amount: i64,
    /// From when on it is to be seen as over, whether or not that is recorded yet.
    pub expires_at: Option<Timestamp>,
}

impl Hold {
    /// Whether its time is over.
    pub fn is_over(&self, now: Timestamp) -> bool {
        self.expires_at.is_some_and(|expires_at| expires_at <= now)
    }
}

/// What a freeze keeps from happening, beside money going out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Freeze {
    /// No money comes in either.
    pub block_credits: bool,
}

/// What is left of an account that was closed (with balance 0).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClosedAccount {
    /// Of all its amounts.
    pub currency: Currency,
    /// As it was at the end.
    pub overdraft_limit: i64,
}

impl OpenAccount {
    /// What can still go out before the overdraft is touched, in minor units; below 0 if it is.
    pub fn available(&self) -> i64 {
        self.balance - self.held
    }
}

/// How an account stands, as answers give it. Amounts in minor units.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct AccountSummary {
    /// Whether money moves.
    pub status: AccountStatus,
    /// Of all its amounts, ISO 4217.
    #[schema(value_type = String, min_length = 3, max_length = 3, examples("EUR"))]
    pub currency: Currency,
    /// What is on it.
    #[schema(examples(125_000))]
    pub balance: i64,
    /// How much of that is set aside by holds.
    #[schema(examples(0))]
    pub held: i64,
    /// `balance - held`.
    #[schema(examples(125_000))]
    pub available: i64,
    /// How far below 0 `available` may go.
    #[schema(examples(0))]
    pub overdraft_limit: i64,
}

impl Account {
    /// How many of its holds are open.
    pub fn open_holds(&self) -> usize {
        match self {
            Self::Open(open) => open.holds.size(),
            Self::Unopened | Self::Closed(_) => 0,
        }
    }

    /// Returns the number of its open holds whose time is not over.
    pub fn holds_not_over(&self, now: Timestamp) -> usize {
        match self {
            Self::Open(open) => open.holds.values().filter(|hold| !hold.is_over(now)).count(),
            Self::Unopened | Self::Closed(_) => 0,
        }
    }

    /// How it stands; nothing if it was never opened.
    pub fn summary(&self) -> Option<AccountSummary> {
        match self {
            Self::Unopened => None,
            Self::Open(open) => Some(AccountSummary {
                status: if open.freeze.is_some() {
                    AccountStatus::Frozen
                } else {
                    AccountStatus::Open
                },
                currency: open.currency,
                balance: open.balance,
                held: open.held,
                available: open.available(),
                overdraft_limit: open.overdraft_limit,
            }),
            Self::Closed(closed) => Some(AccountSummary {
                status: AccountStatus::Closed,
                currency: closed.currency,
                balance: 0,
                held: 0,
                available: 0,
                overdraft_limit: closed.overdraft_limit,
            }),
        }
    }
}

/// The account after one more event. Total: an event that can't follow on the state (which the decider never lets
/// happen) leaves it as it is.
#[must_use]
pub fn evolve(account: Account, event: &AccountEvent) -> Account {
    match (account, event) {
        (Account::Unopened, AccountEvent::AccountOpened(opened)) => Account::Open(OpenAccount {
            currency: opened.currency,
            balance: opened.initial_deposit,
            held: 0,
            overdraft_limit: opened.overdraft_limit,
            freeze: None,
            holds: Holds::default(),
        }),
        (Account::Open(open), event) => evolve_open(open, event),
        (
            account @ (Account::Unopened | Account::Closed(_)),
            AccountEvent::AccountOpened(_)
            | AccountEvent::MoneyDeposited(_)
            | AccountEvent::MoneyWithdrawn(_)
            | AccountEvent::MoneySent(_)
            | AccountEvent::MoneyReceived(_)
            | AccountEvent::HoldPlaced(_)
            | AccountEvent::HoldCaptured(_)
            | AccountEvent::HoldReleased(_)
            | AccountEvent::HoldExpired(_)
            | AccountEvent::EntryReversed(_)
            | AccountEvent::OverdraftLimitSet(_)
            | AccountEvent::AccountFrozen(_)
            | AccountEvent::AccountUnfrozen(_)
            | AccountEvent::AccountClosed(_),
        ) => account,
    }
}

fn evolve_open(mut open: OpenAccount, event: &AccountEvent) -> Account {
    match event {
        AccountEvent::AccountOpened(_) => {}
        AccountEvent::MoneyDeposited(deposit) => open.moved(deposit.amount.get()),
        AccountEvent::MoneyWithdrawn(withdrawal) => open.moved(-withdrawal.amount.get()),
        AccountEvent::MoneySent(leg) => open.moved(-leg.amount.get()),
        AccountEvent::MoneyReceived(leg) => open.moved(leg.amount.get()),
        AccountEvent::HoldPlaced(placed) => {
            open.end_hold(placed.hold_id);
            let hold = Hold { amount: placed.amount.get(), expires_at: placed.expires_at };
            open.held = open.held.saturating_add(hold.amount).min(MAX_AMOUNT);
            open.holds.insert_mut(placed.hold_id, hold);
        }
        AccountEvent::HoldCaptured(captured) => {
            open.end_hold(captured.hold_id);
            open.moved(-captured.amount.get());
        }
        AccountEvent::HoldReleased(released) => open.end_hold(released.hold_id),
        AccountEvent::HoldExpired(expired) => open.end_hold(expired.hold_id),
        AccountEvent::EntryReversed(reversed) => open.moved(reversed.movement()),
        AccountEvent::OverdraftLimitSet(set) => open.overdraft_limit = set.limit,
        AccountEvent::AccountFrozen(frozen) => {
            open.freeze = Some(Freeze { block_credits: frozen.block_credits })
        }
        AccountEvent::AccountUnfrozen(_) => open.freeze = None,
        AccountEvent::AccountClosed(_) => {
            return Account::Closed(ClosedAccount {
                currency: open.currency,
                overdraft_limit: open.overdraft_limit,
            });
        }
    }
    Account::Open(open)
}

impl OpenAccount {
    /// A movement that the decider found to be within bounds.
    fn moved(&mut self, by: i64) {
        self.balance = self.balance.saturating_add(by).clamp(-MAX_AMOUNT, MAX_AMOUNT);
    }

    fn end_hold(&mut self, hold_id: Uuid) {
        if let Some(hold) = self.holds.get(&hold_id) {
            self.held -= hold.amount;
            self.holds.remove_mut(&hold_id);
        }
    }
}
