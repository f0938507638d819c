//! Documents in the quarantine, read again with the upcasters of this version of the program.

use passbook_shared::partition::partition_of;
use sqlx::{Postgres, Transaction};
use uuid::Uuid;

use super::{Settled, Unsettled};
use crate::consumer::known::Accounts;
use crate::consumer::record::{Record, Unreadable};
use crate::consumer::sequence::{Sequence, Verdict};
use crate::consumer::writer::write;
use crate::store::quarantine::{self, Quarantined, Waiting};
use crate::store::{checkpoints, source};

/// An event of an account. Unreadable, if the document is not that event's any more.
pub(super) fn of_account(account_id: Uuid, waiting: &Waiting) -> Record {
    let mut record = Record {
        published_at: waiting.published_at,
        ..Record::read(waiting.partition, waiting.kafka_offset, &waiting.document)
    };
    if let Ok(event) = &record.content {
        let recorded = &event.recorded;
        let found = (recorded.account_id, recorded.version, recorded.position.number);
        if found != (account_id, waiting.version, waiting.position) {
            let reason = format!(
                "its document was changed to version {} of account {} at position {}",
                recorded.version, recorded.account_id, recorded.position
            );
            record.content = Err(Unreadable { reason, document: waiting.document.clone() });
        }
    }
    record
}

/// Tries again a record that was no event. If it is one now, it is applied by the rule for all: only if it is next.
pub(super) async fn retry(mut transaction: Transaction<'_, Postgres>, row: &Quarantined) -> Result<Settled, Unsettled> {
    let document = quarantine::document(&mut *transaction, row.id).await?.ok_or(Unsettled::NotThere(row.id))?;
    let record =
        Record { published_at: document.published_at, ..Record::read(row.partition, row.kafka_offset, &document.raw) };
    let event = match &record.content {
        Ok(event) => event,
        Err(unreadable) => {
            quarantine::keep(&mut *transaction, row.id, &unreadable.reason).await?;
            transaction.commit().await?;
            return Err(Unsettled::StillUnapplicable(unreadable.reason.clone()));
        }
    };
    let ours = source::find(&mut transaction).await?.is_some_and(|source| {
        source.store_id == event.store_id && partition_of(event.recorded.account_id, source.partitions) == row.partition
    });
    if !ours {
        return Err(Unsettled::StillUnapplicable("it is an event of another store's log: discard it".to_owned()));
    }
    let checkpoint = checkpoints::hold_one(&mut transaction, row.partition).await?;
    let mut sequence = Sequence::new(&[checkpoint]);
    let (position, event_id) = (event.recorded.position, event.recorded.event_id);
    if sequence.of_log(row.partition, position.number, event_id) != Verdict::Next {
        return Err(Unsettled::StillUnapplicable(format!(
            "it is event {position} of account {}, and the next of the partition is {}: what the topic lacked was taken \
             from the log, so discard it",
            event.recorded.account_id,
            checkpoint.position + 1
        )));
    }
    let written = write(&mut transaction, &[record], &sequence, &mut Accounts::default()).await?;
    quarantine::remove(&mut *transaction, &[row.id]).await?;
    checkpoints::raise_epoch(&mut *transaction, row.partition).await?;
    transaction.commit().await?;
    Ok(Settled { applied: written.events, left: i64::try_from(written.quarantined).unwrap_or(i64::MAX) })
}
