use proptest::prelude::*;

use super::*;

proptest! {
    #[test]
    fn a_partition_is_one_of_those_that_exist(id: u128, partitions in 1..=1_000_i16) {
        let partition = partition_of(Uuid::from_u128(id), partitions);
        prop_assert!((0..partitions).contains(&partition));
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
        let of = [1, 3, 12, 1_000].map(|count| partition_of(Uuid::from_u128(id), count));
        assert_eq!(of, partitions, "{id:x}");
    }
}

#[test]
fn accounts_spread_over_all_partitions_and_none_beyond() {
    let mut seen = [0_u32; 12];
    for n in 0..12_000_u128 {
        let partition = partition_of(Uuid::from_u128(n), 12);
        seen[usize::try_from(partition).unwrap()] += 1;
    }
    assert!(seen.iter().all(|n| (800..1200).contains(n)), "{seen:?}");
}

#[test]
#[should_panic(expected = "a log has at least one partition")]
fn a_log_without_partitions_is_a_defect() {
    partition_of(Uuid::nil(), 0);
}
