use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

proptest! {
    #[test]
    fn a_partition_is_one_of_those_that_exist(id: u128, count in 1..=1_000_i16) {
        let partitions = PartitionCount::try_from(count).unwrap();
        let partition = partition_of(Uuid::from_u128(id), partitions);
        prop_assert!(partitions.contains(partition));
        prop_assert_eq!(partition_of(Uuid::from_u128(id), partitions), partition);
    }
}

/// The vectors of Kafka's own `UtilsTest.testMurmur2`.
#[test]
fn murmur2_agrees_with_kafka() {
    for (key, hash) in [
        ("21", -973_932_308_i32),
        ("foobar", -790_332_482),
        ("a-little-bit-long-string", -985_981_536),
        ("a-little-bit-longer-string", -1_486_304_829),
        ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
        ("abc", 479_470_107),
    ] {
        assert_eq!(murmur2(key.as_bytes()), hash.cast_unsigned(), "{key}");
    }
}

/// Computed by another implementation of murmur2. An account must never change its partition.
#[test]
fn the_partition_of_an_account_is_the_one_that_clients_compute() {
    for (id, partitions) in [
        (0, [0, 0, 9, 837]),
        (1, [0, 2, 2, 330]),
        (2, [0, 2, 5, 645]),
        (7, [0, 2, 8, 252]),
        (u128::MAX, [0, 0, 6, 426]),
        (0x019b_3a2e_6f4a_7d3e_9b1a_5c8e_2f7a_4b60, [0, 1, 10, 634]),
    ] {
        let of = [1, 3, 12, 1_000_i16]
            .map(|count| partition_of(Uuid::from_u128(id), count.try_into().unwrap()).get());
        assert_eq!(of, partitions, "{id:x}");
    }
}

#[test]
fn accounts_spread_over_all_partitions_and_none_beyond() {
    let mut seen = [0_u32; 12];
    for n in 0..12_000_u128 {
        seen[partition_of(Uuid::from_u128(n), PartitionCount::new(12)).index()] += 1;
    }
    assert!(seen.iter().all(|n| (800..1200).contains(n)), "{seen:?}");
}

#[test]
#[should_panic(expected = "a log has at least one partition")]
fn a_log_without_partitions_is_a_defect() {
    PartitionCount::new(0);
}

#[test]
fn a_number_of_partitions_is_at_least_one() {
    let parsed = |text: &str| text.parse::<PartitionCount>();
    assert_eq!(parsed("12"), Ok(PartitionCount::new(12)));
    assert_eq!(parsed("1000").map(PartitionCount::get), Ok(1_000));
    assert_eq!(parsed("0"), Err("0 is not in 1..=1000".to_owned()));
    assert_eq!(parsed("65548"), Err("65548 is not in 1..=1000".to_owned()));
    assert_eq!(parsed("many"), Err("invalid digit found in string".to_owned()));
    let read = serde_json::from_str::<PartitionCount>;
    assert_eq!(read("12").unwrap(), PartitionCount::new(12));
    assert!(read("0").is_err() && read("-1").is_err());
    assert_eq!(PartitionCount::try_from(12_usize), Ok(PartitionCount::new(12)));
    assert!([0, 65_548_usize].iter().all(|count| PartitionCount::try_from(*count).is_err()));
}

#[test]
fn a_log_has_the_partitions_from_0_to_the_last() {
    let three = PartitionCount::new(3);
    let partitions: Vec<Partition> = three.all().collect();
    assert_eq!(partitions, [0, 1, 2].map(Partition::new));
    assert_eq!((three.last(), three.get()), (Partition::new(2), 3));
    assert!(partitions.iter().zip(0..).all(|(partition, index)| partition.index() == index));
    let negative: Partition = serde_json::from_str("-1").unwrap();
    assert!(!three.contains(Partition::new(3)) && !three.contains(negative));
    assert_eq!(negative.index(), usize::MAX);
    assert!(Partition::try_from(-1_i32).is_err() && Partition::try_from(40_000_i32).is_err());
}

#[test]
fn a_partition_is_written_as_a_number() {
    let offsets = BTreeMap::from([(Partition::new(3), PartitionCount(7))]);
    let text = serde_json::to_string(&offsets).unwrap();
    assert_eq!(text, r#"{"3":7}"#);
    assert_eq!(serde_json::from_str::<BTreeMap<_, _>>(&text).unwrap(), offsets);
    assert_eq!(format!("{} of {}", Partition::new(3), PartitionCount(7)), "3 of 7");
}
