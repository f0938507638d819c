use proptest::prelude::*;

use super::*;

fn id(number: u128) -> Uuid {
    Uuid::from_u128(number)
}

/// Builds the records of a topic from (position, event, epoch), from offset 0.
fn topic(records: &[(i64, u128, Epoch)]) -> Vec<OwnRecord> {
    let ours = |(offset, (position, event, epoch)): (i64, &(i64, u128, Epoch))| OwnRecord {
        offset,
        position: *position,
        event_id: id(*event),
        epoch: *epoch,
    };
    (0..).zip(records).map(ours).collect()
}

/// Compares a topic with a log in which the event at each position has the position as its id.
fn judged(head: i64, records: &[(i64, u128, Epoch)]) -> Verdict {
    let in_log =
        (1..=head).map(|position| (position, id(position.unsigned_abs().into()))).collect();
    judge(&topic(records), &in_log, 0, true).unwrap()
}

#[test]
fn a_topic_that_continues_with_other_events_forks_at_the_first_of_them() {
    let found = judged(4, &[(1, 1, 0), (2, 2, 0), (3, 93, 0), (4, 94, 0)]);
    assert_eq!(
        (found.position, found.fork.and_then(|fork| fork.first).map(|first| first.position)),
        (2, Some(3))
    );
    assert!(judged(2, &[(1, 1, 0), (2, 2, 0), (3, 3, 0)]).fork.is_some());
}

#[test]
fn a_forged_event_that_the_log_s_own_event_follows_is_no_fork() {
    let found = judged(4, &[(1, 1, 0), (2, 92, 0), (2, 2, 0), (3, 3, 0), (4, 4, 0)]);
    assert_eq!((found.position, found.fork, found.out_of_order), (4, None, 1));
    // An event published before the forged one does not overrule it.
    assert!(judged(3, &[(1, 1, 0), (2, 2, 0), (2, 92, 0), (3, 93, 0)]).fork.is_some());
}

#[test]
fn an_overruled_record_stays_overruled_in_a_new_epoch() {
    let in_log =
        (1..=4).map(|position: i64| (position, id(position.unsigned_abs().into()))).collect();
    let records = topic(&[(1, 1, 0), (2, 2, 0), (3, 93, 0), (3, 3, 0), (4, 4, 0)]);
    for epoch in [0, 1, 5] {
        assert_eq!(judge(&records, &in_log, epoch, true).unwrap().fork, None, "{epoch}");
    }
    // An event of an earlier epoch does not overrule one of a later epoch.
    let records = topic(&[(1, 1, 1), (2, 92, 1), (4, 4, 0)]);
    assert!(judge(&records, &in_log, 1, true).unwrap().fork.is_some());
}

#[test]
fn a_later_epoch_is_a_fork_unless_the_store_s_own_epoch_continues_after_it() {
    assert!(judged(3, &[(1, 1, 0), (2, 2, 0), (2, 2, 1)]).fork.is_some());
    let found = judged(3, &[(1, 1, 0), (2, 2, 0), (1, 1, 1), (3, 3, 0)]);
    assert_eq!((found.position, found.fork, found.latest), (3, None, 0));
    assert_eq!(found.announced, 1, "the topic knows the epoch of an overruled record");
    // A repeat of an event, old or new, does not hide the fork.
    assert!(judged(3, &[(1, 1, 0), (2, 2, 0), (3, 3, 1), (1, 1, 0)]).fork.is_some());
    assert!(judged(3, &[(1, 1, 0), (2, 2, 0), (3, 3, 0), (3, 3, 1), (3, 3, 0)]).fork.is_some());
}

#[test]
fn a_stretch_must_reach_back_to_a_record_of_the_log() {
    let in_log: InLog = [(1, id(1)), (2, id(2)), (3, id(3))].into();
    let judge = |records: &[OwnRecord], is_whole| judge(records, &in_log, 0, is_whole);
    let records = topic(&[(1, 1, 0), (2, 92, 0), (3, 93, 0)]);
    assert!(judge(&records, false).is_some());
    assert_eq!(judge(&records[1..], false), None, "it begins with another event");
    assert!(judge(&records[1..], true).unwrap().fork.is_some());
    assert_eq!(judge(&[], false), None);
    assert_eq!(judge(&[], true), Some(Verdict::default()));
    // What no relay can have written begins nothing.
    let implausible = topic(&[(9, 99, 0), (2, 2, 0), (3, 3, 0)]);
    assert_eq!(judge(&implausible, false).map(|judged| judged.fork), Some(None));
}

