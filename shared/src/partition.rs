//! Partition of an account. Kafka's default partitioner picks it from the account id, for the log
//! in Postgres too, so that clients in any language compute the same partition.

use uuid::Uuid;

/// Partition of the log, from 0. The topic's partition has the same number.
pub type Partition = i16;

/// Returns the partition of an account in a log of `partitions` partitions: murmur2 of the id as
/// text (36 characters), with the sign bit cleared, modulo the count.
/// `BuiltInPartitioner.partitionForKey` of Kafka's Java client does the same.
///
/// # Panics
/// Panics if `partitions` is not positive.
pub fn partition_of(account_id: Uuid, partitions: Partition) -> Partition {
    assert!(partitions > 0, "a log has at least one partition");
    let mut text = [0; 36];
    let key = account_id.hyphenated().encode_lower(&mut text).as_bytes();
    let hash = murmur2(key) & 0x7fff_ffff;
    #[expect(clippy::cast_possible_truncation, reason = "less than `partitions`, which is an i16")]
    let partition = (hash % u32::from(partitions.unsigned_abs())) as Partition;
    partition
}

/// 32-bit murmur2 with Kafka's seed (`org.apache.kafka.common.utils.Utils.murmur2`).
fn murmur2(data: &[u8]) -> u32 {
    const SEED: u32 = 0x9747_b28c;
    const M: u32 = 0x5bd1_e995;
    #[expect(clippy::cast_possible_truncation, reason = "keys are far shorter than 4 GiB")]
    let mut hash = SEED ^ data.len() as u32;
    let (words, rest) = data.as_chunks::<4>();
    for word in words {
        let mut k = u32::from_le_bytes(*word).wrapping_mul(M);
        k ^= k >> 24;
        hash = hash.wrapping_mul(M) ^ k.wrapping_mul(M);
    }
    for (n, byte) in rest.iter().enumerate() {
        hash ^= u32::from(*byte) << (8 * n);
    }
    if !rest.is_empty() {
        hash = hash.wrapping_mul(M);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(M);
    hash ^ (hash >> 15)
}

#[cfg(test)]
mod tests;
