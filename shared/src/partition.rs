//! Partition of an account. Kafka's default partitioner picks it from the account id, for the log
//! in Postgres too, so that clients in any language compute the same partition.

use std::fmt;
use std::num::{NonZeroU16, ParseIntError, TryFromIntError};
use std::ops::RangeInclusive;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Partition of the log, from 0. The topic's partition has the same number.
///
/// Decoding accepts every `smallint`, because `verify` reports rows whose partition is wrong.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, sqlx::Type,
)]
#[serde(transparent)]
#[sqlx(transparent)]
pub struct Partition(i16);

impl Partition {
    /// Returns the partition with a small number. Conversions of larger numbers can fail.
    pub const fn new(number: u8) -> Self {
        Self(number as i16)
    }

    /// Returns the number of the partition.
    pub const fn get(self) -> i16 {
        self.0
    }

    /// Returns the index in a list of all partitions. A negative number is beyond every list.
    pub fn index(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

/// Number of partitions of a log, at least 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, sqlx::Type)]
#[serde(try_from = "i16")]
#[sqlx(transparent)]
pub struct PartitionCount(i16);

impl PartitionCount {
    /// Number of partitions of a new log for which none is given: as many instances of the
    /// projection-service can share the work. Each partition more costs processor time with every
    /// batch (docs/BENCHMARK.md), and the number is fixed once the log exists.
    pub const DEFAULT: Self = Self(4);
    /// Bounds of the number of partitions of a new log.
    const BOUNDS: RangeInclusive<i64> = 1..=1_000;

    /// Returns a small number of partitions. Conversions of larger numbers can fail.
    ///
    /// # Panics
    /// Panics if `count` is 0.
    pub const fn new(count: u8) -> Self {
        assert!(count > 0, "a log has at least one partition");
        Self(count as i16)
    }

    /// Returns the number.
    pub const fn get(self) -> u16 {
        self.0.unsigned_abs()
    }

    /// Returns all partitions, in ascending order.
    pub fn all(self) -> impl Iterator<Item = Partition> + Clone {
        (0..self.0).map(Partition)
    }

    /// Returns true if `partition` is one of the log.
    pub fn contains(self, partition: Partition) -> bool {
        (0..self.0).contains(&partition.0)
    }

    /// Returns the partition with the largest number.
    pub fn last(self) -> Partition {
        Partition(self.0 - 1)
    }
}

/// Returns the partition of an account: murmur2 of the id as text (36 characters), with the sign
/// bit cleared, modulo the number of partitions. `BuiltInPartitioner.partitionForKey` of Kafka's
/// Java client does the same.
pub fn partition_of(account_id: Uuid, partitions: PartitionCount) -> Partition {
    let mut text = [0; 36];
    let key = account_id.hyphenated().encode_lower(&mut text).as_bytes();
    let hash = murmur2(key) & 0x7fff_ffff;
    #[expect(clippy::cast_possible_truncation, reason = "less than `partitions`, which is an i16")]
    let partition = (hash % u32::from(partitions.get())) as i16;
    Partition(partition)
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

impl fmt::Display for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Partition {
    type Err = ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

/// Conversion from Kafka's type.
impl TryFrom<i32> for Partition {
    type Error = TryFromIntError;

    fn try_from(number: i32) -> Result<Self, Self::Error> {
        u16::try_from(number)?.try_into().map(Self)
    }
}

/// Conversion to Kafka's type.
impl From<Partition> for i32 {
    fn from(partition: Partition) -> Self {
        partition.0.into()
    }
}

impl fmt::Display for PartitionCount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Parses the number of partitions of a new log.
impl FromStr for PartitionCount {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let count: i64 = text.parse().map_err(|error: ParseIntError| error.to_string())?;
        let valid = i16::try_from(count).ok().filter(|_| Self::BOUNDS.contains(&count));
        valid.map(Self).ok_or_else(|| format!("{count} is not in {:?}", Self::BOUNDS))
    }
}

impl TryFrom<i16> for PartitionCount {
    type Error = TryFromIntError;

    fn try_from(count: i16) -> Result<Self, Self::Error> {
        NonZeroU16::try_from(u16::try_from(count)?)?;
        Ok(Self(count))
    }
}

/// Conversion from the length of a list.
impl TryFrom<usize> for PartitionCount {
    type Error = TryFromIntError;

    fn try_from(count: usize) -> Result<Self, Self::Error> {
        i16::try_from(count)?.try_into()
    }
}

#[cfg(test)]
mod tests;
