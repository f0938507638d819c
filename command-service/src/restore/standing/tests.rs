use passbook_shared::health::CheckState;

use super::*;

pub(crate) fn fork(partition: Partition) -> Fork {
    let reason = format!("reason {partition}");
    Fork { partition, log_position: 10, topic_position: 12, reason }
}

/// Returns a standing with forks of partitions.
pub(crate) fn forked(partitions: impl IntoIterator<Item = Partition>) -> Standing {
    let standing = Standing::new(Health::default());
    let forks = partitions.into_iter().map(|partition| (partition, fork(partition))).collect();
    standing.take(Known { epoch: 3, forks });
    standing
}

#[test]
fn a_fork_is_found_by_its_partition() {
    let standing = forked([2, 5].map(Partition::new));
    assert!(standing.has_forks() && !forked([]).has_forks());
    assert_eq!(standing.epoch(), 3);
    assert_eq!(standing.fork([5].map(Partition::new)), Some(fork(Partition::new(5))));
    assert_eq!(
        standing.fork([1, 5, 2].map(Partition::new)),
        Some(fork(Partition::new(5))),
        "the first one of those asked for"
    );
    assert_eq!(standing.fork([0, 1, 3].map(Partition::new)), None);
    assert_eq!(standing.fork([]), None);
}

#[test]
fn readiness_names_three_forks_and_counts_the_others() {
    let reason = |standing: &Standing| {
        let check = standing.health.checks().remove("log").unwrap();
        (check.state, check.reason.unwrap_or_default())
    };
    assert_eq!(reason(&forked([])), (CheckState::Ok, String::new()));
    let (state, three) = reason(&forked([1, 2, 3].map(Partition::new)));
    assert_eq!(state, CheckState::Failing);
    assert!(three.contains("partition 3 (the log ends at 10, the topic at 12): reason 3"));
    assert!(!three.contains("more partitions"), "{three}");
    let (_, five) = reason(&forked([1, 2, 3, 4, 5].map(Partition::new)));
    assert!(five.ends_with("; and 2 more partitions") && !five.contains("reason 4"), "{five}");
    let standing = forked([1].map(Partition::new));
    standing.take(Known::default());
    assert_eq!(reason(&standing).0, CheckState::Ok);
}
