//! What lists share: how long a page is, and whether there is another.

use passbook_shared::http::problem::Problem;

const DEFAULT_LIMIT: i64 = 50;
const LARGEST_LIMIT: i64 = 200;

/// The number of rows on a page.
pub(super) fn limit(asked: Option<i64>) -> Result<i64, Problem> {
    let limit = asked.unwrap_or(DEFAULT_LIMIT);
    if (1..=LARGEST_LIMIT).contains(&limit) {
        Ok(limit)
    } else {
        Err(Problem::malformed("limit", format!("must be from 1 to {LARGEST_LIMIT}")))
    }
}

/// Cuts what was found to the page; it was asked for one row more. Whether there is a next page.
pub(super) fn cut<T>(found: &mut Vec<T>, limit: i64) -> bool {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let has_more = found.len() > limit;
    found.truncate(limit);
    has_more
}

/// The cursor of a list that is ordered by version: 16 hexadecimal digits.
pub(super) fn write_version(last: i64) -> String {
    format!("{last:016x}")
}

/// The version before which such a list goes on.
pub(super) fn read_version(cursor: &str) -> Result<i64, Problem> {
    let digits = cursor.len() == 16 && cursor.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    let version = i64::from_str_radix(cursor, 16).ok().filter(|_| digits);
    version.ok_or_else(not_ours)
}

/// A cursor that can't be read.
pub(super) fn not_ours() -> Problem {
    Problem::malformed("cursor", "is not one of ours")
}
