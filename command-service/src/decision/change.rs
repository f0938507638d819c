//! The change of an account by one command of a batch, before the batch has its positions.

use std::ops::Range;

use passbook_shared::partition::Partition;
use passbook_shared::timestamp::Timestamp;
use uuid::Uuid;

use crate::domain::AccountSummary;
use crate::log::append::NewEvent;

/// The change of an account by a command.
#[derive(Debug)]
pub(crate) struct Change {
    pub(crate) account_id: Uuid,
    pub(crate) partition: Partition,
    /// Version after the command.
    pub(crate) version: i64,
    pub(crate) account: AccountSummary,
    /// The account's newest event; a dry run does not count.
    pub(crate) newest: NewestEvent,
    pub(crate) events: ChangeEvents,
}

/// The place of an account's newest event.
#[derive(Debug, Clone, Copy)]
pub(crate) enum NewestEvent {
    /// A position of the log.
    InLog(i64),
    /// An index among the events of the batch.
    InBatch(usize),
}

/// The events that a command caused on an account.
#[derive(Debug)]
pub(crate) enum ChangeEvents {
    /// Their indices among the events of the batch.
    InBatch(Range<usize>),
    /// Events of a dry run, with its time.
    DryRun(Vec<NewEvent>, Timestamp),
}
