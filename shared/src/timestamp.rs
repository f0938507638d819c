//! Times as Passbook writes them: RFC 3339, UTC, always with microseconds.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, SecondsFormat, SubsecRound, Utc};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Time in UTC with microseconds, as Postgres stores it, from year 1 to 9999.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, sqlx::Type)]
#[sqlx(transparent)]
pub struct Timestamp(DateTime<Utc>);

impl Timestamp {
    /// Unix epoch, 1970-01-01T00:00:00Z.
    pub const EPOCH: Self = Self(DateTime::UNIX_EPOCH);
    /// Earliest time: the beginning of year 1.
    pub const FIRST: Self = Self(
        DateTime::from_timestamp_micros(-62_135_596_800_000_000)
            .expect("the bounds are within chrono's range"),
    );
    /// Latest time: the end of year 9999.
    pub const LAST: Self = Self(
        DateTime::from_timestamp_micros(253_402_300_799_999_999)
            .expect("the bounds are within chrono's range"),
    );

    /// Returns the current time by the machine's clock.
    #[expect(clippy::disallowed_methods, reason = "the only reader of the machine's clock")]
    pub fn now() -> Self {
        // Postgres keeps microseconds: a finer time would differ from its stored value.
        Self(Utc::now().trunc_subsecs(6))
    }

    /// Returns microseconds since the Unix epoch.
    pub fn as_micros(self) -> i64 {
        self.0.timestamp_micros()
    }

    /// Returns whole milliseconds since the Unix epoch.
    pub fn as_millis(self) -> i64 {
        self.0.timestamp_millis()
    }

    /// Returns the time that is `micros` microseconds after the Unix epoch, unless it is out of
    /// range.
    pub fn from_micros(micros: i64) -> Option<Self> {
        DateTime::from_timestamp_micros(micros).filter(in_range).map(Self)
    }

    /// Converts to chrono's type.
    pub fn to_utc(self) -> DateTime<Utc> {
        self.0
    }
}

fn in_range(moment: &DateTime<Utc>) -> bool {
    use chrono::Datelike;
    (1..=9999).contains(&moment.year())
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.to_rfc3339_opts(SecondsFormat::Micros, true))
    }
}

impl FromStr for Timestamp {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        DateTime::parse_from_rfc3339(text)
            .map(|moment| moment.to_utc().trunc_subsecs(6))
            .ok()
            .filter(in_range)
            // Postgres has no leap seconds.
            .filter(|moment| moment.timestamp_subsec_nanos() < 1_000_000_000)
            .map(Self)
            .ok_or_else(|| {
                format!("`{text}` is not an RFC 3339 time such as 2026-11-24T12:00:00.000000Z")
            })
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests;
