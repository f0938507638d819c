use uuid::Uuid;

use super::*;

fn id(number: i64) -> Uuid {
    Uuid::from_u128(number.unsigned_abs().into())
}

/// Builds the records of a topic from (position, event, epoch), from offset 0.
fn topic(records: &[(i64, i64, Epoch)]) -> Vec<OwnRecord> {
    let record = |(offset, (position, event, epoch)): (i64, &(i64, i64, Epoch))| OwnRecord {
        offset,
        position: *position,
        event_id: id(*event),
        epoch: *epoch,
    };
    (0..).zip(records).map(record).collect()
}

/// Returns the position at which a topic leaves a log whose events have their positions as ids.
fn leaves(
    head: i64,
    (epoch, latest): (Epoch, Epoch),
    records: &[(i64, i64, Epoch)],
) -> Option<i64> {
    let in_log = (1..=head).map(|position| (position, id(position))).collect();
    first_of_epochs(&topic(records), &in_log, epoch, latest).map(|first| first.position)
}

#[test]
fn a_topic_leaves_the_log_at_its_first_other_event() {
    let records = [(1, 1, 0), (2, 2, 0), (3, 93, 0), (4, 94, 0)];
    assert_eq!(leaves(2, (0, 0), &records), Some(3));
    assert_eq!(leaves(9, (0, 0), &records), Some(3));
    assert_eq!(leaves(2, (0, 0), &records[..2]), None);
}

#[test]
fn each_epoch_leaves_the_log_at_its_own_position_and_the_smallest_counts() {
    // Epoch 1 kept position 2, epoch 2 kept position 1.
    let records = [
        (1, 1, 0),
        (2, 2, 0),
        (3, 93, 0),
        (2, 2, 1),
        (3, 83, 1),
        (1, 1, 2),
        (2, 72, 2),
        (3, 73, 2),
    ];
    assert_eq!(leaves(2, (0, 2), &records), Some(2));
    assert_eq!(leaves(2, (0, 1), &records[..5]), Some(3));
    // In the last epoch, the records of all later ones count.
    assert_eq!(leaves(2, (1, 1), &[(1, 1, 1), (2, 2, 1), (3, 83, 2)]), Some(3));
}

#[test]
fn an_epoch_without_other_events_leaves_nothing() {
    let records = [(1, 1, 0), (2, 2, 0), (2, 2, 1), (3, 3, 1), (3, 3, 3)];
    assert_eq!(leaves(3, (0, 3), &records), None);
    assert_eq!(leaves(3, (0, 0), &[]), None);
}
