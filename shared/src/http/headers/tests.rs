use proptest::prelude::*;

use super::*;

fn headers(name: &'static str, values: &[&str]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for value in values {
        headers.append(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
    }
    headers
}

#[test]
fn a_malformed_traceparent_is_ignored() {
    let kept = |text: &str| traceparent(&headers("traceparent", &[text])).is_some();
    assert!(kept("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"));
    for bad in [
        "",
        "x",
        "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
        "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
    ] {
        assert!(!kept(bad), "{bad}");
    }
}

fn expected(values: &[&str]) -> Result<Option<Vec<i64>>, u16> {
    if_match(&headers("if-match", values)).map_err(|problem| problem.status)
}

fn key(values: &[&str]) -> Result<Option<String>, Problem> {
    string_item(&headers("idempotency-key", values), "Idempotency-Key", 8)
}

proptest! {
    #[test]
    fn an_etag_is_matched_by_itself_only(version: i64, other: i64) {
        let tag = etag(version);
        prop_assert_eq!(expected(&[&tag]), Ok(Some(vec![version])));
        prop_assert!(none_match(&headers("if-none-match", &[&tag]), &tag));
        let is_same = version == other;
        prop_assert_eq!(none_match(&headers("if-none-match", &[&tag]), &etag(other)), is_same);
    }

    #[test]
    fn tags_in_one_header_and_in_several_are_the_same_list(versions: Vec<i64>, turn in 0..4_usize) {
        let tags: Vec<String> = versions.iter().map(|version| etag(*version)).collect();
        let separator = [",", ", ", " ,", " ,, "][turn];
        let one = tags.join(separator);
        let several: Vec<&str> = tags.iter().map(String::as_str).collect();
        let expected_versions = Ok(Some(versions.clone()));
        prop_assert_eq!(expected(&[&one]), expected_versions.clone());
        if !several.is_empty() {
            prop_assert_eq!(expected(&several), expected_versions);
        }
    }

    #[test]
    fn no_if_match_panics(list in "[W/\"*, 0-9a-]{0,12}") {
        let _ = expected(&[&list]);
        none_match(&headers("if-none-match", &[&list]), "\"7\"");
    }

    #[test]
    fn a_quoted_key_is_any_printable_ascii(text in "[ -~]{1,8}") {
        let quoted = format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
        prop_assert_eq!(key(&[&quoted]), Ok(Some(text)));
    }

    #[test]
    fn a_plain_key_is_visible_ascii_that_begins_with_no_quote(text in "[ -~é]{0,10}") {
        let plain = text.trim_matches(' ');
        prop_assume!(!plain.starts_with('"'));
        let is_key = (1..=8).contains(&plain.len()) && plain.bytes().all(|b| b.is_ascii_graphic());
        let read = key(&[plain]).ok().flatten();
        prop_assert_eq!(read.as_deref(), is_key.then_some(plain));
        prop_assert_eq!(is_visible_ascii(plain, 8), is_key);
    }

    #[test]
    fn a_wait_is_at_most_ten_seconds(seconds: u32) {
        let among_others = format!("respond-async, WAIT = \"{seconds}\"; x=1");
        for wait in [format!("wait={seconds}"), among_others] {
            let wait = preferred_wait(&headers("prefer", &[&wait]));
            prop_assert_eq!(wait, Some(Duration::from_secs(u64::from(seconds).min(10))));
        }
    }
}

#[test]
fn a_key_is_the_same_with_and_without_quotes() {
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
        assert_eq!(key(&[value]), Ok(Some(text.to_owned())), "{value}");
    }
    for bad in
        ["\"\"", "\"a", "\"a\"b", "\"\\a\"", "\"123456789\"", "\"a\", \"b\"", "\"é\"", "\"a\tb\""]
    {
        assert_eq!(
            key(&[bad]).unwrap_err().errors[0].detail,
            "must be 1 to 8 printable ASCII characters between quotes",
            "{bad}"
        );
    }
    for bad in ["", "a b", "123456789", "é"] {
        assert_eq!(
            key(&[bad]).unwrap_err().errors[0].detail,
            "must be 1 to 8 visible ASCII characters, no spaces; spaces are permitted between \
             quotes",
            "{bad}"
        );
    }
    assert_eq!(key(&[]), Ok(None));
}

