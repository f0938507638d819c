use passbook_shared::store_description::Fork;
use proptest::prelude::*;

use super::*;
use crate::restore::survey::SurveyedFork;

fn surveyed(partition: u8, kept: i64) -> SurveyedFork {
    let reason = "for a reason".to_owned();
    let partition = Partition::new(partition);
    let fork = Fork { partition, log_position: 20, topic_position: 30, reason };
    SurveyedFork { fork, kept, events: Vec::new(), has_more: false }
}

pub(crate) fn survey(epoch: Epoch, forks: Vec<SurveyedFork>) -> Survey {
    Survey { epoch, latest: epoch, forks, in_topic: BTreeMap::new() }
}

fn survey_of(forks: &[(u8, i64)], in_topic: &[(u8, i64)]) -> Survey {
    let forks = forks.iter().map(|(partition, kept)| surveyed(*partition, *kept)).collect();
    let in_topic = in_topic.iter().map(|(partition, end)| (Partition::new(*partition), *end));
    Survey { in_topic: in_topic.collect(), ..survey(0, forks) }
}

fn announced(survey: &Survey) -> Vec<(usize, i64)> {
    let kept = survey.forks.iter().map(|fork| (fork.fork.partition, fork.kept)).collect();
    let announced = announced_positions(survey, &kept).into_iter();
    announced.map(|(partition, position)| (partition.index(), position)).collect()
}

#[test]
fn each_fork_is_announced_by_its_last_kept_event() {
    let in_topic = [(0, 9), (1, 12), (2, 3), (3, 5)];
    assert_eq!(announced(&survey_of(&[(1, 10)], &in_topic)), [(1, 10)]);
    // The topic may end before the last kept position, and it may keep nothing.
    let three = survey_of(&[(0, 15), (2, 3), (3, 0)], &in_topic);
    assert_eq!(announced(&three), [(0, 9), (2, 3), (3, 1)]);
}

#[test]
fn without_a_fork_any_partition_that_the_topic_has_announces_the_epoch() {
    assert_eq!(announced(&survey_of(&[], &[(0, 0), (1, 7), (2, 8)])), [(1, 7)]);
    assert_eq!(announced(&survey_of(&[], &[(0, 0), (1, 0)])), []);
}

#[test]
fn a_new_epoch_is_later_than_all_that_are_known_and_not_much_later() {
    let new = |latest, above| new_epoch(latest, above).ok();
    assert_eq!((new(0, 0), new(4, 0), new(4, 4), new(4, 9)), (Some(1), Some(5), Some(5), Some(10)));
    assert_eq!(new(4, 4 + epoch::MOST_AHEAD), Some(5 + epoch::MOST_AHEAD));
    let too_far = new_epoch(4, 5 + epoch::MOST_AHEAD);
    assert!(matches!(too_far, Err(AcceptError::EpochTooFar { latest: 4 })));
    assert_eq!(new(epoch::LARGEST - 1, 0), Some(epoch::LARGEST));
    assert!(matches!(new_epoch(epoch::LARGEST, 0), Err(AcceptError::NoEpochLeft)));
}

#[test]
fn a_fork_is_accepted_by_its_positions() {
    let survey = survey_of(&[(1, 10), (4, 0)], &[]);
    let reference = |partition| ForkRef {
        partition: Partition::new(partition),
        log_position: 20,
        topic_position: 30,
    };
    assert_eq!(survey.fork_refs(), [reference(1), reference(4)]);
}

proptest! {
    /// A gap or an event beyond what is kept would make the announcement a fork itself.
    #[test]
    fn an_announcement_neither_leaves_a_hole_nor_goes_beyond_what_is_kept(
        partitions in prop::collection::btree_map(
            0..6_u8,
            (any::<bool>(), 0..9_i64, 0..9_i64),
            0..6,
        ),
    ) {
        let in_topic: Vec<(u8, i64)> =
            partitions.iter().map(|(partition, (_, _, there))| (*partition, *there)).collect();
        let forks: Vec<(u8, i64)> = partitions
            .iter()
            .filter(|(_, (is_forked, _, _))| *is_forked)
            .map(|(partition, (_, kept, _))| (*partition, *kept))
            .collect();
        let announced = announced(&survey_of(&forks, &in_topic));
        if !forks.is_empty() {
            let forked: Vec<usize> = forks.iter().map(|fork| fork.0.into()).collect();
            let chosen: Vec<usize> = announced.iter().map(|position| position.0).collect();
            prop_assert_eq!(chosen, forked);
        }
        for (partition, position) in announced {
            let (is_forked, kept, there) = partitions[&u8::try_from(partition).unwrap()];
            prop_assert!((1..=there.max(1)).contains(&position));
            prop_assert!(!is_forked || position <= kept.max(1));
        }
    }
}