#[test]
fn a_fork_reports_its_last_position_and_its_kind() {
    let fork = |head, records: &[(i64, u128, Epoch)]| judged(head, records).fork.unwrap();
    let ahead = fork(2, &[(1, 1, 0), (2, 2, 0), (3, 3, 0), (4, 4, 0), (3, 3, 0)]);
    assert_eq!((ahead.why, ahead.last), (DivergenceKind::Ahead, 4));
    let different = fork(3, &[(1, 1, 0), (2, 92, 0), (3, 93, 0)]);
    let why = DivergenceKind::Different { position: 2, topic: id(92), log: id(2) };
    assert_eq!((different.why, different.last), (why, 3));
    assert_eq!(different.first.map(|first| (first.offset, first.position)), Some((1, 2)));
    // Only the epoch of the first record differs, then its event.
    let later = fork(3, &[(1, 1, 0), (1, 1, 2), (2, 92, 2)]);
    assert_eq!((later.why, later.last), (DivergenceKind::LaterEpoch(2), 2));
    assert_eq!(later.first.map(|first| first.position), Some(2));
    let only_epoch = fork(3, &[(1, 1, 0), (2, 2, 1)]);
    assert_eq!((only_epoch.first, only_epoch.last), (None, 2));
    // An epoch that left the log earlier comes last.
    let two = fork(3, &[(1, 1, 0), (2, 2, 0), (3, 3, 0), (4, 94, 1), (2, 72, 2)]);
    assert_eq!((two.why, two.last), (DivergenceKind::LaterEpoch(1), 4));
}

#[test]
fn a_record_that_continues_nothing_is_out_of_order() {
    // A gap, an offset that is too small, and a position that was reached before.
    let found = judged(9, &[(1, 1, 0), (3, 93, 0), (2, 2, 0), (9, 99, 0), (1, 91, 0), (3, 3, 0)]);
    assert_eq!((found.position, found.fork, found.out_of_order), (3, None, 3));
    // A later epoch may begin anywhere before.
    let later = judged(3, &[(1, 1, 0), (2, 2, 0), (3, 3, 0), (2, 92, 1)]);
    assert_eq!(
        (later.fork.map(|fork| fork.last), later.latest, later.out_of_order),
        (Some(2), 1, 0)
    );
    let gap = judged(3, &[(1, 1, 0), (2, 2, 0), (3, 3, 0), (5, 95, 1)]);
    assert_eq!((gap.fork, gap.latest, gap.announced, gap.out_of_order), (None, 0, 0, 1));
}

/// Writes a topic as relays do: position by position. A relay that starts publishes the last
/// position once more, and may be in a later epoch.
fn written_by_relays(steps: &[(bool, bool)]) -> Vec<(i64, u128, Epoch)> {
    let (mut written, mut position, mut epoch) = (Vec::new(), 0_i64, 0);
    for (restarts, in_new_epoch) in steps {
        if *restarts && position > 0 {
            epoch += Epoch::from(*in_new_epoch);
            written.push((position, position.unsigned_abs().into(), epoch));
        } else {
            position += 1;
            written.push((position, position.unsigned_abs().into(), epoch));
        }
    }
    written
}

proptest! {
    #[test]
    fn what_relays_of_the_log_have_written_is_no_fork(
        steps in prop::collection::vec((prop::bool::weighted(0.3), any::<bool>()), 1..40),
        ahead in 0_i64..5,
    ) {
        let written = written_by_relays(&steps);
        let (last, epoch) = (written.iter().map(|record| record.0).max(), written.last());
        let head = last.unwrap() + ahead;
        let in_log = (1..=head).map(|n| (n, id(n.unsigned_abs().into()))).collect();
        let epoch = epoch.unwrap().2;
        let verdict = judge(&topic(&written), &in_log, epoch, true).unwrap();
        let (position, out_of_order) = (head - ahead, 0);
        let expected =
            Verdict { position, latest: epoch, announced: epoch, fork: None, out_of_order };
        prop_assert_eq!(verdict, expected);
    }

    #[test]
    fn a_log_that_lost_its_end_forks_after_its_last_common_position(
        steps in prop::collection::vec((prop::bool::weighted(0.3), Just(false)), 1..40),
        lost in 1_i64..40,
        written_since in 0_i64..40,
    ) {
        let written = written_by_relays(&steps);
        let last = written.iter().map(|record| record.0).max().unwrap();
        let kept = (last - lost).max(0);
        let ours = (1..=kept).map(|n| (n, id(n.unsigned_abs().into())));
        let other = |n: i64| (n, id(u128::MAX - u128::from(n.unsigned_abs())));
        let others = (kept + 1..=kept + written_since).map(other);
        let verdict = judge(&topic(&written), &ours.chain(others).collect(), 0, true).unwrap();
        let fork = verdict.fork.unwrap();
        prop_assert_eq!(verdict.position, kept);
        prop_assert_eq!(fork.first.map(|first| first.position), Some(kept + 1));
        prop_assert_eq!(fork.last, last);
        let is_ahead = fork.why == DivergenceKind::Ahead;
        prop_assert_eq!(is_ahead, written_since == 0);
    }

    /// One forged record anywhere is never a fork if a relay of the log has published more.
    #[test]
    fn a_forged_record_within_the_topic_is_no_fork(
        count in 2_usize..30,
        place in 0_usize..30,
        position in 1_i64..40,
    ) {
        let mut written = written_by_relays(&vec![(false, false); count]);
        let place = place % count;
        written.insert(place, (position, 1_000, 0));
        let head = i64::try_from(count).unwrap();
        let verdict = judged(head, &written);
        // Beyond the last position, the forged record stays one that a relay might have written.
        let is_next_after_all = position > head;
        if !is_next_after_all {
            prop_assert_eq!((verdict.position, verdict.fork), (head, None));
        }
    }
}
