//! Rules of accounts as given / when / then, and random sequences of commands against a simple
//! model.
#![expect(clippy::too_many_lines, reason = "a test tells its story from start to end")]

mod closing;
mod deposits;
mod effective;
mod freezing;
mod holds;
mod log;
mod model;
mod opening;
mod overdraft_limit;
mod owner;
mod permits;
mod reversals;
mod sequences;
pub(crate) mod specification;
mod transfers;
mod withdrawals;
