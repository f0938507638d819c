//! The rules of accounts: pure, synchronous, total. No I/O, no clock, no random.

/// The state of an account, and how events change it.
pub mod account;
/// What can be asked of an account.
pub mod command;
/// What is decided.
pub mod decide;
/// Available money by effective time.
pub mod effective;
pub(crate) mod facts;
/// Facts that commands need beside the state of their account.
pub mod needs;
/// The ways in which the domain says no.
pub mod refusal;
#[cfg(test)]
mod tests;

pub use account::{Account, AccountSummary, evolve};
pub use command::{Command, NAMES};
pub use decide::permits::{Forbidden, OtherLeg, permits};
pub use decide::{Decided, Given, Past, Subject, counterparty, decide};
pub use refusal::Refusal;
