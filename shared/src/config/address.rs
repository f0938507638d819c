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
