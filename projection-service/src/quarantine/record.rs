//! Quarantined documents, decoded with the upcasters of this version of the program.

use passbook_shared::position::Position;
use uuid::Uuid;

use crate::consumer::record::{Record, Unreadable};
use crate::store::quarantine::Waiting;

/// Decodes a waiting event of an account. A document of another event is unreadable.
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
                "the document was changed to version {} of account {} at position {}",
                recorded.version, recorded.account_id, recorded.position
            );
            record.content = Err(Unreadable { reason, document: waiting.document.clone() });
        }
    }
    record
}
