//! Quarantined records of account 1, whose versions equal its positions.

use passbook_shared::cloud_event;
use passbook_shared::position::Position;
use passbook_shared::recorded_event::{CommandContext, EventMetadata, RecordedEvent};
use projection_service::store::apply::{QuarantinedRecord, apply};
use projection_service::store::quarantine;
use sqlx::PgPool;

use crate::batches::{PARTITION, batch, write};
use crate::events::{at, id, opened};

const DEPOSITED: &str = r#"{"amount":25}"#;

/// Returns the document of an event.
pub(crate) fn document(version: i64, event_type: &str) -> Vec<u8> {
    let event = RecordedEvent {
        event_id: id(100 + u128::try_from(version).unwrap()),
        account_id: id(1),
        event_type: event_type.to_owned(),
        version,
        position: Position { partition: PARTITION, number: version },
        schema_version: 1,
        recorded_at: at(version),
        data: serde_json::value::RawValue::from_string(DEPOSITED.to_owned()).unwrap(),
        metadata: EventMetadata { command_id: id(4), context: CommandContext::default() },
    };
    let mut document = Vec::new();
    cloud_event::encode(&event, id(9), 0, &mut document).unwrap();
    document
}

pub(crate) fn quarantined(version: i64, event_type: &str, waits: bool) -> QuarantinedRecord {
    QuarantinedRecord {
        partition: PARTITION,
        position: Some(version),
        kafka_offset: Some(version - 1),
        published_at: Some(at(version)),
        account: Some((id(1), version)),
        waits,
        reason: if waits { "waits".to_owned() } else { "not known".to_owned() },
        document: document(version, event_type),
    }
}

/// Opens account 1 with 100, and quarantines further events of these types.
pub(crate) async fn given(pool: &PgPool, types: &[&str]) {
    let mut connection = pool.acquire().await.unwrap();
    write(&mut connection, id(1), &[(opened("o"), at(1))]).await;
    let mut batch = batch(1, id(1), &[]);
    batch.checkpoints[0].to = 1 + i64::try_from(types.len()).unwrap();
    batch.quarantine = types
        .iter()
        .zip(2..)
        .map(|(event_type, version)| quarantined(version, event_type, version > 2))
        .collect();
    apply(&mut connection, &batch).await.unwrap();
}

/// Returns the number of the event that the others wait behind.
pub(crate) async fn head(pool: &PgPool) -> i64 {
    let found = quarantine::list(pool, 0, 10).await.unwrap();
    assert_eq!(found.len(), 1, "{found:?}");
    found[0].id
}
