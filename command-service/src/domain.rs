//! Rules of accounts: pure, synchronous and total. No I/O, no clock, no randomness.

/// State of an account, and its evolution by events.
pub mod account;
/// Commands on accounts.
pub mod command;
/// Decisions on commands.
pub mod decide;
/// Available money by effective time.
pub mod effective;
pub(crate) mod facts;
/// Facts that a command needs beyond the state of its account.
pub mod needs;
/// Facts about the past that account states do not contain.
pub mod past;
/// Refusals of commands.
pub mod refusal;
#[cfg(test)]
pub(crate) mod tests;

pub use account::{Account, AccountSummary, evolve};
pub use command::{Command, NAMES};
pub use decide::permits::{Forbidden, OtherLeg, permits};
pub use decide::{Decided, Given, Subject, backdated_debit, counterparty, decide};
pub use past::Past;
pub use refusal::Refusal;
