//! Pages of lists: limit, end and cursor.

use super::problem::Problem;

const DEFAULT_LIMIT: i64 = 50;
const LARGEST_LIMIT: i64 = 200;

/// Checks the limit of a page.
///
/// # Errors
/// 400 `malformed_request` if the limit is out of bounds.
pub fn limit(requested: Option<i64>) -> Result<i64, Problem> {
    let limit = requested.unwrap_or(DEFAULT_LIMIT);
    if (1..=LARGEST_LIMIT).contains(&limit) {
        Ok(limit)
    } else {
        Err(Problem::malformed("limit", format!("must be from 1 to {LARGEST_LIMIT}")))
    }
}

/// Truncates `found`, which has one row more than the page if there is a next page. Returns whether
/// there is one.
pub fn cut<T>(found: &mut Vec<T>, limit: i64) -> bool {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let has_more = found.len() > limit;
    found.truncate(limit);
    has_more
}

/// Formats the place in a list ordered by version or number as 16 hexadecimal digits.
pub fn write_number(last: i64) -> String {
    format!("{last:016x}")
}

/// Parses the number in a cursor, after which the list continues.
pub fn read_number(place: &str) -> Option<i64> {
    // `from_str_radix` alone would accept a sign and capital letters.
    let digits = place.len() == 16
        && place.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    i64::from_str_radix(place, 16).ok().filter(|_| digits)
}
