//! Cursor of a list of accounts.

use std::fmt;

use passbook_shared::timestamp::Timestamp;
use uuid::Uuid;

use crate::store::accounts::{Account, SortBy, SortKey};

/// Sort key and id of the last row of a page. Its text has 48 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cursor {
    pub(super) key: SortKey,
    pub(super) account_id: Uuid,
}

impl Cursor {
    /// Creates the cursor of the page after this row.
    pub(super) fn after(account: &Account, by: SortBy) -> Self {
        let key = match by {
            SortBy::OpenedAt => SortKey::Time(account.opened_at),
            SortBy::LastActivity => SortKey::Time(account.last_activity),
            SortBy::Balance => SortKey::Amount(account.state.balance),
        };
        Self { key, account_id: account.account_id }
    }

    /// Parses a cursor of a list ordered by `by`. Returns `None` for any other text.
    pub(super) fn read(text: &str, by: SortBy) -> Option<Self> {
        // With these bytes only, the slices below are on character boundaries.
        if text.len() != 48
            || !text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
        {
            return None;
        }
        let value = u64::from_str_radix(&text[..16], 16).ok()?.cast_signed();
        let account_id = Uuid::from_u128(u128::from_str_radix(&text[16..], 16).ok()?);
        let key = match by {
            SortBy::Balance => SortKey::Amount(value),
            SortBy::OpenedAt | SortBy::LastActivity => {
                SortKey::Time(Timestamp::from_micros(value)?)
            }
        };
        Some(Self { key, account_id })
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = match self.key {
            SortKey::Time(time) => time.as_micros(),
            SortKey::Amount(amount) => amount,
        };
        write!(f, "{:016x}{:032x}", value.cast_unsigned(), self.account_id.as_u128())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_round_trip_and_altered_ones_are_refused() {
        let cursor = Cursor { key: SortKey::Amount(-5), account_id: Uuid::from_u128(7) };
        let text = cursor.to_string();
        assert_eq!(Cursor::read(&text, SortBy::Balance), Some(cursor));
        for bad in ["", "00", &text[1..], &text.to_uppercase(), &format!("é{}", &text[2..])] {
            assert_eq!(Cursor::read(bad, SortBy::Balance), None, "{bad}");
        }
        let far_future = format!("{:016x}{:032x}", i64::MAX, 1);
        assert_eq!(Cursor::read(&far_future, SortBy::OpenedAt), None);
    }
}
