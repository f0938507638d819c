//! Queries that filter by metadata, with any number of `label=region:north` or
//! `metadata[region]=north`. OpenAPI calls the latter `deepObject`, which few generators support.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use serde::de::DeserializeOwned;

use super::{pairs, read};
use crate::http::problem::Problem;
use crate::text::Metadata;

/// Extractor of the query and its metadata filter. `T` should deny unknown fields; it does not get
/// those of the filter.
#[derive(Debug)]
pub struct QueryWithMetadata<T>(pub T, pub Metadata);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for QueryWithMetadata<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let mut metadata = Metadata::default();
        let mut rest = form_urlencoded::Serializer::new(String::new());
        for (name, value) in pairs(parts.uri.query().unwrap_or_default())? {
            // A metadata key may contain brackets.
            let in_brackets =
                name.strip_prefix("metadata[").and_then(|rest| rest.strip_suffix(']'));
            let label = match in_brackets {
                Some(key) => Some((key, &*value)),
                None if name == "label" => {
                    let label = value.split_once(':');
                    Some(label.ok_or_else(|| {
                        Problem::malformed("label", "must be a key and a value, as in region:north")
                    })?)
                }
                None => None,
            };
            match label {
                Some((key, value)) => {
                    metadata
                        .insert(key, value)
                        .map_err(|detail| Problem::malformed(name.as_ref(), detail))?;
                }
                None => drop(rest.append_pair(&name, &value)),
            }
        }
        let asked = read(&rest.finish())
            .map_err(|problem| problem.also_known(", `label`, `metadata[…]`"))?;
        Ok(Self(asked, metadata))
    }
}

#[cfg(test)]
mod tests {
    use axum::http::Request;
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Asked {
        limit: Option<i64>,
    }

    async fn asked(query: &str) -> Result<(Option<i64>, String), (u16, String, String)> {
        let request = Request::get(format!("/v1/accounts?{query}")).body(()).unwrap();
        let read =
            QueryWithMetadata::<Asked>::from_request_parts(&mut request.into_parts().0, &()).await;
        read.map(|QueryWithMetadata(asked, metadata)| {
            (asked.limit, serde_json::to_string(&metadata).unwrap())
        })
        .map_err(|problem| (problem.status, problem.errors[0].field.clone(), problem.detail))
    }

    #[tokio::test]
    async fn metadata_is_read_with_plain_or_encoded_brackets_and_as_labels() {
        let both = r#"{"region":"north","tier":"gold"}"#;
        for query in [
            "metadata[region]=north&limit=7&metadata[tier]=gold",
            "metadata%5Bregion%5D=north&limit=7&metadata%5btier%5d=gold",
            "label=region:north&limit=7&label=tier%3Agold",
            "metadata[region]=north&limit=7&label=tier:gold",
        ] {
            assert_eq!(asked(query).await, Ok((Some(7), both.to_owned())));
        }
        assert_eq!(asked("metadata[a[0]]=").await, Ok((None, r#"{"a[0]":""}"#.to_owned())));
        assert_eq!(
            asked("metadata[a%26b]=%3D%20+").await,
            Ok((None, r#"{"a&b":"=  "}"#.to_owned()))
        );
        assert_eq!(asked("label=a:b:c").await, Ok((None, r#"{"a":"b:c"}"#.to_owned())));
        assert_eq!(asked("").await, Ok((None, "{}".to_owned())));
    }

    #[tokio::test]
    async fn a_problem_with_metadata_names_the_parameter() {
        let long = "k".repeat(65);
        let many = (0..21).map(|n| format!("metadata[k{n}]=v")).collect::<Vec<_>>().join("&");
        for (query, name) in [
            ("metadata[]=x".to_owned(), "metadata[]"),
            (format!("metadata[{long}]=x"), &*format!("metadata[{long}]")),
            (format!("metadata[a]={}", "v".repeat(501)), "metadata[a]"),
            ("metadata[a]=x&metadata%5Ba%5D=x".to_owned(), "metadata[a]"),
            ("metadata[a]=%00".to_owned(), "metadata[a]"),
            ("metadata[a]=%ff".to_owned(), "metadata[a]"),
            ("metadata[%ff]=x".to_owned(), "metadata[\u{fffd}]"),
            (many, "metadata[k20]"),
            ("metadata=x".to_owned(), "metadata"),
            ("label=x".to_owned(), "label"),
            ("label=:x".to_owned(), "label"),
            ("label=a:x&metadata[a]=x".to_owned(), "metadata[a]"),
            ("metadata[a=x".to_owned(), "metadata[a"),
            ("labels[a]=x".to_owned(), "labels[a]"),
            ("metadata[a]=x&limit=x".to_owned(), "limit"),
        ] {
            let (status, field, detail) = asked(&query).await.unwrap_err();
            assert_eq!((status, field.as_str()), (400, name), "{detail}");
        }
        assert!(
            asked("format=x")
                .await
                .unwrap_err()
                .2
                .ends_with("expected `limit`, `label`, `metadata[…]`")
        );
    }
}
