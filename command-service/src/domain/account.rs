//! State of an account: a fold of its events.

mod evolve;

use passbook_shared::event::AccountStatus;
use passbook_shared::money::Currency;
use passbook_shared::tenant::Tenant;
use passbook_shared::text::Owner;
use passbook_shared::timestamp::Timestamp;
use rpds::RedBlackTreeMapSync;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub use self::evolve::evolve;

/// Version of [`Account`] in snapshots. Must be raised with every change of its shape or of
/// [`evolve`]. Snapshots of other versions are ignored.
pub const STATE_VERSION: i16 = 4;

/// Account after its events.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Account {
    /// No events yet.
    #[default]
    Unopened,
    /// Open: money can move.
    Open(OpenAccount),
    /// Closed for good.
    Closed(ClosedAccount),
}

/// Account between opening and closing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenAccount {
    /// Tenant, if the account has one.
    pub tenant: Option<Tenant>,
    /// Owner, an opaque reference.
    pub owner: Owner,
    /// Currency of all amounts.
    pub currency: Currency,
    /// Balance in minor units.
    pub balance: i64,
    /// Sum of the open holds, in minor units.
    pub held: i64,
    /// Lower bound of `balance - held`, as a positive amount in minor units.
    pub overdraft_limit: i64,
    /// Freeze, while the account is frozen.
    pub freeze: Option<Freeze>,
    /// Open holds, by id.
    pub holds: Holds,
}

/// Open holds by id. Persistent: a copy shares its unchanged parts, because an account may have
/// many holds.
pub type Holds = RedBlackTreeMapSync<Uuid, Hold>;

/// Open hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// Held amount in minor units.
    pub amount: i64,
    /// Time from which the hold counts as expired, even before the expiry is recorded.
    pub expires_at: Option<Timestamp>,
}

impl Hold {
    /// Returns whether the hold has expired.
    pub fn is_over(&self, now: Timestamp) -> bool {
        self.expires_at.is_some_and(|expires_at| expires_at <= now)
    }
}

/// Freeze of an account. Always blocks outgoing money.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Freeze {
    /// Blocks incoming money, too.
    pub block_credits: bool,
}

/// Closed account; its balance is 0.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClosedAccount {
    /// Tenant, if the account has one.
    pub tenant: Option<Tenant>,
    /// Last owner.
    pub owner: Owner,
    /// Currency of all amounts.
    pub currency: Currency,
    /// Last overdraft limit.
    pub overdraft_limit: i64,
}

impl OpenAccount {
    /// Returns `balance - held` in minor units; negative while the overdraft is in use.
    pub fn available(&self) -> i64 {
        self.balance - self.held
    }
}

/// Summary of an account in answers. Amounts are in minor units.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct AccountSummary {
    /// Status of the account.
    pub status: AccountStatus,
    /// ISO 4217 currency of all amounts.
    #[schema(value_type = String, min_length = 3, max_length = 3, examples("EUR"))]
    pub currency: Currency,
    /// Balance of the account.
    #[schema(examples(125_000))]
    pub balance: i64,
    /// Sum of the open holds.
    #[schema(examples(0))]
    pub held: i64,
    /// `balance - held`.
    #[schema(examples(125_000))]
    pub available: i64,
    /// Lower bound of `available`, as a positive amount.
    #[schema(examples(0))]
    pub overdraft_limit: i64,
}

impl Account {
    /// Returns the tenant and the owner, or `None` if the account was never opened.
    pub fn holder(&self) -> Option<(Option<&Tenant>, &Owner)> {
        match self {
            Self::Unopened => None,
            Self::Open(open) => Some((open.tenant.as_ref(), &open.owner)),
            Self::Closed(closed) => Some((closed.tenant.as_ref(), &closed.owner)),
        }
    }

    /// Returns the tenant, if the account has one.
    pub fn tenant(&self) -> Option<&Tenant> {
        self.holder().and_then(|(tenant, _)| tenant)
    }

    /// Returns the number of open holds.
    pub fn open_holds(&self) -> usize {
        match self {
            Self::Open(open) => open.holds.size(),
            Self::Unopened | Self::Closed(_) => 0,
        }
    }

    /// Returns the number of open holds that have not expired.
    pub fn holds_not_over(&self, now: Timestamp) -> usize {
        match self {
            Self::Open(open) => open.holds.values().filter(|hold| !hold.is_over(now)).count(),
            Self::Unopened | Self::Closed(_) => 0,
        }
    }

    /// Returns the summary, or `None` if the account was never opened.
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
