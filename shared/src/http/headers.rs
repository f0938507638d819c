//! Parsing of request headers, and names of the feed's response headers.

use std::time::Duration;

use axum::http::header::{IF_MATCH, IF_NONE_MATCH};
use axum::http::{HeaderMap, HeaderName, HeaderValue};

use super::problem::Problem;

/// Name of the feed's header with the id of the store.
pub const STORE_ID: &str = "x-store-id";
/// Name of the feed's header with the number of partitions of the log.
pub const PARTITIONS: &str = "x-partitions";
/// Name of the feed's header with the epoch of the store.
pub const EPOCH: &str = "x-store-epoch";
/// Name of the header with the trace context (W3C Trace Context).
pub(super) const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// Time that a query waits without `Prefer: wait`.
const DEFAULT_WAIT: Duration = Duration::from_secs(1);
/// Maximum time that a query waits.
const MAX_WAIT: Duration = Duration::from_secs(10);

/// Returns the `ETag` of an account version, as in `"7"`.
pub fn etag(version: i64) -> String {
    format!("\"{version}\"")
}

/// Returns the value of a header, if there is one.
///
/// # Errors
/// 400 `malformed_request` if the header is repeated, or is not 1 to `max` characters of visible
/// ASCII.
pub fn visible_ascii<'a>(
    headers: &'a HeaderMap,
    name: &str,
    max: usize,
) -> Result<Option<&'a str>, Problem> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() {
        return Err(Problem::malformed(name, "is given more than once"));
    }
    let text = value.to_str().ok().filter(|text| is_visible_ascii(text, max));
    text.map(Some).ok_or_else(|| {
        Problem::malformed(name, format!("must be 1 to {max} visible ASCII characters, no spaces"))
    })
}

/// Returns the W3C trace context of the request. A malformed one is ignored, not refused (Trace
/// Context, section 3.2).
pub fn traceparent(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(TRACEPARENT).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return None };
    let text = value.to_str().ok()?;
    let mut fields = text.split('-');
    let mut field = |length| {
        let is_hex = |field: &&str| field.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        fields.next().filter(|field| field.len() == length).filter(is_hex)
    };
    let (version, trace_id, parent_id, _flags) = (field(2)?, field(32)?, field(16)?, field(2)?);
    let is_zero = |field: &str| field.bytes().all(|b| b == b'0');
    (version != "ff" && !is_zero(trace_id) && !is_zero(parent_id) && fields.next().is_none())
        .then_some(text)
}

/// Returns the value of a header that is a string of RFC 9651 (`"a key"`). The quotes may be
/// omitted if there are no spaces.
///
/// # Errors
/// 400 `malformed_request` if the header is repeated, or is not 1 to `max` characters of printable
/// ASCII.
pub fn string_item(headers: &HeaderMap, name: &str, max: usize) -> Result<Option<String>, Problem> {
    let is_quoted = |value: &HeaderValue| value.as_bytes().trim_ascii_start().starts_with(b"\"");
    if !headers.get(name).is_some_and(is_quoted) || headers.get_all(name).iter().count() > 1 {
        let text = visible_ascii(headers, name, max)
            .map_err(|problem| problem.adding("; spaces are permitted between quotes"))?;
        return Ok(text.map(str::to_owned));
    }
    let item =
        headers.get(name).map(|value| sfv::Parser::new(value.as_bytes()).parse::<sfv::Item>());
    match item {
        Some(Ok(sfv::Item { bare_item: sfv::BareItem::String(text), .. }))
            if is_printable_ascii(text.as_str(), max) =>
        {
            Ok(Some(text.into()))
        }
        _ => Err(Problem::malformed(
            name,
            format!("must be 1 to {max} printable ASCII characters between quotes"),
        )),
    }
}

/// Returns true if the text is 1 to `max` characters of printable ASCII.
pub fn is_printable_ascii(text: &str, max: usize) -> bool {
    (1..=max).contains(&text.len()) && text.bytes().all(|b| b == b' ' || b.is_ascii_graphic())
}

/// Returns true if the text is 1 to `max` characters of visible ASCII, without spaces.
pub(crate) fn is_visible_ascii(text: &str, max: usize) -> bool {
    (1..=max).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic())
}

/// Returns the versions that satisfy `If-Match`; `None` if any does, because the header is absent
/// or `*`. Weak tags and tags of no version never match (RFC 9110, section 13.1.1).
///
/// # Errors
/// 400 `malformed_request` if the header is neither `*` nor a list of entity tags.
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
            let (tag, behind) = first_tag(rest).ok_or_else(not_a_tag_list)?;
            is_any |= tag == b"*";
            versions.extend(version(tag));
            rest = behind;
        }
    }
    Ok(if is_any { None } else { Some(versions) })
}

/// Splits a list of entity tags at its first comma outside quotes.
fn first_tag(list: &[u8]) -> Option<(&[u8], &[u8])> {
    let opaque = list.strip_prefix(b"W/").unwrap_or(list);
    let length = match opaque.strip_prefix(b"\"") {
        Some(inside) => {
            list.len() - inside.len() + inside.iter().position(|byte| *byte == b'"')? + 1
        }
        None if list.starts_with(b"*") => 1,
        // A list may have empty elements (RFC 9110, section 5.6.1).
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

/// Returns the version that the tag denotes.
fn version(tag: &[u8]) -> Option<i64> {
    let text = str::from_utf8(tag).ok()?.strip_prefix('"')?.strip_suffix('"')?;
    // Tags are compared byte by byte, so `"07"` is not the tag of version 7.
    text.parse().ok().filter(|version| etag(*version).as_bytes() == tag)
}

fn not_a_tag_list() -> Problem {
    Problem::malformed("If-Match", "must be account versions in quotes, such as \"7\", or *")
}

/// Returns true if `If-None-Match` has the tag, so that the response is 304.
pub fn none_match(headers: &HeaderMap, etag: &str) -> bool {
    let values = headers.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    values
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == etag)
}

/// Returns the time that `Prefer: wait=2` (seconds, RFC 7240) lets a query wait, at most 10 s; 1 s
/// if it is absent or malformed.
pub fn prefer_wait(headers: &HeaderMap) -> Duration {
    preferred_wait(headers).unwrap_or(DEFAULT_WAIT)
}

/// Returns the time that `Prefer: wait` lets a query wait, at most 10 s, if the header has it.
pub fn preferred_wait(headers: &HeaderMap) -> Option<Duration> {
    let values = headers.get_all("prefer").iter().filter_map(|value| value.to_str().ok());
    values
        .flat_map(|value| value.split([',', ';']))
        .filter_map(|preference| preference.trim().split_once('='))
        .find(|(name, _)| name.trim().eq_ignore_ascii_case("wait"))
        .and_then(|(_, seconds)| seconds.trim().trim_matches('"').parse().ok())
        .map(|seconds: u32| Duration::from_secs(seconds.into()).min(MAX_WAIT))
}

#[cfg(test)]
mod tests;
