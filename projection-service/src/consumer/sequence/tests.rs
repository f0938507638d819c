use super::*;

const OURS: Partition = Partition::new(3);

/// Id of the event at a position.
fn id(position: i64) -> Uuid {
    Uuid::from_u128(position.unsigned_abs().into())
}

fn at(position: i64, offset: Option<i64>) -> Sequence {
    Sequence::new(&[Checkpoint {
        partition: OURS,
        position,
        epoch: 0,
        kafka_offset: offset,
        event_id: (position > 0).then(|| id(position)),
        recorded_at: None,
    }])
}

fn offset(sequence: &Sequence) -> Option<i64> {
    sequence.tracks[&OURS].offset
}

#[test]
fn only_what_is_next_is_accepted_and_repeats_are_skipped() {
    let mut sequence = at(0, None);
    assert_eq!(sequence.of_topic(OURS, 1, id(1), 0), Verdict::Next);
    assert_eq!(sequence.of_topic(OURS, 1, id(1), 1), Verdict::Repeat);
    assert_eq!(sequence.of_topic(OURS, 2, id(2), 2), Verdict::Next);
    assert_eq!(
        sequence.of_topic(Partition::new(4), 1, id(1), 0),
        Verdict::Skip,
        "a partition that is not ours"
    );
    assert_eq!((sequence.accepted(OURS), offset(&sequence)), (Some(2), Some(3)));
}

#[test]
fn a_gap_is_named_once_and_what_is_behind_it_comes_from_the_log() {
    let mut sequence = at(5, Some(5));
    assert_eq!(
        sequence.of_topic(OURS, 8, id(8), 7),
        Verdict::Gap(Gap { after: 5, target: 8, last: 7 })
    );
    assert_eq!(sequence.of_topic(OURS, 9, id(9), 8), Verdict::Skip);
    let gap = Some(Gap { after: 5, target: 9, last: 8 });
    assert_eq!(
        (sequence.gap(OURS), offset(&sequence)),
        (gap, Some(5)),
        "a restart would read the gap again"
    );
    // A repeat or an unusable record does not count as a record after the gap.
    assert_eq!(sequence.of_topic(OURS, 5, id(5), 9), Verdict::Repeat);
    assert!(sequence.unusable(OURS, 10));
    assert_eq!(sequence.gap(OURS), gap);
    for position in 6..=9 {
        assert_eq!(sequence.of_log(OURS, position, id(position)), Verdict::Next);
    }
    assert_eq!((sequence.gap(OURS), offset(&sequence)), (None, Some(11)));
    assert_eq!(sequence.of_topic(OURS, 10, id(10), 11), Verdict::Next);
}

#[test]
fn a_log_that_is_ahead_of_the_topic_makes_its_records_repeats() {
    let mut sequence = at(5, Some(5));
    assert_eq!(
        sequence.of_topic(OURS, 7, id(7), 6),
        Verdict::Gap(Gap { after: 5, target: 7, last: 6 })
    );
    for position in 6..=20 {
        sequence.of_log(OURS, position, id(position));
    }
    assert_eq!(sequence.of_topic(OURS, 8, id(8), 7), Verdict::Repeat);
    assert_eq!(sequence.of_topic(OURS, 21, id(21), 20), Verdict::Next);
}

#[test]
fn a_topic_made_anew_is_read_from_its_beginning_without_effect_until_it_has_what_is_next() {
    let mut sequence = at(5, Some(40));
    for position in 1..=5 {
        assert_eq!(sequence.of_topic(OURS, position, id(position), position - 1), Verdict::Repeat);
    }
    assert_eq!(offset(&sequence), Some(5));
    assert_eq!(sequence.of_topic(OURS, 6, id(6), 5), Verdict::Next);
}

#[test]
fn a_record_that_is_not_used_moves_only_the_offset() {
    let mut sequence = at(5, Some(5));
    assert!(sequence.unusable(OURS, 5));
    assert_eq!((sequence.accepted(OURS), offset(&sequence)), (Some(5), Some(6)));
    assert!(sequence.has_moved());
    assert!(!sequence.unusable(Partition::new(4), 5));
}

#[test]
fn a_record_beyond_the_end_of_the_log_holds_nothing_up() {
    let mut sequence = at(5, Some(5));
    assert_eq!(
        sequence.of_topic(OURS, i64::MAX, id(1), 5),
        Verdict::Gap(Gap { after: 5, target: i64::MAX, last: 5 })
    );
    assert_eq!(
        sequence.of_topic(OURS, 6, id(6), 6),
        Verdict::Next,
        "while the log is asked, what is next is taken"
    );
    assert_eq!(sequence.of_topic(OURS, 900, id(2), 7), Verdict::Skip);
    assert_eq!(sequence.log_ends(OURS), [5, 7], "two records are of no event");
    assert_eq!(
        (sequence.gap(OURS), offset(&sequence)),
        (None, Some(8)),
        "a restart does not read them again"
    );
    assert_eq!(sequence.of_topic(OURS, 7, id(7), 8), Verdict::Next);
    assert_eq!(sequence.log_ends(OURS), [0_i64; 0]);
}

#[test]
fn another_event_at_a_position_accepted_lately_contradicts_and_moves_only_the_offset() {
    let mut sequence = at(5, Some(5));
    assert_eq!(sequence.of_topic(OURS, 5, id(5), 4), Verdict::Repeat);
    assert_eq!(sequence.of_topic(OURS, 5, id(99), 4), Verdict::Contradicts);
    for position in 6..=9 {
        assert_eq!(sequence.of_topic(OURS, position, id(position), position - 1), Verdict::Next);
    }
    assert_eq!(
        sequence.of_topic(OURS, 6, id(99), 9),
        Verdict::Contradicts,
        "not only at the last position"
    );
    assert_eq!(sequence.of_topic(OURS, 4, id(99), 10), Verdict::Repeat, "as far as is known");
    assert_eq!((sequence.accepted(OURS), offset(&sequence)), (Some(9), Some(11)));
}