#[test]
fn a_repeated_key_is_refused_even_if_the_values_are_equal() {
    for values in [["a", "a"], ["\"a\"", "\"a\""], ["a", "\"b\""]] {
        let problem = key(&values).unwrap_err();
        assert_eq!((problem.status, problem.errors[0].field.as_str()), (400, "Idempotency-Key"));
        assert!(problem.detail.contains("is given more than once"), "{}", problem.detail);
    }
    let twice = headers("x-correlation-id", &["a", "a"]);
    assert!(visible_ascii(&twice, "X-Correlation-Id", 8).is_err());
    let once = headers("x-correlation-id", &["a"]);
    assert_eq!(visible_ascii(&once, "X-Correlation-Id", 8), Ok(Some("a")));
    assert_eq!(visible_ascii(&once, "X-Other", 8), Ok(None));
}

#[test]
fn printable_ascii_has_a_least_and_a_greatest_length() {
    for (text, is_printable) in [
        ("", false),
        ("a", true),
        (" ", true),
        ("~~~~", true),
        ("aaaaa", false),
        ("\u{7f}", false),
        ("ä", false),
    ] {
        assert_eq!(is_printable_ascii(text, 4), is_printable, "{text:?}");
        assert_eq!(is_visible_ascii(text, 4), is_printable && text != " ", "{text:?}");
    }
}

#[test]
fn if_match_yields_the_versions_of_its_strong_tags() {
    assert_eq!(expected(&[]), Ok(None));
    assert_eq!(expected(&["*"]), Ok(None));
    for among_others in [vec!["\"7\", *"], vec!["*, \"7\""], vec!["\"7\"", "*"], vec!["*", "\"7\""]]
    {
        assert_eq!(expected(&among_others), Ok(None), "{among_others:?}");
    }
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
        (vec![""], vec![]),
        (vec!["\"99999999999999999999\""], vec![]),
    ] {
        assert_eq!(expected(&values), Ok(Some(versions)), "{values:?}");
    }
    for bad in ["7", "\"7", "7\"", "w/\"7\"", "\"7\" \"8\"", "W/7", "**", "\"7\";q=1", "W/*"] {
        assert_eq!(expected(&[bad]), Err(400), "{bad}");
        assert_eq!(expected(&["\"7\"", bad]), Err(400), "{bad}");
    }
}

#[test]
fn if_none_match_compares_weakly() {
    for (values, is_match) in [
        (vec![], false),
        (vec!["\"7\""], true),
        (vec!["W/\"7\""], true),
        (vec!["\"6\", W/\"7\" "], true),
        (vec!["\"6\"", "\"7\""], true),
        (vec!["*"], true),
        (vec!["\"6\", *"], true),
        (vec!["\"77\""], false),
        (vec!["7"], false),
        (vec!["w/\"7\""], false),
        (vec!["\u{e4}, \"7\""], false),
    ] {
        assert_eq!(none_match(&headers("if-none-match", &values), "\"7\""), is_match, "{values:?}");
    }
}

#[test]
fn a_wait_that_is_malformed_is_as_if_it_was_absent() {
    for (values, wait) in [
        (vec![], None),
        (vec!["wait"], None),
        (vec!["wait="], None),
        (vec!["wait=-1"], None),
        (vec!["wait=1.5"], None),
        (vec!["wait=4294967296"], None),
        (vec!["waits=3"], None),
        (vec!["wait=soon, wait=3"], None),
        (vec!["wait=0"], Some(0)),
        (vec!["wait=3"], Some(3)),
        (vec!["return=minimal; wait=3"], Some(3)),
        (vec!["return=minimal", "wait=3"], Some(3)),
        (vec!["wait=3, wait=5"], Some(3)),
    ] {
        let prefer = headers("prefer", &values);
        assert_eq!(preferred_wait(&prefer), wait.map(Duration::from_secs), "{values:?}");
        assert_eq!(prefer_wait(&prefer), Duration::from_secs(wait.unwrap_or(1)), "{values:?}");
    }
}
