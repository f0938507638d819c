//! Defence against web pages. A page of another site can send requests to a service that its
//! visitor reaches, and its name can resolve to the service's address.

use std::net::{IpAddr, SocketAddr};

use anyhow::ensure;
use axum::http::header::{HOST, ORIGIN};
use axum::http::{HeaderMap, HeaderValue, Method};

use super::problems::{cross_site, other_host};
use crate::http::host::is_host;
use crate::http::problem::Problem;

const FETCH_SITE: &str = "sec-fetch-site";
/// Names of the local host, besides its addresses.
const LOCALHOST: &str = "localhost";

/// Accepted values of `Host`, without ports.
#[derive(Debug, Clone)]
pub struct AllowedHosts {
    names: Vec<String>,
    /// Accepts any name.
    any: bool,
    /// Accepts any IP address. A page has a name, which only resolves to an address.
    addresses: bool,
}

impl AllowedHosts {
    /// Returns the names for a service that listens on `addr`: the loopback names and the given
    /// ones. Without given ones, a service on another address accepts any name.
    /// Ports of given names are ignored.
    ///
    /// # Errors
    /// A given name is not a host.
    pub fn new(given: &[String], addr: SocketAddr) -> anyhow::Result<Self> {
        // An empty variable names no host.
        let given = given.iter().map(|name| name.trim()).filter(|name| !name.is_empty());
        let name = |name: &str| {
            // An IPv6 address may lack its brackets.
            let is_host = is_host(name.as_bytes()) || name.parse::<IpAddr>().is_ok();
            ensure!(is_host, "`{name}` is not a host, as in bank.example");
            let is_address = name.parse::<IpAddr>().is_ok();
            Ok(if is_address { name } else { host_of(name) }.to_owned())
        };
        let names = given.map(name).collect::<anyhow::Result<Vec<String>>>()?;
        let any = names.is_empty() && !addr.ip().is_loopback();
        Ok(Self { any, names, addresses: false })
    }

    /// Returns the names for a listener of probes, which address it by IP: on a loopback address
    /// the loopback names and IP addresses, on another one any name.
    pub(in crate::http) fn for_operators(addr: SocketAddr) -> Self {
        Self { any: !addr.ip().is_loopback(), names: Vec::new(), addresses: true }
    }

    /// Returns true if the service accepts any name.
    pub(crate) fn is_any(&self) -> bool {
        self.any
    }

    /// Accepts any name.
    pub(super) fn any() -> Self {
        Self { names: Vec::new(), any: true, addresses: false }
    }

    fn has(&self, host: &str) -> bool {
        // A page cannot have a loopback name unless this machine served it.
        let is_local = || {
            host.eq_ignore_ascii_case(LOCALHOST)
                || host.parse().is_ok_and(|address: IpAddr| self.addresses || address.is_loopback())
        };
        self.any || is_local() || self.lists(host)
    }

    fn lists(&self, host: &str) -> bool {
        self.names.iter().any(|name| host.eq_ignore_ascii_case(name))
    }
}

/// Checks the host of a request.
///
/// # Errors
/// 403 `host_not_allowed`.
pub(in crate::http) fn check_host(
    allowed: &AllowedHosts,
    headers: &HeaderMap,
) -> Result<(), Problem> {
    // HTTP/1.0 allows a request without a host; no browser sends one.
    match authority(headers).map(host_of) {
        Some(host) if !allowed.has(host) => Err(other_host(host)),
        _ => Ok(()),
    }
}

fn authority(headers: &HeaderMap) -> Option<&str> {
    headers.get(HOST).and_then(|host| host.to_str().ok())
}

/// Checks the host of a request, and the site of one that changes something.
///
/// # Errors
/// 403 `host_not_allowed` or `cross_site_request`.
pub(super) fn check(
    allowed: &AllowedHosts,
    method: &Method,
    headers: &HeaderMap,
) -> Result<(), Problem> {
    check_host(allowed, headers)?;
    let authority = authority(headers);
    if matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS) {
        // A page cannot read the response: the service sends no CORS headers.
        return Ok(());
    }
    let is_own = |origin: &HeaderValue| is_own(origin.as_bytes(), authority, allowed);
    if !headers.get_all(ORIGIN).iter().all(is_own) {
        return Err(cross_site("`Origin` is not the origin of this service"));
    }
    // Browsers send `none` for a request that no page has caused.
    if headers.get_all(FETCH_SITE).iter().any(|site| *site != "same-origin" && *site != "none") {
        return Err(cross_site("`Sec-Fetch-Site` names another site"));
    }
    Ok(())
}

/// Returns the host of `host[:port]`, without the brackets of an IPv6 address.
fn host_of(authority: &str) -> &str {
    if let Some((host, _)) = authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        return host;
    }
    authority.split_once(':').map_or(authority, |(host, _)| host)
}

