use serde_json::json;

use super::*;

#[test]
fn the_restores_of_a_partition_are_those_that_kept_a_part_of_it() {
    let [first, second, third] = [0, 1, 2].map(Partition::new);
    let kept = |partition, position| Kept { partition, position };
    let restore = |epoch, kept| Restore { epoch, accepted_at: Timestamp::EPOCH, kept };
    let store = StoreDescription {
        store_id: Uuid::nil(),
        partitions: PartitionCount::new(3),
        epoch: 2,
        restores: vec![
            restore(1, vec![kept(first, 8), kept(second, 5)]),
            restore(2, vec![kept(second, 0), kept(first, 6)]),
        ],
        forks: Vec::new(),
    };
    assert_eq!(store.restores_of(first), [(1, 8), (2, 6)].into_iter().collect());
    assert_eq!(store.restores_of(second), [(1, 5), (2, 0)].into_iter().collect());
    assert_eq!(store.restores_of(third), Restores::default());
    let json = serde_json::to_value(&store).unwrap();
    assert_eq!(json["restores"][0]["kept"][1], json!({"partition": 1, "position": 5}));
    assert_eq!(json["restores"][1]["accepted_at"], "1970-01-01T00:00:00.000000Z");
    assert_eq!(serde_json::from_value::<StoreDescription>(json).unwrap(), store);
}
