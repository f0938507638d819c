//! Where a page of accounts ended.

use std::fmt;
use std::str::FromStr;

use passbook_shared::http::problem::Problem;
use passbook_shared::timestamp::Timestamp;
use uuid::Uuid;

use crate::http::page::not_ours;
use crate::store::accounts::{Account, Sort, SortBy, SortKey};

/// Where a page ended: the order, the last row's value in it, and its id; 50 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cursor {
    sort: Sort,
    pub(super) key: SortKey,
    pub(super) account_id: Uuid,
}

impl Cursor {
    /// Behind this row.
    pub(super) fn after(account: &Account, sort: Sort) -> Self {
        let key = match sort.by {
            SortBy::OpenedAt => SortKey::Time(account.opened_at),
            SortBy::LastActivity => SortKey::Time(account.last_activity),
            SortBy::Balance => SortKey::Amount(account.state.balance),
        };
        Self { sort, key, account_id: account.account_id }
    }

    /// As it came from the client, for a list in this order.
    pub(super) fn read(text: &str, sort: Sort) -> Result<Self, Problem> {
        let cursor: Self = text.parse().map_err(|()| not_ours())?;
        if cursor.sort != sort {
            return Err(Problem::malformed("cursor", "is of a list with another `sort`"));
        }
        Ok(cursor)
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let by = match self.sort.by {
            SortBy::OpenedAt => 0_u8,
            SortBy::Balance => 2,
            SortBy::LastActivity => 4,
        };
        let value = match self.key {
            SortKey::Time(time) => time.as_micros(),
            SortKey::Amount(amount) => amount,
        };
        let order = by + u8::from(self.sort.descending);
        write!(f, "{order:02x}{:016x}{:032x}", value.cast_unsigned(), self.account_id.as_u128())
    }
}

impl FromStr for Cursor {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        if text.len() != 50 || !text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)) {
            return Err(());
        }
        let order = u8::from_str_radix(&text[..2], 16).map_err(drop)?;
        let value = u64::from_str_radix(&text[2..18], 16).map_err(drop)?.cast_signed();
        let account_id = Uuid::from_u128(u128::from_str_radix(&text[18..], 16).map_err(drop)?);
        let time = || Timestamp::from_micros(value).map(SortKey::Time).ok_or(());
        let (by, key) = match order / 2 {
            0 => (SortBy::OpenedAt, time()?),
            1 => (SortBy::Balance, SortKey::Amount(value)),
            2 => (SortBy::LastActivity, time()?),
            _ => return Err(()),
        };
        Ok(Self { sort: Sort { by, descending: order % 2 == 1 }, key, account_id })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_come_back_and_what_was_tampered_with_is_refused() {
        let sort = Sort { by: SortBy::Balance, descending: true };
        let cursor = Cursor { sort, key: SortKey::Amount(-5), account_id: Uuid::from_u128(7) };
        let text = cursor.to_string();
        assert_eq!(text.parse(), Ok(cursor));
        assert!(Cursor::read(&text, Sort { by: SortBy::OpenedAt, descending: true }).is_err());
        for bad in
            ["", "00", &text[1..], &text.to_uppercase(), &format!("ff{}", &text[2..]), &format!("é{}", &text[2..])]
        {
            assert!(bad.parse::<Cursor>().is_err(), "{bad}");
        }
        let far_future = format!("00{:016x}{:032x}", i64::MAX, 1);
        assert!(far_future.parse::<Cursor>().is_err());
    }
}
