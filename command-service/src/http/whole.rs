//! Whole numbers in queries.

use std::borrow::Cow;

use serde::{Deserialize, Deserializer, de};

/// A whole number from `MIN` to `MAX`, in decimal digits and nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Whole<const MIN: i64, const MAX: i64>(i64);

/// What fits every JSON reader; more events than there will ever be.
pub(super) const LARGEST: i64 = passbook_shared::money::MAX_AMOUNT;

impl<const MIN: i64, const MAX: i64> Whole<MIN, MAX> {
    pub(super) fn get(self) -> i64 {
        self.0
    }
}

impl<'de, const MIN: i64, const MAX: i64> Deserialize<'de> for Whole<MIN, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        let digits = Some(&text).filter(|text| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()));
        digits
            .and_then(|text| text.parse().ok())
            .filter(|number| (MIN..=MAX).contains(number))
            .map(Self)
            .ok_or_else(|| de::Error::custom(format!("must be a whole number from {MIN} to {MAX}")))
    }
}
