use axum::http::Request;
use serde::Deserialize;

use super::*;

#[derive(Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    limit: u8,
    after: Option<String>,
    #[serde(default)]
    descending: bool,
}

async fn asked(query: &str) -> Result<Asked, (u16, String, String)> {
    let request = Request::get(format!("/v1/accounts{query}")).body(()).unwrap();
    let read = Query::<Asked>::from_request_parts(&mut request.into_parts().0, &()).await;
    read.map(|Query(asked)| asked).map_err(|mut problem| {
        let error = problem.errors.remove(0);
        (problem.status, error.field, error.detail)
    })
}

#[tokio::test]
async fn a_query_is_decoded_as_a_form() {
    let found = asked("?limit=7&after=a%20b%2Bc+d%C3%A4&descending=true").await.unwrap();
    let after = Some("a b+c dä".to_owned());
    assert_eq!(found, Asked { limit: 7, after, descending: true });
    let least = Asked { limit: 0, after: None, descending: false };
    assert_eq!(asked("?limit=0").await, Ok(least));
    assert_eq!(asked("?limit=1&after=").await.unwrap().after.as_deref(), Some(""));
}

#[tokio::test]
async fn a_faulty_parameter_is_named() {
    for (query, field, detail) in [
        ("", "limit", "missing field `limit`"),
        ("?", "limit", "missing field `limit`"),
        ("?limit=1&limit=2", "limit", "duplicate field `limit`"),
        ("?limit=many", "limit", "must be a whole number"),
        ("?limit=-1", "limit", "must be a whole number"),
        ("?limit=256", "limit", "number too large to fit in target type"),
        ("?limit=1&descending=yes", "descending", "provided string was not `true` or `false`"),
        ("?limit=1&after=%FF", "after", "is not UTF-8"),
        ("?limit=1&%FF=x", "\u{fffd}", "is not UTF-8"),
    ] {
        let problem = asked(query).await.unwrap_err();
        assert_eq!(problem, (400, field.to_owned(), detail.to_owned()), "{query}");
    }
    let (status, field, detail) = asked("?limit=1&other=2").await.unwrap_err();
    assert_eq!((status, field.as_str()), (400, "other"));
    assert_eq!(detail, "unknown field `other`, expected one of `limit`, `after`, `descending`");
}

#[test]
fn the_field_of_a_complaint_completes_its_path() {
    for (path, complaint, name) in [
        (".", "invalid type: null", "whole"),
        ("?", "invalid type: null", "whole"),
        ("", "invalid type: null", "whole"),
        (".", "missing field `a`", "a"),
        ("?", "unknown field `a`, expected `b`", "a"),
        ("", "duplicate field `a`", "a"),
        ("a", "invalid type: null", "a"),
        ("a", "missing field `a`", "a"),
        ("a", "missing field `b`", "a.b"),
        ("a.b", "missing field `b`", "a.b"),
        ("a.bb", "missing field `b`", "a.bb.b"),
        ("a[3]", "unknown field `b`, expected `c`", "a[3].b"),
        ("a", "missing field `b", "a"),
        (".", "text with missing field `a`", "whole"),
    ] {
        assert_eq!(field(path, complaint, "whole"), name, "{path} {complaint}");
    }
}
