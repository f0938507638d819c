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

/// A cursor that can't be read.
pub(super) fn not_ours() -> Problem {
    Problem::malformed("cursor", "is not one of ours")
}
