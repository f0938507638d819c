//! Decisions on a batch of commands. Pure: the times and the ids come with the context.

pub(crate) mod batch;
pub(crate) mod change;
pub(crate) mod command;
pub(crate) mod command_set;
pub(crate) mod context;
mod reach;
#[cfg(test)]
pub(crate) mod tests;
mod working;

use thiserror::Error;

/// A decision that can't be turned into events: a defect of the program.
#[derive(Debug, Error)]
#[error("a decision can't be turned into events")]
pub(crate) struct Defect;
