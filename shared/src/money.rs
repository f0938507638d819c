//! Money as integers in minor units of an ISO 4217 currency, without floats and rounding.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};

/// Largest amount and largest balance: 2^53 - 1, the largest integer that every JSON reader holds
/// exactly.
pub const MAX_AMOUNT: i64 = 9_007_199_254_740_991;

/// Positive amount in minor units, from 1 to [`MAX_AMOUNT`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Amount(i64);

impl Amount {
    /// Returns the amount if it is from 1 to [`MAX_AMOUNT`].
    pub fn new(minor_units: i64) -> Option<Self> {
        (1..=MAX_AMOUNT).contains(&minor_units).then_some(Self(minor_units))
    }

    /// Returns the number of minor units.
    pub fn get(self) -> i64 {
        self.0
    }
}

impl Serialize for Amount {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_i64(self.0)
    }
}

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_u64(MinorUnits { least: 1 }).map(Self)
    }
}

/// Deserializes an amount that may be 0, in minor units.
///
/// # Errors
/// Fails unless the value is an integer from 0 to [`MAX_AMOUNT`].
pub fn amount_or_zero<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    deserializer.deserialize_u64(MinorUnits { least: 0 })
}

struct MinorUnits {
    least: i64,
}

impl MinorUnits {
    fn checked<E: de::Error>(
        &self,
        value: Option<i64>,
        unexpected: de::Unexpected<'_>,
    ) -> Result<i64, E> {
        value
            .filter(|v| (self.least..=MAX_AMOUNT).contains(v))
            .ok_or_else(|| E::invalid_value(unexpected, self))
    }
}

impl de::Visitor<'_> for MinorUnits {
    type Value = i64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an integer of minor units from {} to {MAX_AMOUNT}", self.least)
    }

    fn visit_i64<E: de::Error>(self, v: i64) -> Result<i64, E> {
        self.checked(Some(v), de::Unexpected::Signed(v))
    }

    fn visit_u64<E: de::Error>(self, v: u64) -> Result<i64, E> {
        self.checked(i64::try_from(v).ok(), de::Unexpected::Unsigned(v))
    }
}

/// ISO 4217 currency in current use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Currency(iso_currency::Currency);

impl Currency {
    /// Returns the three-letter code.
    pub fn code(self) -> &'static str {
        self.0.code()
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl FromStr for Currency {
    type Err = String;

    fn from_str(code: &str) -> Result<Self, Self::Err> {
        iso_currency::Currency::from_code(code).map(Self).ok_or_else(|| {
            format!("`{code}` is not an ISO 4217 currency code in capitals, such as EUR")
        })
    }
}

impl utoipa::ToSchema for Currency {}

impl utoipa::PartialSchema for Currency {
    fn schema() -> RefOr<Schema> {
        let letters = || (b'A'..=b'Z').map(char::from);
        let codes = letters().flat_map(|a| {
            letters().flat_map(move |b| letters().map(move |c| String::from_iter([a, b, c])))
        });
        ObjectBuilder::new()
            .schema_type(Type::String)
            .description(Some("ISO 4217 code"))
            .enum_values(Some(codes.filter(|code| code.parse::<Self>().is_ok())))
            .examples(["EUR"])
            .into()
    }
}

impl Serialize for Currency {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.code())
    }
}

impl<'de> Deserialize<'de> for Currency {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let code = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        code.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests;
