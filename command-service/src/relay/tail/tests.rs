use super::*;
use crate::relay::reader::tests::nowhere;

#[test]
fn counts_of_stretches_add_up() {
    let (first, second) = (Uuid::from_u128(1), Uuid::from_u128(2));
    let mut sum = PassedOver {
        unauthentic: 5,
        unreadable: 1,
        foreign: 2,
        other_store: Some(first),
        misplaced: 3,
        out_of_order: 4,
    };
    let more = PassedOver {
        unauthentic: 50,
        unreadable: 10,
        foreign: 20,
        other_store: None,
        misplaced: 30,
        out_of_order: 0,
    };
    sum.add(&more);
    assert_eq!((sum.unauthentic, sum.unreadable), (55, 11));
    assert_eq!((sum.foreign, sum.misplaced), (22, 33));
    assert_eq!(sum.other_store, Some(first), "a stretch without other stores changes nothing");
    sum.add(&PassedOver { other_store: Some(second), ..PassedOver::default() });
    assert_eq!(sum.other_store, Some(second));
}

#[test]
fn a_fork_describes_its_divergence() {
    let fork = |why| Divergence { first: None, last: 12, why }.fork(Partition::new(3), 10, 1);
    let [topic, log] = [Uuid::from_u128(1), Uuid::from_u128(2)];
    for (why, reason) in [
        (DivergenceKind::Ahead, "the topic ends at position 12, the log at 10".to_owned()),
        (
            DivergenceKind::Different { position: 9, topic, log },
            format!("at position 9, the topic has event {topic} and the log has event {log}"),
        ),
        (
            DivergenceKind::LaterEpoch(4),
            "the topic is in epoch 4 and the log in epoch 1: the backup is from before an accepted \
             restore"
                .to_owned(),
        ),
    ] {
        let partition = Partition::new(3);
        let expected = Fork { partition, log_position: 10, topic_position: 12, reason };
        assert_eq!(fork(why), expected);
    }
}

#[test]
fn a_partition_without_accepted_restores_has_voided_nothing() {
    let [restored, other] = [2, 3].map(Partition::new);
    let restores = BTreeMap::from([(restored, Restores::from_iter([(1, 7)]))]);
    let tail = Tail::new(&nowhere(), Uuid::nil(), 1, restores).unwrap();
    let restores = tail.restores_of(restored);
    assert!(restores.voided(0, 8) && !restores.voided(0, 7));
    assert_eq!(tail.restores_of(other), Restores::default());
}
