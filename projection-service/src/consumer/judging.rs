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
    pub(crate) const ALL: [Self; 7] = [
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
mod tests {
    use passbook_shared::cloud_event;
    use passbook_shared::partition::{Partition, PartitionCount};
    use passbook_shared::position::Position;
    use passbook_shared::recorded_event::{CommandContext, EventMetadata, RecordedEvent};
    use serde_json::value::RawValue;
    use uuid::Uuid;

    use super::*;

    const SOURCE: Source =
        Source { store_id: Uuid::from_u128(9), partitions: PartitionCount::new(12) };

    fn document(store: u128, partition: u8, account_id: Uuid, number: i64, epoch: i32) -> Vec<u8> {
        let event = RecordedEvent {
            event_id: Uuid::from_u128(1),
            account_id,
            event_type: "MoneyDeposited".to_owned(),
            version: 2,
            position: Position { partition: Partition::new(partition), number },
            schema_version: 1,
            recorded_at: "2026-11-24T12:00:00Z".parse().unwrap(),
            data: RawValue::from_string(r#"{"amount":1}"#.to_owned()).unwrap(),
            metadata: EventMetadata {
                command_id: Uuid::from_u128(4),
                context: CommandContext::default(),
            },
        };
        let mut document = Vec::new();
        cloud_event::encode(&event, Uuid::from_u128(store), epoch, &mut document).unwrap();
        document
    }

    fn account_of(partition: u8) -> Uuid {
        (1..)
            .map(Uuid::from_u128)
            .find(|id| partition_of(*id, SOURCE.partitions) == Partition::new(partition))
            .unwrap()
    }

    fn flaw(document: &[u8], accepted: &Accepted) -> Option<Flaw> {
        let log = OurLog { source: SOURCE, accepted: accepted.clone() };
        judge(&Record::read(Partition::new(3), Some(0), document), &log).err().map(|(flaw, _)| flaw)
    }

    #[test]
    fn a_record_is_used_only_if_it_is_of_this_log_and_lies_where_it_belongs() {
        let flaw = |document: &[u8]| flaw(document, &Accepted::default());
        let [here, elsewhere] = [account_of(3), account_of(4)];
        assert_eq!(flaw(&document(9, 3, here, 7, 0)), None);
        assert_eq!(flaw(&document(8, 3, here, 7, 0)), Some(Flaw::ForeignStore));
        assert_eq!(
            flaw(&document(9, 4, here, 7, 0)),
            Some(Flaw::WrongPartition),
            "its own partition is another"
        );
        assert_eq!(
            flaw(&document(9, 3, elsewhere, 7, 0)),
            Some(Flaw::WrongPartition),
            "its account's is another"
        );
        for garbage in [&b""[..], b"\0\xff{", br#"{"specversion":"1.0","id":7}"#] {
            assert_eq!(flaw(garbage), Some(Flaw::Undecodable));
        }
    }

    #[test]
    fn a_record_is_used_only_if_no_accepted_restore_gave_it_up() {
        let accepted = Accepted {
            epoch: 2,
            by_partition: [(Partition::new(3), [(1, 6), (2, 8)].into_iter().collect())].into(),
        };
        let flaw = |number, epoch| flaw(&document(9, 3, account_of(3), number, epoch), &accepted);
        for (number, epoch) in [(6, 0), (8, 1), (9, 2)] {
            assert_eq!(flaw(number, epoch), None, "{number} of {epoch}");
        }
        for (number, epoch) in [(7, 0), (9, 1)] {
            assert_eq!(flaw(number, epoch), Some(Flaw::GivenUp), "{number} of {epoch}");
        }
        assert_eq!(
            flaw(9, 3),
            Some(Flaw::UnknownEpoch),
            "whoever forges a record can claim any epoch"
        );
    }
}
