//! `GET /v1/accounts`: a page of accounts.

use std::str::FromStr;

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use passbook_shared::event::AccountStatus;
use passbook_shared::http::extract::Query;
use passbook_shared::http::problem::{CommonProblems, Problem};
use passbook_shared::money::Currency;
use passbook_shared::position::Position;
use passbook_shared::text::Owner;
use passbook_shared::timestamp::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::App;
use super::account::AccountView;
use crate::store::accounts::{self, Account, Filter, Sort, SortBy, SortKey};

const DEFAULT_LIMIT: i64 = 50;
const LARGEST_LIMIT: i64 = 200;

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Asked {
    /// Only this owner's.
    #[param(value_type = Option<String>, min_length = 1, max_length = 200)]
    owner: Option<Owner>,
    /// Only in this currency, ISO 4217.
    #[param(value_type = Option<String>, pattern = "^[A-Z]{3}$")]
    currency: Option<Currency>,
    /// Only with this status.
    #[param(inline)]
    status: Option<AccountStatus>,
    /// Only with at least this balance, in minor units.
    min_balance: Option<i64>,
    /// Only with at most this balance, in minor units.
    max_balance: Option<i64>,
    /// The order; `-`: newest or largest first. Accounts alike in it are ordered by id.
    #[param(inline)]
    #[serde(default)]
    sort: Order,
    /// At most so many.
    #[param(minimum = 1, maximum = 200, default = 50)]
    limit: Option<i64>,
    /// `next_cursor` of the page before; the other parameters must be that page's too.
    #[param(pattern = "^[0-9a-f]{50}$")]
    cursor: Option<String>,
    /// Wait until the views have got to this position.
    #[param(value_type = Option<String>, pattern = "^[0-9]{1,4}-[0-9]{1,18}$")]
    at_least: Option<Position>,
}

#[derive(Debug, Clone, Copy, Default, Deserialize, utoipa::ToSchema)]
enum Order {
    #[default]
    #[serde(rename = "opened_at")]
    Opened,
    #[serde(rename = "-opened_at")]
    OpenedLast,
    #[serde(rename = "balance")]
    Balance,
    #[serde(rename = "-balance")]
    Largest,
    #[serde(rename = "last_activity")]
    Activity,
    #[serde(rename = "-last_activity")]
    ActiveLast,
}

impl Order {
    fn sort(self) -> Sort {
        let (by, descending) = match self {
            Self::Opened => (SortBy::OpenedAt, false),
            Self::OpenedLast => (SortBy::OpenedAt, true),
            Self::Balance => (SortBy::Balance, false),
            Self::Largest => (SortBy::Balance, true),
            Self::Activity => (SortBy::LastActivity, false),
            Self::ActiveLast => (SortBy::LastActivity, true),
        };
        Sort { by, descending }
    }
}

/// A page of accounts.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct AccountPage {
    data: Vec<AccountView>,
    /// For the next page; absent on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
    /// Whether there is a next page.
    has_more: bool,
}

/// A page of accounts
///
/// Pages follow each other by the value they are ordered by: an account whose balance changes between two pages may be
/// seen on both or on neither.
#[utoipa::path(get, path = "/v1/accounts", tag = "accounts",
    params(
        Asked,
        ("Prefer" = Option<String>, Header, description = "`wait=2`: how many seconds to wait, default 1, at most 10"),
    ),
    responses(
        CommonProblems,
        (status = 200, description = "The page", body = AccountPage),
        (status = 503, description = "`view_behind`: not at `at_least` in time; `store_unavailable`: Postgres is away. \
            With `Retry-After`", body = Problem, content_type = "application/problem+json"),
    ))]
pub(super) async fn list(
    State(app): State<App>,
    Query(asked): Query<Asked>,
    headers: HeaderMap,
) -> Result<Json<AccountPage>, Problem> {
    let limit = limit(asked.limit)?;
    let sort = asked.sort.sort();
    let after = asked.cursor.as_deref().map(|cursor| Cursor::read(cursor, sort)).transpose()?;
    app.until_position(&headers, asked.at_least).await?;
    let filter = Filter {
        owner: asked.owner.map(|owner| owner.to_string()),
        currency: asked.currency,
        status: asked.status,
        min_balance: asked.min_balance,
        max_balance: asked.max_balance,
    };
    let after = after.map(|cursor| (cursor.key, cursor.account_id));
    let pool = app.views.pool()?;
    let mut found = app.views.read(accounts::list(pool, &filter, sort, after, limit + 1)).await?;
    let has_more = found.len() > usize::try_from(limit).unwrap_or(usize::MAX);
    if has_more {
        found.pop();
    }
    let next_cursor = found.last().filter(|_| has_more).map(|last| Cursor::after(last, sort).to_string());
    Ok(Json(AccountPage { data: found.into_iter().map(AccountView::from).collect(), next_cursor, has_more }))
}

/// The number of rows on a page.
pub(super) fn limit(asked: Option<i64>) -> Result<i64, Problem> {
    let limit = asked.unwrap_or(DEFAULT_LIMIT);
    if (1..=LARGEST_LIMIT).contains(&limit) {
        Ok(limit)
    } else {
        Err(Problem::malformed("limit", format!("must be from 1 to {LARGEST_LIMIT}")))
    }
}

/// Where a page ended: the order, the last row's value in it, and its id; 50 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Cursor {
    sort: Sort,
    key: SortKey,
    account_id: Uuid,
}

impl Cursor {
    fn after(account: &Account, sort: Sort) -> Self {
        let key = match sort.by {
            SortBy::OpenedAt => SortKey::Time(account.opened_at),
            SortBy::LastActivity => SortKey::Time(account.last_activity),
            SortBy::Balance => SortKey::Amount(account.state.balance),
        };
        Self { sort, key, account_id: account.account_id }
    }

    fn read(text: &str, sort: Sort) -> Result<Self, Problem> {
        let cursor: Self = text.parse().map_err(|()| Problem::malformed("cursor", "is not one of ours"))?;
        if cursor.sort != sort {
            return Err(Problem::malformed("cursor", "is of a list with another `sort`"));
        }
        Ok(cursor)
    }
}

impl std::fmt::Display for Cursor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
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
