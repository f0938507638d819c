//! Headers with a meaning of ours.

use std::time::Duration;

use axum::http::header::{IF_MATCH, IF_NONE_MATCH};
use axum::http::{HeaderMap, HeaderValue};

use super::problem::Problem;

/// Whose log an answer of the feed is: the store's id.
pub const STORE_ID: &str = "x-store-id";
/// How many partitions that log has.
pub const PARTITIONS: &str = "x-partitions";
/// The epoch of that store.
pub const EPOCH: &str = "x-store-epoch";

/// How long a query waits for what it asked for if it does not say.
const DEFAULT_WAIT: Duration = Duration::from_secs(1);
/// The longest it may wait.
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// The `ETag` of an account's version: `"7"`.
pub fn etag(version: i64) -> String {
    format!("\"{version}\"")
}

/// The text of a header, if it is there.
///
/// # Errors
/// 400 `malformed_request` if it is there twice or is not visible ASCII of 1 to `longest`
/// characters.
pub fn visible_ascii<'a>(
    headers: &'a HeaderMap,
    name: &str,
    longest: usize,
) -> Result<Option<&'a str>, Problem> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() {
        return Err(Problem::malformed(name, "is given more than once"));
    }
    let text = value.to_str().ok().filter(|text| is_visible_ascii(text, longest));
    text.map(Some).ok_or_else(|| {
        Problem::malformed(
            name,
            format!("must be 1 to {longest} visible ASCII characters, no spaces"),
        )
    })
}

/// The text of a header that is a string of RFC 9651 (`"a key"`), or the same text without quotes
/// if it has no spaces.
///
/// # Errors
/// 400 `malformed_request` if it is there twice, or is not 1 to `longest` characters of printable
/// ASCII.
pub fn string_item(
    headers: &HeaderMap,
    name: &str,
    longest: usize,
) -> Result<Option<String>, Problem> {
    let is_quoted = |value: &HeaderValue| value.as_bytes().trim_ascii_start().starts_with(b"\"");
    if !headers.get(name).is_some_and(is_quoted) || headers.get_all(name).iter().count() > 1 {
        let text = visible_ascii(headers, name, longest)
            .map_err(|problem| problem.adding("; spaces are permitted between quotes"))?;
        return Ok(text.map(str::to_owned));
    }
    let item =
        headers.get(name).map(|value| sfv::Parser::new(value.as_bytes()).parse::<sfv::Item>());
    match item {
        Some(Ok(sfv::Item { bare_item: sfv::BareItem::String(text), .. }))
            if is_printable_ascii(text.as_str(), longest) =>
        {
            Ok(Some(text.into()))
        }
        _ => Err(Problem::malformed(
            name,
            format!("must be 1 to {longest} characters of ASCII, with a quote at each end"),
        )),
    }
}

/// Returns whether the text is 1 to `longest` characters of printable ASCII.
pub fn is_printable_ascii(text: &str, longest: usize) -> bool {
    (1..=longest).contains(&text.len()) && text.bytes().all(|b| b == b' ' || b.is_ascii_graphic())
}

/// Returns whether the text is 1 to `longest` characters of visible ASCII, no spaces.
pub fn is_visible_ascii(text: &str, longest: usize) -> bool {
    (1..=longest).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic())
}

/// The versions of which `If-Match` expects one; nothing if it is absent or `*`, which any version
/// is. Tags that no version has, weak ones among them, are passed over: if there are no others, no
/// version will do (RFC 9110, section 13.1.1).
///
/// # Errors
/// 400 `malformed_request` if it is neither `*` nor a list of entity tags.
pub fn if_match(headers: &HeaderMap) -> Result<Option<Vec<i64>>, Problem> {
    let mut values = headers.get_all(IF_MATCH).iter().peekable();
    if values.peek().is_none() {
        return Ok(None);
    }
    let mut versions = Vec::new();
    let mut is_any = false;
    for value in values {
        let mut rest = value.as_bytes().trim_ascii();
        while !rest.is_empty() {
            let (tag, behind) = first_tag(rest).ok_or_else(no_tags)?;
            is_any |= tag == b"*";
            versions.extend(version(tag));
            rest = behind;
        }
    }
    Ok(if is_any { None } else { Some(versions) })
}

