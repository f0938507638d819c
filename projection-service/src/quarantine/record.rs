//! Documents in the quarantine, read again with the upcasters of this version of the program.

use passbook_shared::position::Position;
use uuid::Uuid;

use crate::consumer::record::{Record, Unreadable};
use crate::store::quarantine::Waiting;

/// An event of an account. Unreadable, if the document is not that event's any more.
pub(super) fn of_account(account_id: Uuid, waiting: &Waiting) -> Record {
    let mut record = Record {
        published_at: waiting.published_at,
        ..Record::read(waiting.partition, waiting.kafka_offset, &waiting.document)
    };
    if let Ok(event) = &record.content {
        let recorded = &event.recorded;
        let found = (recorded.account_id, recorded.version, recorded.position);
        let position = Position { partition: waiting.partition, number: waiting.position };
        if found != (account_id, waiting.version, position) {
            let reason = format!(
                "its document was changed to version {} of account {} at position {}",
                recorded.version, recorded.account_id, recorded.position
            );
            record.content = Err(Unreadable { reason, document: waiting.document.clone() });
        }
    }
    record
}
