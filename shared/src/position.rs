//! Position of an event in the log.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::partition::Partition;

/// Position of an event in the log, written `3-1042`. Numbers within a partition have no gaps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// Partition of the log.
    pub partition: Partition,
    /// Number within the partition, from 1. 0 is before the first event.
    pub number: i64,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.partition, self.number)
    }
}

impl FromStr for Position {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // `parse` alone would accept a sign.
        let digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
        text.split_once('-')
            .filter(|(partition, number)| digits(partition) && digits(number))
            .and_then(|(partition, number)| {
                Some(Self { partition: partition.parse().ok()?, number: number.parse().ok()? })
            })
            .ok_or_else(|| format!("`{text}` is not a position such as 3-1042"))
    }
}

impl Serialize for Position {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Position {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests;
