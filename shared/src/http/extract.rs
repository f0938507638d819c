//! Extractors whose rejections are problems that name the field.

mod fields;
mod json;
mod metadata;

use std::borrow::Cow;

use axum::RequestPartsExt;
use axum::extract::{FromRequestParts, RawPathParams};
use axum::http::request::Parts;
use serde::de::DeserializeOwned;

pub use self::fields::Fields;
pub use self::json::{Json, JsonText, from_json};
pub use self::metadata::QueryWithMetadata;
use super::problem::Problem;

/// Extractor of the query. `T` should deny unknown fields.
#[derive(Debug)]
pub struct Query<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let query = parts.uri.query().unwrap_or_default();
        // Only for its check: serde would take broken UTF-8 as replacement characters.
        drop(pairs(query)?);
        read(query).map(Self)
    }
}

/// Decodes the parameters of a query.
fn pairs(query: &str) -> Result<impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)>, Problem> {
    let pairs = form_urlencoded::parse(query.as_bytes());
    let is_broken = |text: &str| text.contains(char::REPLACEMENT_CHARACTER);
    match pairs.clone().find(|(name, value)| is_broken(name) || is_broken(value)) {
        Some((name, _)) => Err(Problem::malformed(name, "is not UTF-8")),
        None => Ok(pairs),
    }
}

fn read<T: DeserializeOwned>(query: &str) -> Result<T, Problem> {
    let reader = serde_urlencoded::Deserializer::new(form_urlencoded::parse(query.as_bytes()));
    serde_path_to_error::deserialize(reader).map_err(|error| {
        let path = error.path().to_string();
        let detail = error.into_inner().to_string();
        let detail = detail.replace("invalid digit found in string", "must be a whole number");
        Problem::malformed(field(&path, &detail, "query"), detail)
    })
}

/// Extractor of the path parameters.
#[derive(Debug)]
pub struct Path<T>(pub T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Path<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        if let Ok(axum::extract::Path(value)) =
            axum::extract::Path::from_request_parts(parts, state).await
        {
            return Ok(Self(value));
        }
        // Read once more, because axum's error does not name the parameters.
        let Ok(given) = parts.extract::<RawPathParams>().await else {
            return Err(Problem::malformed("path", "is not UTF-8"));
        };
        let is_id = |name: &str| name.ends_with("id");
        let wrong =
            |(name, value): &(&str, &str)| !is_id(name) || uuid::Uuid::try_parse(value).is_err();
        let names: Vec<&str> = given.iter().filter(wrong).map(|(name, _)| name).collect();
        let detail =
            if names.iter().all(|name| is_id(name)) { "is not a UUID" } else { "can't be read" };
        Err(Problem::malformed(names.join(", "), detail))
    }
}

/// Returns the field of a serde error; `whole` if it concerns no single field. The path lacks the
/// name of a missing, repeated or unknown field, so the message must provide it.
fn field(path: &str, complaint: &str, whole: &str) -> String {
    let path = if path == "." || path == "?" { "" } else { path };
    let complaints = ["missing field `", "duplicate field `", "unknown field `"];
    let named = complaints
        .iter()
        .find_map(|start| complaint.strip_prefix(start))
        .and_then(|rest| rest.split_once('`'));
    match (path, named) {
        ("", None) => whole.to_owned(),
        ("", Some((name, _))) => name.to_owned(),
        (path, Some((name, _))) if path != name && !path.ends_with(&format!(".{name}")) => {
            format!("{path}.{name}")
        }
        (path, _) => path.to_owned(),
    }
}

#[cfg(test)]
mod tests;
