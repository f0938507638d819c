//! Comparison of the rows found with the expected rows. Performs no I/O.

use passbook_shared::cloud_event;
use passbook_shared::partition::Partition;
use passbook_shared::recorded_event::RecordedEvent;
use passbook_shared::timestamp::Timestamp;
use serde::Serialize;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::fold::{Applied, Folded, Last, Standing};
use crate::checkpoint::Checkpoint;
use crate::store::accounts::full_row::FullRow as Account;
use crate::store::history::full_row::FullRow as Entry;
use crate::store::metadata;
use passbook_shared::difference::{Difference, DifferenceKind, Findings};

/// Returns the columns that differ, from both rows.
fn columns<T: PartialEq + Serialize>(expected: &T, found: &T) -> Option<(Value, Value)> {
    if expected == found {
        return None;
    }
    let (Value::Object(expected), Value::Object(found)) = (json!(expected), json!(found)) else {
        return None;
    };
    let differing = |own: &Map<String, Value>, other: &Map<String, Value>| {
        let columns = own.iter().filter(|(name, value)| other.get(*name) != Some(value));
        Value::Object(columns.map(|(name, value)| (name.clone(), value.clone())).collect())
    };
    Some((differing(&expected, &found), differing(&found, &expected)))
}

/// Compares a row of history, which may be missing.
pub(super) fn entry(
    partition: Partition,
    expected: &Entry<'_>,
    found: Option<&Entry<'_>>,
    findings: &mut Findings,
) {
    let of =
        |what| Difference::new(what, partition, Some(expected.account_id), Some(expected.version));
    match found {
        None => findings.add(|| Difference {
            expected: json!({ "type": expected.event_type, "position": expected.position }),
            ..of(DifferenceKind::HistoryMissing)
        }),
        Some(found) => {
            if let Some((expected, found)) = columns(expected, found) {
                findings.add(|| Difference {
                    expected,
                    found,
                    ..of(DifferenceKind::HistoryDiffers)
                });
            }
        }
    }
}

/// Returns the difference of a row of history that the log does not have.
pub(super) fn entry_too_many(
    partition: Partition,
    account_id: Uuid,
    version: i64,
    position: i64,
) -> Difference {
    let found = json!({ "position": position });
    Difference {
        found,
        ..Difference::new(
            DifferenceKind::HistoryTooMany,
            partition,
            Some(account_id),
            Some(version),
        )
    }
}

/// Compares a row of `accounts` with the fold of its events.
pub(super) fn account(
    partition: Partition,
    folded: Option<&Folded>,
    found: &Account<'_>,
    findings: &mut Findings,
) {
    let of = |what| Difference::new(what, partition, Some(found.account_id), None);
    // The broken rule was reported with its event, and the expected row is unknown.
    if folded.is_some_and(|folded| folded.standing == Standing::Lost) {
        return;
    }
    match folded.and_then(|folded| folded.applied.as_ref()) {
        None => findings.add(|| Difference {
            found: json!({ "version": found.version, "position": found.position }),
            ..of(DifferenceKind::AccountTooMany)
        }),
        Some(applied) => {
            if let Some((expected, found)) =
                columns(&row(partition, found.account_id, applied), found)
            {
                findings.add(|| Difference {
                    expected,
                    found,
                    ..of(DifferenceKind::AccountDiffers)
                });
            }
        }
    }
}

/// Reports an account that the views lack.
pub(super) fn account_missing(
    partition: Partition,
    account_id: Uuid,
    folded: &Folded,
    findings: &mut Findings,
) {
    if let (Some(applied), Standing::Whole | Standing::Aside) = (&folded.applied, folded.standing) {
        findings.add(|| Difference {
            expected: json!({ "version": applied.state.version, "position": applied.position }),
            ..Difference::new(DifferenceKind::AccountMissing, partition, Some(account_id), None)
        });
    }
}

fn row(partition: Partition, account_id: Uuid, applied: &Applied) -> Account<'_> {
    let state = &applied.state;
    Account {
        account_id,
        opened_at: applied.opened_at,
        last_activity: applied.last_activity,
        version: state.version,
        position: applied.position,
        balance: state.balance,
        held: state.held,
        overdraft_limit: state.overdraft_limit,
        transaction_count: state.transaction_count,
        partition,
        status: state.status.as_str(),
        currency: applied.currency.code(),
        owner: &applied.owner,
        opening_owner: applied.opening_owner.as_deref(),
        metadata: metadata::value(applied.metadata.as_deref()),
        tenant: applied.tenant.as_deref(),
    }
}

/// Compares a partition's checkpoint with the last event up to its position.
pub(super) fn checkpoint(found: &Checkpoint, last: Option<Last>, findings: &mut Findings) {
    let expected = match last {
        Some(Last { position, event_id, recorded_at }) => {
            (position, Some(event_id), Some(recorded_at))
        }
        None => (0, None, None),
    };
    let found_row = (found.position, found.event_id, found.recorded_at);
    if expected != found_row {
        findings.add(|| Difference {
            expected: checkpoint_row(expected),
            found: checkpoint_row(found_row),
            ..Difference::new(DifferenceKind::Checkpoint, found.partition, None, None)
        });
    }
}

fn checkpoint_row(row: (i64, Option<Uuid>, Option<Timestamp>)) -> Value {
    json!({ "position": row.0, "event_id": row.1, "recorded_at": row.2 })
}

fn quarantined_row(row: (i64, Option<Uuid>)) -> Value {
    json!({ "version": row.0, "event_id": row.1 })
}

/// Compares the version and document of a quarantined event with the log's event.
pub(super) fn quarantined(
    event: &RecordedEvent,
    found: Option<&(Uuid, i64, Vec<u8>)>,
    findings: &mut Findings,
) {
    let partition = event.position.partition;
    let of = |what| Difference::new(what, partition, Some(event.account_id), Some(event.version));
    let expected = (event.version, Some(event.event_id));
    let Some((_, version, document)) = found else {
        let expected = json!({ "event_id": event.event_id, "position": event.position });
        findings.add(|| Difference { expected, ..of(DifferenceKind::QuarantineMissing) });
        return;
    };
    let found = (*version, cloud_event::decode(document).ok().map(|read| read.event.event_id));
    if found != expected {
        findings.add(|| Difference {
            expected: quarantined_row(expected),
            found: quarantined_row(found),
            ..of(DifferenceKind::QuarantineDiffers)
        });
    }
}

#[cfg(test)]
mod tests;
