use std::net::Ipv4Addr;

use proptest::prelude::*;

use super::*;

fn checked(version: Version, values: &[&str]) -> Result<(), Problem> {
    let mut headers = HeaderMap::new();
    for value in values {
        headers.append(HOST, value.parse().unwrap());
    }
    check(version, &headers)
}

proptest! {
    #[test]
    fn every_address_with_any_port_is_a_host(v4: u32, v6: u128, port: u16) {
        for address in [
            Ipv4Addr::from(v4).to_string(),
            format!("{}:{port}", Ipv4Addr::from(v4)),
            format!("[{}]", Ipv6Addr::from(v6)),
            format!("[{}]:{port}", Ipv6Addr::from(v6)),
        ] {
            prop_assert!(is_host(address.as_bytes()), "{}", address);
        }
        let bare = Ipv6Addr::from(v6).to_string();
        prop_assert!(!is_host(bare.as_bytes()), "{} without brackets", bare);
    }

    #[test]
    fn a_name_has_no_delimiters(
        name in "[a-z0-9.-]{1,20}", delimiter in "[/?#@ \"<>\\[\\]\\\\^`{|}]",
    ) {
        prop_assert!(is_host(name.as_bytes()));
        for text in [format!("{name}{delimiter}"), format!("{name}:8080{delimiter}")] {
            prop_assert!(!is_host(text.as_bytes()), "{}", text);
        }
    }

    #[test]
    fn no_bytes_panic(bytes: Vec<u8>) {
        is_host(&bytes);
    }
}

#[test]
fn a_host_is_a_name_or_address_with_an_optional_port() {
    for good in [
        "a",
        "localhost:8080",
        "a.example",
        "127.0.0.1:8080",
        "[::1]",
        "[::1]:8080",
        "a:",
        "xn--a_b",
    ] {
        assert!(is_host(good.as_bytes()), "{good}");
    }
    for bad in [
        "", ":80", "a b", "a:port", "a:123456", "a/b", "user@a", "a:1:2", "[::1", "[x]:1",
        "[::1]8", "[]", "[", "]", "[::1]]", "ä",
    ] {
        assert!(!is_host(bad.as_bytes()), "{bad}");
    }
}

#[test]
fn only_http_1_0_may_omit_the_host_and_none_may_repeat_it() {
    assert_eq!(checked(Version::HTTP_10, &[]), Ok(()));
    assert_eq!(checked(Version::HTTP_11, &["localhost"]), Ok(()));
    for (version, values, detail) in [
        (Version::HTTP_11, vec![], "`Host`: is missing"),
        (Version::HTTP_2, vec![], "`Host`: is missing"),
        (Version::HTTP_10, vec!["a b"], "`Host`: is not a host and port"),
        (Version::HTTP_11, vec![""], "`Host`: is not a host and port"),
        (Version::HTTP_11, vec!["a", "a"], "`Host`: is given more than once"),
    ] {
        let problem = checked(version, &values).unwrap_err();
        assert_eq!((problem.status, problem.detail.as_str()), (400, detail), "{values:?}");
    }
}
