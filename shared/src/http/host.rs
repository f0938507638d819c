//! Check of the header `Host`, which an HTTP/1.1 request has once (RFC 9112, section 3.2).

use std::net::Ipv6Addr;

use axum::http::header::HOST;
use axum::http::{HeaderMap, Version};

use super::problem::Problem;

/// Checks that `Host` is a host and port.
///
/// # Errors
/// 400 if the header is missing (which HTTP/1.0 allows), repeated or malformed.
pub(super) fn check(version: Version, headers: &HeaderMap) -> Result<(), Problem> {
    let mut values = headers.get_all(HOST).iter();
    let Some(value) = values.next() else {
        let is_needed = version >= Version::HTTP_11;
        return if is_needed { Err(Problem::malformed("Host", "is missing")) } else { Ok(()) };
    };
    if values.next().is_some() {
        return Err(Problem::malformed("Host", "is given more than once"));
    }
    if is_host(value.as_bytes()) {
        Ok(())
    } else {
        Err(Problem::malformed("Host", "is not a host and port"))
    }
}

/// Returns true if the text is `uri-host [ ":" port ]` (RFC 3986, section 3.2.2) with a nonempty
/// host.
pub(super) fn is_host(text: &[u8]) -> bool {
    let end = match text.first() {
        Some(b'[') => text.iter().position(|byte| *byte == b']').map_or(0, |end| end + 1),
        _ => text.iter().position(|byte| *byte == b':').unwrap_or(text.len()),
    };
    let (host, port) = text.split_at(end);
    let is_port = port
        .strip_prefix(b":")
        .is_none_or(|digits| digits.len() <= 5 && digits.iter().all(u8::is_ascii_digit))
        && (port.is_empty() || port.starts_with(b":"));
    is_port
        && match host {
            [b'[', address @ .., b']'] => {
                str::from_utf8(address).is_ok_and(|text| text.parse::<Ipv6Addr>().is_ok())
            }
            name => !name.is_empty() && name.iter().all(|byte| is_of_name(*byte)),
        }
}

fn is_of_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~%!$&'()*+,;=".contains(&byte)
}

#[cfg(test)]
mod tests;
