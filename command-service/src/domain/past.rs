//! Facts about the past that account states do not contain.

use passbook_shared::event::{AccountEvent, HoldStatus};
use passbook_shared::timestamp::Timestamp;

use super::effective::Timeline;

/// Facts that a decision needs and account states do not contain. Large ones are boxed, because few
/// commands need them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Past {
    /// Entry to reverse, if the account has it.
    pub entry: Option<Box<AccountEvent>>,
    /// Time of recording of that entry; `None` if it is part of the same append.
    pub entry_recorded_at: Option<Timestamp>,
    /// Version of the reversal of that entry, if it was reversed.
    pub reversed_by: Option<i64>,
    /// Status of the named hold, if the account had it and it has ended.
    pub ended_hold: Option<HoldStatus>,
    /// True if another transfer has the id.
    pub transfer_exists: bool,
    /// Timeline of the account of [`backdated_debit`](super::backdated_debit), from the debit's
    /// time or earlier.
    pub timeline: Option<Box<Timeline>>,
}
