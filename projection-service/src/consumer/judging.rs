//! Admission of records. Anyone with access to Kafka can write any record, so each record is
//! checked before its position is considered. Performs no I/O.

use passbook_shared::partition::partition_of;
use thiserror::Error;

use super::record::{Event, Record};
use crate::store::restores::Accepted;
use crate::store::source::Source;

/// Identity of the log behind the views, with its accepted restores.
#[derive(Debug, Clone)]
pub(crate) struct OurLog {
    /// Store and number of partitions.
    pub(crate) source: Source,
    /// Restores that an operator has accepted.
    pub(crate) accepted: Accepted,
}

/// Reason why a record of the topic is skipped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Flaw {
    /// The record has no valid MAC, and the topic has a key.
    Unauthentic,
    /// The record is not an event. If it replaced an event, the log has that event.
    Undecodable,
    /// The event belongs to another store.
    ForeignStore,
    /// The account or the position belongs to another partition.
    WrongPartition,
    /// An accepted restore of the log gave the event up.
    GivenUp,
    /// The epoch is later than the last known epoch of the store.
    UnknownEpoch,
    /// The position is beyond the end of the log.
    BeyondLog,
    /// Another event was accepted at the position.
    Contradicting,
}

impl Flaw {
    /// All flaws.
    pub(crate) const ALL: [Self; 8] = [
        Self::Unauthentic,
        Self::Undecodable,
        Self::ForeignStore,
        Self::WrongPartition,
        Self::GivenUp,
        Self::UnknownEpoch,
        Self::BeyondLog,
        Self::Contradicting,
    ];

    /// Returns the label value in metrics.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Unauthentic => "unauthentic",
            Self::Undecodable => "undecodable",
            Self::ForeignStore => "foreign_store",
            Self::WrongPartition => "wrong_partition",
            Self::GivenUp => "given_up",
            Self::UnknownEpoch => "unknown_epoch",
            Self::BeyondLog => "beyond_log",
            Self::Contradicting => "contradicting",
        }
    }
}

/// A page of another store's log was offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error(
    "the command-service's log is of store {} with {} partitions, the views are of store {} \
     with {}",
    .found.store_id, .found.partitions, .ours.store_id, .ours.partitions
)]
pub(crate) struct ForeignLog {
    pub(crate) found: Source,
    pub(crate) ours: Source,
}

impl OurLog {
    /// Returns the event of a record if the record names this store and the partition of the
    /// account, and if no accepted restore gave the event up.
    ///
    /// # Errors
    /// The flaw of the record, and its description.
    pub(crate) fn admits<'r>(&self, record: &'r Record) -> Result<&'r Event, (Flaw, String)> {
        judge(record, self)
    }

    /// Checks that a page belongs to the log of this store.
    ///
    /// # Errors
    /// The page belongs to another store, or to a log with another number of partitions.
    pub(crate) fn is_of(&self, found: Source) -> Result<(), ForeignLog> {
        let ours = self.source;
        if found == ours { Ok(()) } else { Err(ForeignLog { found, ours }) }
    }
}

fn judge<'r>(record: &'r Record, log: &OurLog) -> Result<&'r Event, (Flaw, String)> {
    if let Err(unauthentic) = record.authentic {
        return Err((Flaw::Unauthentic, unauthentic.to_string()));
    }
    let event = match &record.content {
        Ok(event) => event,
        Err(unreadable) => return Err((Flaw::Undecodable, unreadable.reason.clone())),
    };
    let OurLog { source, accepted } = log;
    let Event { recorded, store_id, epoch, .. } = event;
    // Another store may have another number of partitions, so its id is checked first.
    if *store_id != source.store_id {
        return Err((
            Flaw::ForeignStore,
            format!("an event of store {store_id}, the log is {}", source.store_id),
        ));
    }
    if recorded.position.partition != record.partition {
        return Err((Flaw::WrongPartition, format!("an event at {}", recorded.position)));
    }
    // The claimed partition may be forged; an account has events in one partition only.
    let partition = partition_of(recorded.account_id, source.partitions);
    if partition != record.partition {
        let account_id = recorded.account_id;
        return Err((
            Flaw::WrongPartition,
            format!("account {account_id} is in partition {partition} of the log"),
        ));
    }
    // A restore may have just been accepted. The applier then makes the guard look for it.
    if *epoch > accepted.epoch {
        return Err((
            Flaw::UnknownEpoch,
            format!("an event of epoch {epoch}, the log is in {}", accepted.epoch),
        ));
    }
    let restores = accepted.by_partition.get(&partition);
    if restores.is_some_and(|restores| restores.voided(*epoch, recorded.position.number)) {
        return Err((
            Flaw::GivenUp,
            format!("{} of epoch {epoch} was given up", recorded.position),
        ));
    }
    Ok(event)
}

#[cfg(test)]
mod tests;
