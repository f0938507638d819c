//! Events of accounts, in the newest schema version of each type. Every older schema version stays
//! readable through [`crate::upcast`]. `shared/tests/golden/` has a golden file of each schema
//! version.

mod account;
mod codec;
mod hold;
mod movement;
mod reversal;
/// OpenAPI schemas of the payloads.
pub mod schema;
mod side_row;
#[cfg(test)]
pub(crate) mod tests;

use strum::{IntoStaticStr, VariantNames};

use crate::timestamp::Timestamp;

pub use self::account::{
    AccountFrozen, AccountOpened, AccountStatus, OverdraftLimitSet, OwnerChanged, Reason,
};
pub use self::hold::{HoldCaptured, HoldExpired, HoldPlaced, HoldReleased, HoldStatus};
pub use self::movement::{MoneyMoved, TransferLeg};
pub use self::reversal::{EntryReversed, ReversedTransfer, ReversibleEntry};
pub use self::side_row::SideRow;

/// Fact about one account. The name of a variant is the event type in the log and in the topic.
#[derive(Debug, Clone, PartialEq, Eq, IntoStaticStr, VariantNames)]
pub enum AccountEvent {
    /// The account was opened; always its first event.
    AccountOpened(AccountOpened),
    /// Money came in from outside the store.
    MoneyDeposited(MoneyMoved),
    /// Money went out of the store.
    MoneyWithdrawn(MoneyMoved),
    /// Money went to another account of the store. The same append has its
    /// [`AccountEvent::MoneyReceived`].
    MoneySent(TransferLeg),
    /// Money came from another account of the store.
    MoneyReceived(TransferLeg),
    /// A part of the balance was held.
    HoldPlaced(HoldPlaced),
    /// Held money went out of the store, in full or in part. The rest was released.
    HoldCaptured(HoldCaptured),
    /// Held money was released on request.
    HoldReleased(HoldReleased),
    /// Held money was released because the hold reached its expiry.
    HoldExpired(HoldExpired),
    /// An earlier deposit, withdrawal or transfer leg was reversed.
    EntryReversed(EntryReversed),
    /// The overdraft limit changed.
    OverdraftLimitSet(OverdraftLimitSet),
    /// The account has another owner.
    OwnerChanged(OwnerChanged),
    /// The account was frozen. A frozen account refuses debits. It also refuses credits if the
    /// freeze blocks them.
    AccountFrozen(AccountFrozen),
    /// The freeze ended.
    AccountUnfrozen(Reason),
    /// The account was closed; always its last event.
    AccountClosed(Reason),
}

impl AccountEvent {
    /// Names of all event types, as stored.
    pub const TYPES: &'static [&'static str] = Self::VARIANTS;

    /// Returns the name of the event type in the log and in the topic.
    pub fn event_type(&self) -> &'static str {
        self.into()
    }

    /// Returns the effective time of the entry; `None` if the event contains none.
    pub fn effective_at(&self) -> Option<Timestamp> {
        match self {
            Self::AccountOpened(opened) => opened.effective_at,
            Self::MoneyDeposited(moved) | Self::MoneyWithdrawn(moved) => moved.effective_at,
            Self::MoneySent(leg) | Self::MoneyReceived(leg) => leg.effective_at,
            Self::EntryReversed(reversed) => reversed.effective_at,
            Self::HoldPlaced(_)
            | Self::HoldCaptured(_)
            | Self::HoldReleased(_)
            | Self::HoldExpired(_)
            | Self::OverdraftLimitSet(_)
            | Self::OwnerChanged(_)
            | Self::AccountFrozen(_)
            | Self::AccountUnfrozen(_)
            | Self::AccountClosed(_) => None,
        }
    }
}
