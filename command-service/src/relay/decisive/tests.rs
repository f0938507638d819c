use proptest::prelude::*;

use super::*;
use crate::relay::judge::judge;

fn id(number: i64) -> Uuid {
    Uuid::from_u128(number.unsigned_abs().into())
}

#[test]
fn an_exact_mirror_is_reduced_to_few_records() {
    let mut decisive = DecisiveRecords::new(0);
    for page in (0..10).rev() {
        let positions = page * 1_000 + 1..=(page + 1) * 1_000;
        let ours = |n| OwnRecord { offset: n - 1, position: n, event_id: id(n), epoch: 0 };
        decisive.put_before(
            positions.clone().map(ours).collect(),
            positions.map(|n| (n, id(n))).collect(),
        );
    }
    assert!(decisive.records.len() <= 4 && decisive.in_log.len() <= 4, "{decisive:?}");
    assert_eq!((decisive.last_in_common(), decisive.count_not_in_log()), (10_000, 0));
}

#[test]
fn an_earlier_record_may_contradict_the_last_common_position() {
    let record =
        |offset, position, event, epoch| OwnRecord { offset, position, event_id: id(event), epoch };
    let topic = [record(0, 1, 1, 1), record(1, 2, 92, 1), record(2, 2, 2, 0)];
    let in_log: InLog = [(1, id(1)), (2, id(2))].into();
    let has_fork = |records| judge(records, &in_log, 1, true).unwrap().fork.is_some();
    assert!(has_fork(&topic) && !has_fork(&topic[2..]));
    let mut decisive = DecisiveRecords::new(1);
    decisive.put_before(topic[2..].to_vec(), vec![(2, id(2))]);
    assert!(!decisive.outweigh(2) && decisive.outweigh(1));
}

proptest! {
    #[test]
    fn the_reduction_has_the_same_verdict(
        written in prop::collection::vec((1_i64..12, prop::bool::weighted(0.7), 0..3), 1..30),
        head in 0_i64..12,
        page in 1_usize..8,
    ) {
        let record = |(offset, &(position, is_ours, epoch)): (i64, &(i64, bool, i32))| {
            let event_id = if is_ours { id(position) } else { id(position + 100 + offset) };
            OwnRecord { offset, position, event_id, epoch }
        };
        let records: Vec<OwnRecord> = (0..).zip(&written).map(record).collect();
        let in_log: InLog = (1..=head).map(|position| (position, id(position))).collect();
        let mut decisive = DecisiveRecords::new(1);
        for page in records.rchunks(page) {
            let there = page.iter().filter_map(|record| in_log.get_key_value(&record.position));
            let there = there.map(|(position, event)| (*position, *event)).collect();
            decisive.put_before(page.to_vec(), there);
        }
        let reduced = judge(&decisive.records, &decisive.in_log, 1, true);
        prop_assert_eq!(judge(&records, &in_log, 1, true), reduced);
    }
}

#[test]
fn only_plausible_records_that_the_log_lacks_are_counted() {
    let record =
        |offset, position, event, epoch| OwnRecord { offset, position, event_id: id(event), epoch };
    let mut decisive = DecisiveRecords::new(1);
    let records = vec![
        record(0, 1, 1, 0),
        record(1, 2, 92, 0),
        record(2, 9, 99, 0),
        record(3, 2, 2, 2),
        record(4, 3, 3, 1),
    ];
    decisive.put_before(records, (1..=3).map(|n| (n, id(n))).collect());
    // Another event, and the log's event in an epoch that the log does not know.
    assert_eq!((decisive.count_not_in_log(), decisive.last_in_common()), (2, 3));
    let offsets: Vec<i64> = decisive.records.iter().map(|record| record.offset).collect();
    assert_eq!(offsets, [0, 1, 2, 3, 4]);
    assert!(decisive.outweigh(2) && !decisive.outweigh(3));
}

#[test]
fn nothing_is_certain_without_a_common_record() {
    let mut decisive = DecisiveRecords::new(0);
    assert_eq!((decisive.last_in_common(), decisive.outweigh(0)), (0, false));
    let foreign = OwnRecord { offset: 7, position: 3, event_id: id(93), epoch: 0 };
    decisive.put_before(vec![foreign], vec![(3, id(3))]);
    assert_eq!((decisive.last_in_common(), decisive.outweigh(0)), (0, false));
}
