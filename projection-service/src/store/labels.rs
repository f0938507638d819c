//! The sender's labels as the views hold them: a JSON object, or nothing where there are none.

use passbook_shared::text::Metadata;
use serde_json::Value;
use sqlx::{Postgres, QueryBuilder};

/// As text for Postgres.
pub(super) fn text(metadata: Option<&Metadata>) -> Option<String> {
    metadata
        .filter(|metadata| !metadata.is_empty())
        .and_then(|metadata| serde_json::to_string(metadata).ok())
}

/// Restricts a query whose `WHERE` is begun to rows that have all of these in the column.
pub(super) fn restrict(sql: &mut QueryBuilder<Postgres>, column: &'static str, wanted: &Metadata) {
    if let Some(wanted) = text(Some(wanted)) {
        sql.push(" AND ").push(column).push(" @> ").push_bind(wanted).push("::jsonb");
    }
}

/// To be compared with what [`read`] gives.
pub(crate) fn value(metadata: Option<&Metadata>) -> Option<Value> {
    metadata
        .filter(|metadata| !metadata.is_empty())
        .and_then(|metadata| serde_json::to_value(metadata).ok())
}

/// From the text that Postgres gives.
pub(super) fn read(text: Option<&str>) -> sqlx::Result<Option<Value>> {
    text.map(serde_json::from_str).transpose().map_err(|error| sqlx::Error::Decode(error.into()))
}