/// The first element of a list of entity tags, and what follows on its comma.
fn first_tag(list: &[u8]) -> Option<(&[u8], &[u8])> {
    let opaque = list.strip_prefix(b"W/").unwrap_or(list);
    let length = match opaque.strip_prefix(b"\"") {
        Some(inside) => {
            list.len() - inside.len() + inside.iter().position(|byte| *byte == b'"')? + 1
        }
        None if list.starts_with(b"*") => 1,
        // Lists may have empty elements (RFC 9110, section 5.6.1).
        None if list.starts_with(b",") => 0,
        None => return None,
    };
    let (tag, behind) = list.split_at(length);
    match behind.trim_ascii_start() {
        [] => Some((tag, &[])),
        [b',', behind @ ..] => Some((tag, behind.trim_ascii_start())),
        _ => None,
    }
}

/// The version whose tag this is.
fn version(tag: &[u8]) -> Option<i64> {
    let text = str::from_utf8(tag).ok()?.strip_prefix('"')?.strip_suffix('"')?;
    text.parse().ok().filter(|version| etag(*version).as_bytes() == tag)
}

fn no_tags() -> Problem {
    Problem::malformed("If-Match", "must be account versions in quotes, such as \"7\", or *")
}

/// Whether `If-None-Match` names this tag, so that the answer is 304.
pub fn none_match(headers: &HeaderMap, etag: &str) -> bool {
    let values = headers.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    values
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == etag)
}

/// How long `Prefer: wait=2` (seconds, RFC 7240) lets a query wait; 1 s if absent or not
/// understood, at most 10 s.
pub fn prefer_wait(headers: &HeaderMap) -> Duration {
    preferred_wait(headers).unwrap_or(DEFAULT_WAIT)
}

/// The same, only where it is asked for.
pub fn preferred_wait(headers: &HeaderMap) -> Option<Duration> {
    let values = headers.get_all("prefer").iter().filter_map(|value| value.to_str().ok());
    values
        .flat_map(|value| value.split([',', ';']))
        .filter_map(|preference| preference.trim().split_once('='))
        .find(|(name, _)| name.trim().eq_ignore_ascii_case("wait"))
        .and_then(|(_, seconds)| seconds.trim().trim_matches('"').parse().ok())
        .map(|seconds: u32| Duration::from_secs(seconds.into()).min(LONGEST_WAIT))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expected(values: &[&str]) -> Result<Option<Vec<i64>>, u16> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(IF_MATCH, value.parse().unwrap());
        }
        if_match(&headers).map_err(|problem| problem.status)
    }

    #[test]
    fn a_key_is_the_same_with_and_without_its_quotes() {
        let key = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.append("idempotency-key", value.parse().unwrap());
            string_item(&headers, "Idempotency-Key", 8).map_err(|problem| problem.status)
        };
        for (value, text) in [
            ("8e03", "8e03"),
            ("\"8e03\"", "8e03"),
            (" \"8e03\" ", "8e03"),
            ("\"a b\"", "a b"),
            ("\"a\\\"\\\\\"", "a\"\\"),
            ("\"8e03\";v=1", "8e03"),
            ("12345678", "12345678"),
            ("\"12345678\"", "12345678"),
        ] {
            assert_eq!(key(value), Ok(Some(text.to_owned())), "{value}");
        }
        for bad in [
            "",
            "a b",
            "\"\"",
            "\"a",
            "\"a\"b",
            "\"\\a\"",
            "123456789",
            "\"123456789\"",
            "\"a\", \"b\"",
        ] {
            assert_eq!(key(bad), Err(400), "{bad}");
        }
    }

    #[test]
    fn if_match_is_a_list_of_tags_of_which_strong_ones_of_versions_count() {
        assert_eq!(expected(&[]), Ok(None));
        assert_eq!(expected(&["*"]), Ok(None));
        for (values, versions) in [
            (vec!["\"7\""], vec![7]),
            (vec!["\"7\", \"8\",\"9\""], vec![7, 8, 9]),
            (vec!["\"7\"", " \"8\" "], vec![7, 8]),
            (vec![", \"7\" ,, "], vec![7]),
            (vec!["W/\"7\""], vec![]),
            (vec!["W/\"7\", \"8\""], vec![8]),
            (vec!["\"abc\""], vec![]),
            (vec!["\"a,b\", \"8\""], vec![8]),
            (vec!["\"03\""], vec![]),
            (vec!["\"+3\""], vec![]),
            (vec!["\"\""], vec![]),
            (vec!["\"99999999999999999999\""], vec![]),
        ] {
            assert_eq!(expected(&values), Ok(Some(versions)), "{values:?}");
        }
        for bad in ["7", "\"7", "7\"", "w/\"7\"", "\"7\" \"8\"", "W/7", "**", "\"7\";q=1"] {
            assert_eq!(expected(&[bad]), Err(400), "{bad}");
        }
    }
}
