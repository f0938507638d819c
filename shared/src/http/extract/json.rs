//! Extractors of JSON bodies.

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::HeaderMap;
use axum::http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use serde::de::{Deserialize, DeserializeOwned};

use super::field;
use crate::http::body;
use crate::http::problem::Problem;

/// Extractor of a JSON body. `T` should deny unknown fields.
#[derive(Debug)]
pub struct Json<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let JsonText(body) = JsonText::from_request(request, state).await?;
        from_json(&body).map(Self)
    }
}

/// Extractor of the text of a JSON body, for [`from_json`] of types that borrow from it. An empty
/// body counts as an empty object, so that the problem names the missing fields.
#[derive(Debug)]
pub struct JsonText(pub Bytes);

impl<S: Send + Sync> FromRequest<S> for JsonText {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        // Read here, because `read` takes the request; an empty body needs no content type.
        let is_json = is_json(request.headers());
        let body = read(request).await?;
        if body.is_empty() {
            return Ok(Self(Bytes::from_static(b"{}")));
        }
        if is_json { Ok(Self(body)) } else { Err(Problem::unsupported_media_type()) }
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let essence = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|v| v.split(';').next());
    essence.is_some_and(|essence| essence.trim().eq_ignore_ascii_case("application/json"))
}

async fn read(request: Request) -> Result<Bytes, Problem> {
    let codings = request.headers().get_all(CONTENT_ENCODING);
    if codings.iter().any(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"identity")) {
        return Err(Problem::unsupported_coding());
    }
    body::read(request).await
}

/// Deserializes a JSON text, which must be an object, or null if the type allows that.
///
/// # Errors
/// 400 `malformed_request` with the path of the field.
pub fn from_json<'de, T: Deserialize<'de>>(body: &'de [u8]) -> Result<T, Problem> {
    // A parser may ignore a byte order mark (RFC 8259, section 8.1).
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    if body.starts_with(b"\xfe\xff") || body.starts_with(b"\xff\xfe") {
        return Err(Problem::malformed("body", "has the byte order mark of UTF-16: JSON is UTF-8"));
    }
    // serde would also deserialize a struct from an array of its fields.
    if body.trim_ascii_start().starts_with(b"[") {
        return Err(Problem::malformed("body", "must be a JSON object"));
    }
    // Tracking the path of each field costs more than the parsing, so only a faulty body pays for
    // it.
    if let Ok(value) = serde_json::from_slice(body) {
        return Ok(value);
    }
    let mut reader = serde_json::Deserializer::from_slice(body);
    let value = serde_path_to_error::deserialize(&mut reader).map_err(malformed)?;
    reader.end().map_err(|error| Problem::malformed("body", error.to_string()))?;
    Ok(value)
}

/// Returns 400 `malformed_request` that names the field.
pub(super) fn malformed(error: serde_path_to_error::Error<serde_json::Error>) -> Problem {
    let path = error.path().to_string();
    let detail = message(&error.into_inner());
    Problem::malformed(field(&path, &detail, "body"), detail)
}

/// Returns serde's message, without the line and column of a value: the problem names the field.
fn message(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    if error.is_data() { text.strip_suffix(&place).unwrap_or(&text).to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Default, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "the test only deserializes it")]
    struct Outer {
        name: String,
        inner: Option<Vec<Inner>>,
    }

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "the test only deserializes it")]
    struct Inner {
        number: u8,
    }

    #[test]
    fn a_faulty_field_is_named_by_its_path() {
        for (body, field) in [
            (r#"{}"#, "name"),
            (r#"{"name":"a","name":"b"}"#, "name"),
            (r#"{"name":"a","other":1}"#, "other"),
            (r#"{"name":1}"#, "name"),
            (r#"{"name":"a","inner":[{"number":1},{}]}"#, "inner[1].number"),
            (r#"{"name":"a","inner":[{"number":256}]}"#, "inner[0].number"),
            (r#"{"name":"a","inner":[{"number":1,"more":2}]}"#, "inner[0].more"),
            (r#" ["a", null]"#, "body"),
            ("null", "body"),
            ("", "body"),
            (r#"{"name":"a"} x"#, "body"),
            ("\u{feff}{}", "name"),
            ("\u{feff}\u{feff}{}", "body"),
        ] {
            assert_eq!(
                from_json::<Outer>(body.as_bytes()).unwrap_err().errors[0].field,
                field,
                "{body}"
            );
        }
        assert!(from_json::<Outer>(br#"{"name":"a","inner":[]}"#).is_ok());
        assert!(from_json::<Option<Outer>>(b"null").unwrap().is_none());
        assert_eq!(from_json::<Outer>("\u{feff} {\"name\":\"a\"}".as_bytes()).unwrap().name, "a");
        let utf16: Vec<u8> = "\u{feff}{}".encode_utf16().flat_map(u16::to_be_bytes).collect();
        assert!(from_json::<Outer>(&utf16).unwrap_err().detail.contains("UTF-16"));
    }
}
