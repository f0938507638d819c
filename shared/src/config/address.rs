//! Socket addresses in settings.

use std::net::{SocketAddr, ToSocketAddrs};

/// Parses `host:port`. A name is resolved, preferably to an IPv4 address.
///
/// # Errors
/// Fails if the text is not a host and a port, or the name cannot be resolved.
pub fn address(text: &str) -> Result<SocketAddr, String> {
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    let parts = text
        .rsplit_once(':')
        .filter(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok());
    let Some((host, _)) = parts else {
        return Err(
            "must be a host and a port, such as 127.0.0.1:8080 or localhost:8080".to_owned()
        );
    };
    let found =
        text.to_socket_addrs().map_err(|error| format!("`{host}` can't be resolved: {error}"))?;
    found.min_by_key(SocketAddr::is_ipv6).ok_or_else(|| format!("`{host}` has no address"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_resolved_and_other_text_is_refused() {
        assert_eq!(address("localhost:38380").unwrap().port(), 38_380);
        assert!(address("localhost:38380").unwrap().ip().is_loopback());
        assert_eq!(address("[::1]:80").unwrap(), "[::1]:80".parse().unwrap());
        for (text, words) in [
            ("8080", "host and a port"),
            (":8080", "host and a port"),
            ("localhost:http", "host and a port"),
            ("localhost:70000", "host and a port"),
            ("no-such-host.invalid:80", "can't be resolved"),
        ] {
            let said = address(text).unwrap_err();
            assert!(said.contains(words), "{text}: {said}");
        }
    }
}
