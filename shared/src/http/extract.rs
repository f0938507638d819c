//! Extractors whose refusals are problems that name the field.

use axum::RequestPartsExt;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{FromRequest, FromRequestParts, RawPathParams, Request};
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use serde::de::DeserializeOwned;

use super::problem::Problem;

/// A body of JSON. What it is read into should refuse unknown fields.
#[derive(Debug)]
pub struct Json<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        if !is_json(request.headers()) {
            let detail = "the body must be JSON, with `Content-Type: application/json`";
            return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", detail));
        }
        let body = read(request, state).await?;
        from_json(&body).map(Self)
    }
}

/// A body of JSON that may be absent or empty, which is then the default.
#[derive(Debug)]
pub struct OptionalJson<T>(pub T);

impl<T: DeserializeOwned + Default, S: Send + Sync> FromRequest<S> for OptionalJson<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let json = is_json(request.headers());
        let body = read(request, state).await?;
        if body.is_empty() {
            return Ok(Self(T::default()));
        }
        if !json {
            let detail = "a body must be JSON, with `Content-Type: application/json`";
            return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", detail));
        }
        from_json(&body).map(Self)
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let essence = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).and_then(|v| v.split(';').next());
    essence.is_some_and(|essence| essence.trim().eq_ignore_ascii_case("application/json"))
}

async fn read<S: Send + Sync>(request: Request, state: &S) -> Result<Bytes, Problem> {
    Bytes::from_request(request, state).await.map_err(|rejection: BytesRejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => {
            let detail = format!("a body may have at most {} bytes", super::BODY_LIMIT);
            Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "payload_too_large", detail)
        }
        _ => Problem::malformed("body", "could not be read to its end"),
    })
}

/// The value of a whole JSON text, which is an object (or null, where the type allows that).
///
/// # Errors
/// 400 `malformed_request` with the path of the field.
pub fn from_json<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    // Left to itself, serde would also read a struct's fields from an array, by their order.
    if body.trim_ascii_start().starts_with(b"[") {
        return Err(Problem::malformed("body", "must be a JSON object"));
    }
    let mut reader = serde_json::Deserializer::from_slice(body);
    let value = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let path = error.path().to_string();
        let detail = error.into_inner().to_string();
        Problem::malformed(field(&path, &detail, "body"), detail)
    })?;
    reader.end().map_err(|error| Problem::malformed("body", error.to_string()))?;
    Ok(value)
}

/// The field that serde complains of; `whole` if it is none in particular. What is missing, there twice or unknown is
/// not in the path yet, only in the complaint.
fn field(path: &str, complaint: &str, whole: &str) -> String {
    let path = if path == "." || path == "?" { "" } else { path };
    let complaints = ["missing field `", "duplicate field `", "unknown field `"];
    let named = complaints.iter().find_map(|start| complaint.strip_prefix(start)).and_then(|rest| rest.split_once('`'));
    match (path, named) {
        ("", None) => whole.to_owned(),
        ("", Some((name, _))) => name.to_owned(),
        (path, Some((name, _))) if path != name && !path.ends_with(&format!(".{name}")) => format!("{path}.{name}"),
        (path, _) => path.to_owned(),
    }
}

/// The query of the URL. What it is read into should refuse unknown fields.
#[derive(Debug)]
pub struct Query<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let query = parts.uri.query().unwrap_or_default();
        let reader = serde_urlencoded::Deserializer::new(form_pairs(query));
        serde_path_to_error::deserialize(reader).map(Self).map_err(|error| {
            let path = error.path().to_string();
            let detail = error.into_inner().to_string();
            Problem::malformed(field(&path, &detail, "query"), detail)
        })
    }
}

fn form_pairs(query: &str) -> form_urlencoded::Parse<'_> {
    form_urlencoded::parse(query.as_bytes())
}

/// The parameters of the path, by name.
#[derive(Debug)]
pub struct Path<T>(pub T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Path<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        if let Ok(axum::extract::Path(value)) = axum::extract::Path::from_request_parts(parts, state).await {
            return Ok(Self(value));
        }
        let Ok(given) = parts.extract::<RawPathParams>().await else {
            return Err(Problem::malformed("path", "is not UTF-8"));
        };
        let names: Vec<&str> = given.iter().map(|(name, _)| name).collect();
        let detail = if names.iter().all(|name| name.ends_with("id")) { "is not a UUID" } else { "can't be read" };
        Err(Problem::malformed(names.join(", "), detail))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Default, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only read into")]
    struct Outer {
        name: String,
        inner: Option<Vec<Inner>>,
    }

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only read into")]
    struct Inner {
        number: u8,
    }

    #[test]
    fn what_is_wrong_is_named_by_its_path() {
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
        ] {
            assert_eq!(from_json::<Outer>(body.as_bytes()).unwrap_err().errors[0].field, field, "{body}");
        }
        assert!(from_json::<Outer>(br#"{"name":"a","inner":[]}"#).is_ok());
        assert!(from_json::<Option<Outer>>(b"null").unwrap().is_none());
    }
}
