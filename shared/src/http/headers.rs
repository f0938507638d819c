//! Headers with a meaning of ours.

use std::time::Duration;

use axum::http::HeaderMap;
use axum::http::header::{IF_MATCH, IF_NONE_MATCH};

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
/// 400 `malformed_request` if it is there twice or is not visible ASCII of 1 to `longest` characters.
pub fn visible_ascii<'a>(headers: &'a HeaderMap, name: &str, longest: usize) -> Result<Option<&'a str>, Problem> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() {
        return Err(Problem::malformed(name, "is given more than once"));
    }
    let text = value.to_str().ok().filter(|text| is_visible_ascii(text, longest));
    text.map(Some)
        .ok_or_else(|| Problem::malformed(name, format!("must be 1 to {longest} visible ASCII characters, no spaces")))
}

/// Whether the text is 1 to `longest` characters of visible ASCII, no spaces.
pub fn is_visible_ascii(text: &str, longest: usize) -> bool {
    (1..=longest).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic())
}

/// The version `If-Match` expects; `*` (any version) expects nothing in particular.
///
/// # Errors
/// 400 `malformed_request` if it is not one strong tag of a version.
pub fn if_match(headers: &HeaderMap) -> Result<Option<i64>, Problem> {
    let Some(text) = visible_ascii(headers, IF_MATCH.as_str(), 64)? else {
        return Ok(None);
    };
    if text == "*" {
        return Ok(None);
    }
    let version = text.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
    version
        .filter(|version| version.bytes().all(|b| b.is_ascii_digit()))
        .and_then(|version| version.parse().ok())
        .map(Some)
        .ok_or_else(|| Problem::malformed("If-Match", "must be one account version in quotes, such as \"7\""))
}

/// Whether `If-None-Match` names this tag, so that the answer is 304.
pub fn none_match(headers: &HeaderMap, etag: &str) -> bool {
    let values = headers.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    values
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == etag)
}

/// How long `Prefer: wait=2` (seconds, RFC 7240) lets a query wait; 1 s if absent or not understood, at most 10 s.
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
