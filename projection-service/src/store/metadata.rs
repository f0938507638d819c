//! Client metadata in the views: a JSON object, or NULL if it is empty.

use passbook_shared::text::Metadata;
use serde_json::Value;
use sqlx::{Postgres, QueryBuilder};

/// Returns the metadata as JSON text; `None` if empty.
pub(super) fn text(metadata: Option<&Metadata>) -> Option<String> {
    metadata
        .filter(|metadata| !metadata.is_empty())
        .and_then(|metadata| serde_json::to_string(metadata).ok())
}

/// Restricts a query with a `WHERE` clause to rows whose `column` contains all of `wanted`.
pub(super) fn restrict(sql: &mut QueryBuilder<Postgres>, column: &'static str, wanted: &Metadata) {
    if let Some(wanted) = text(Some(wanted)) {
        // The text is bound and cast, so the values of clients never become SQL.
        sql.push(" AND ").push(column).push(" @> ").push_bind(wanted).push("::jsonb");
    }
}

/// Returns the metadata as a JSON value, comparable with that of [`read`].
pub(crate) fn value(metadata: Option<&Metadata>) -> Option<Value> {
    metadata
        .filter(|metadata| !metadata.is_empty())
        .and_then(|metadata| serde_json::to_value(metadata).ok())
}

/// Parses the text that Postgres returns.
pub(super) fn read(text: Option<&str>) -> sqlx::Result<Option<Value>> {
    text.map(serde_json::from_str).transpose().map_err(|error| sqlx::Error::Decode(error.into()))
}
