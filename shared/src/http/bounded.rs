//! Bounded integers in queries and bodies.

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Deserializer, de};

/// Integer from `MIN` to `MAX` in a query, in decimal digits only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueryInt<const MIN: i64, const MAX: i64>(i64);

/// Largest integer that every JSON parser reads exactly.
pub const LARGEST: i64 = crate::money::MAX_AMOUNT;

impl<const MIN: i64, const MAX: i64> QueryInt<MIN, MAX> {
    /// Returns the integer.
    pub fn get(self) -> i64 {
        self.0
    }
}

impl<'de, const MIN: i64, const MAX: i64> Deserialize<'de> for QueryInt<MIN, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        // `parse` alone would accept a sign.
        let digits =
            Some(&text).filter(|text| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()));
        digits
            .and_then(|text| text.parse().ok())
            .filter(|number| (MIN..=MAX).contains(number))
            .map(Self)
            .ok_or_else(|| de::Error::custom(format!("must be a whole number from {MIN} to {MAX}")))
    }
}

/// Integer from `MIN` to `MAX` in a JSON body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BodyInt<const MIN: i64, const MAX: i64>(i64);

impl<const MIN: i64, const MAX: i64> BodyInt<MIN, MAX> {
    /// Returns the integer.
    pub fn get(self) -> i64 {
        self.0
    }
}

impl<'de, const MIN: i64, const MAX: i64> Deserialize<'de> for BodyInt<MIN, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_u64(BodyIntVisitor)
    }
}

struct BodyIntVisitor<const MIN: i64, const MAX: i64>;

impl<const MIN: i64, const MAX: i64> de::Visitor<'_> for BodyIntVisitor<MIN, MAX> {
    type Value = BodyInt<MIN, MAX>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a whole number from {MIN} to {MAX}")
    }

    fn visit_i64<E: de::Error>(self, v: i64) -> Result<Self::Value, E> {
        let number = Some(v).filter(|v| (MIN..=MAX).contains(v)).map(BodyInt);
        number.ok_or_else(|| E::invalid_value(de::Unexpected::Signed(v), &self))
    }

    fn visit_u64<E: de::Error>(self, v: u64) -> Result<Self::Value, E> {
        match i64::try_from(v) {
            Ok(v) => self.visit_i64(v),
            Err(_) => Err(E::invalid_value(de::Unexpected::Unsigned(v), &self)),
        }
    }
}
