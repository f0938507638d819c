use axum::http::{HeaderName, HeaderValue};
use clap::Parser;

use super::*;

#[derive(Parser)]
struct Settable {
    #[command(flatten)]
    http: HttpConfig,
}

fn given(options: &[&str]) -> Option<HttpConfig> {
    let arguments = ["test"].iter().chain(options);
    Settable::try_parse_from(arguments).map(|settable| settable.http).ok()
}

#[test]
fn headers_are_counted_by_their_names_and_values() {
    let with = |length: usize| {
        let mut headers = HeaderMap::new();
        headers.append(HeaderName::from_static("a-name"), HeaderValue::from_static("value"));
        let value = HeaderValue::from_bytes(&vec![b'x'; length]).unwrap();
        headers.append(HeaderName::from_static("other"), value);
        check_headers(&headers)
    };
    let rest = HEADERS_LIMIT - "a-name".len() - "value".len() - "other".len();
    assert_eq!(with(rest), Ok(()));
    let problem = with(rest + 1).unwrap_err();
    assert_eq!((problem.status, problem.code.as_str()), (431, "request_header_fields_too_large"));
    assert!(problem.detail.contains("16384 bytes"), "{}", problem.detail);
    assert_eq!(check_headers(&HeaderMap::new()), Ok(()));
}

#[test]
fn the_defaults_of_the_command_line_are_those_of_the_code() {
    let parsed = given(&[]).unwrap();
    assert_eq!(format!("{parsed:?}"), format!("{:?}", HttpConfig::default()));
    assert_eq!(given(&["--drain-seconds=15"]).unwrap().drain(), Duration::from_secs(15));
}

#[test]
fn each_setting_becomes_its_limit() {
    let limits = Limits::from(HttpConfig {
        http_connections: 11,
        http_connections_per_address: 12,
        body_budget_mib: 13,
        answer_budget_mib: 14,
        drain_seconds: 15,
    });
    assert_eq!((limits.connections, limits.per_address), (11, 12));
    assert_eq!((limits.body_budget, limits.answer_budget), (13 << 20, 14 << 20));
    let default = Limits::default();
    assert_eq!((default.connections, default.per_address), (4_096, 1_024));
    assert_eq!((default.body_budget, default.answer_budget), (64 << 20, 64 << 20));
}

#[test]
fn settings_have_bounds() {
    for (option, least, most) in [
        ("--http-connections", 8, 1_000_000),
        ("--http-connections-per-address", 1, 1_000_000),
        ("--body-budget-mib", 2, 100_000),
        ("--answer-budget-mib", 8, 100_000),
        ("--drain-seconds", 0, 3_600),
    ] {
        for (value, is_valid) in
            [(least - 1, false), (least, true), (most, true), (most + 1, false)]
        {
            let is_accepted = given(&[option, &value.to_string()]).is_some();
            assert_eq!(is_accepted, is_valid, "{option} {value}");
        }
    }
}

#[test]
fn requests_of_all_clients_share_the_budgets() {
    let limits = Limits { body_budget: 2_048, answer_budget: 1_024, ..Limits::default() };
    let bounds = Bounds::new(limits);
    assert_eq!(bounds.client, IpAddr::from(Ipv4Addr::UNSPECIFIED));
    let of_client = bounds.of(Ipv4Addr::LOCALHOST.into());
    assert_eq!(of_client.client, IpAddr::from(Ipv4Addr::LOCALHOST));
    let (body, answer) = (of_client.bodies.take(2_048), of_client.answers.take(1_024));
    assert!(body.is_some() && answer.is_some());
    assert!(bounds.bodies.take(1).is_none() && bounds.answers.take(1).is_none());
    drop((body, answer));
    assert!(bounds.bodies.take(2_049).is_none() && bounds.answers.take(1_025).is_none());
}

#[test]
fn each_limit_has_its_problem() {
    let time = Duration::from_secs(30);
    for (problem, status, code, retry_after) in [
        (headers_too_large(), 431, "request_header_fields_too_large", None),
        (uri_too_long(), 414, "uri_too_long", None),
        (head_too_slow(time), 408, "request_timeout", None),
        (body_too_slow(time), 408, "request_timeout", None),
        (too_many_connections(), 503, "overloaded", Some(1)),
        (too_many_bodies(), 503, "overloaded", Some(1)),
        (too_many_answers(), 503, "overloaded", Some(1)),
    ] {
        let found = (problem.status, problem.code.as_str(), problem.retry_after);
        assert_eq!(found, (status, code, retry_after), "{}", problem.detail);
        let changed_nothing = problem.detail.ends_with("the request changed nothing");
        assert_eq!(changed_nothing, matches!(status, 408 | 503), "{}", problem.detail);
    }
    assert!(
        head_too_slow(time)
            .detail
            .starts_with("the head of the request was not received within 30s")
    );
    assert!(body_too_slow(time).detail.starts_with("the body was not received within 30s"));
}