/// Returns true if an origin is the host of the request, or a given one: a proxy may have changed
/// `Host`.
fn is_own(origin: &[u8], authority: Option<&str>, allowed: &AllowedHosts) -> bool {
    let origin = str::from_utf8(origin).ok().and_then(|origin| origin.split_once("://"));
    origin.is_some_and(|(_, of)| {
        authority.is_some_and(|own| own.eq_ignore_ascii_case(of)) || allowed.lists(host_of(of))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOT: &str = "host_not_allowed";

    fn headers(all: &[(&'static str, &str)]) -> HeaderMap {
        all.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    fn code(allowed: &AllowedHosts, method: &Method, all: &[(&'static str, &str)]) -> String {
        check(allowed, method, &headers(all))
            .map_or_else(|problem| problem.code, |()| String::new())
    }

    #[test]
    fn a_loopback_service_has_loopback_names_only() {
        let given = ["Bank.example".to_owned()];
        for (addr, names) in [("127.0.0.1:8080", &[][..]), ("[::1]:8080", &given)] {
            let allowed = AllowedHosts::new(names, addr.parse().unwrap()).unwrap();
            let code = |host: &str| code(&allowed, &Method::GET, &[("host", host)]);
            for host in ["localhost", "LOCALHOST:8080", "127.0.0.1:8080", "127.9.9.9", "[::1]:8080"]
            {
                assert_eq!(code(host), "", "{host}");
            }
            for host in
                ["attacker.example", "attacker.example:8080", "localhost.example", "10.0.0.1"]
            {
                assert_eq!(code(host), "host_not_allowed", "{host}");
            }
            let expected = if names.is_empty() { "host_not_allowed" } else { "" };
            assert_eq!(code("bank.example:443"), expected);
        }
    }

    #[test]
    fn another_service_has_any_name_or_the_given_ones() {
        let addr = "0.0.0.0:8080".parse().unwrap();
        let of = |allowed: &AllowedHosts, host| code(allowed, &Method::GET, &[("host", host)]);
        let any = AllowedHosts::new(&[String::new()], addr).unwrap();
        assert_eq!(of(&any, "command-service:8080"), "");
        let given = AllowedHosts::new(&[" bank.example ".to_owned()], addr).unwrap();
        assert_eq!(of(&given, "bank.example"), "");
        assert_eq!(of(&given, "localhost"), "", "the service checks its own health");
        assert_eq!(of(&given, "command-service"), "host_not_allowed");
    }

    #[test]
    fn probes_by_ip_reach_a_listener_for_operators_and_pages_do_not() {
        let code = |addr: &str, host: &str| {
            let allowed = AllowedHosts::for_operators(addr.parse().unwrap());
            code(&allowed, &Method::GET, &[("host", host)])
        };
        for host in ["10.0.0.7:9080", "[2001:db8::1]:9080", "localhost:9080", "127.0.0.1"] {
            assert_eq!(code("127.0.0.1:9080", host), "", "{host}");
        }
        assert_eq!(code("127.0.0.1:9080", "attacker.example:9080"), "host_not_allowed");
        assert_eq!(code("0.0.0.0:9080", "command-service:9080"), "");
    }

    #[test]
    fn a_given_name_can_have_a_port_or_be_an_address() {
        let addr = "0.0.0.0:8080".parse().unwrap();
        let new = |name: &str| AllowedHosts::new(&[name.to_owned()], addr);
        for (name, host) in [
            ("bank.example:8443", "bank.example"),
            ("bank.example:8443", "bank.example:443"),
            ("[2001:db8::1]", "[2001:db8::1]:8080"),
            ("2001:db8::1", "[2001:db8::1]:8080"),
            ("[2001:db8::1]:8080", "[2001:db8::1]"),
            ("10.0.0.1", "10.0.0.1:8080"),
        ] {
            let code = |host| code(&new(name).unwrap(), &Method::GET, &[("host", host)]);
            assert_eq!((code(host), code("other.example")), (String::new(), NOT.to_owned()));
        }
        for name in ["https://bank.example", "bank.example/", "a b", "[::1"] {
            assert!(new(name).is_err(), "{name}");
        }
    }

    #[test]
    fn a_page_of_another_site_changes_nothing() {
        let allowed = AllowedHosts::new(&[], "127.0.0.1:8080".parse().unwrap()).unwrap();
        let host = ("host", "localhost:8080");
        for (header, is_allowed) in [
            (("origin", "http://localhost:8080"), true),
            (("origin", "https://LOCALHOST:8080"), true),
            (("origin", "http://localhost:8081"), false),
            (("origin", "http://localhost"), false),
            (("origin", "https://attacker.example"), false),
            (("origin", "null"), false),
            (("sec-fetch-site", "same-origin"), true),
            (("sec-fetch-site", "none"), true),
            (("sec-fetch-site", "same-site"), false),
            (("sec-fetch-site", "cross-site"), false),
        ] {
            for method in [Method::POST, Method::PUT, Method::DELETE, Method::PATCH] {
                let expected = if is_allowed { "" } else { "cross_site_request" };
                assert_eq!(code(&allowed, &method, &[host, header]), expected, "{header:?}");
            }
            assert_eq!(code(&allowed, &Method::GET, &[host, header]), "", "{header:?}");
        }
        assert_eq!(code(&allowed, &Method::POST, &[host]), "");
        let given = ["bank.example".to_owned()];
        let given = AllowedHosts::new(&given, "0.0.0.0:1".parse().unwrap()).unwrap();
        for (origin, expected) in [
            ("https://bank.example", ""),
            ("https://Bank.example:8443", ""),
            ("https://attacker.example", "cross_site_request"),
            ("https://bank.example.attacker.example", "cross_site_request"),
        ] {
            let behind_a_proxy = [host, ("origin", origin)];
            assert_eq!(code(&given, &Method::POST, &behind_a_proxy), expected, "{origin}");
        }
    }
}
