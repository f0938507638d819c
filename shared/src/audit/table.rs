//! SQL of the audit trail. Both services have the same table, each in its schema.

use sqlx::{AssertSqlSafe, FromRow, PgPool};

use super::AuditedCall;
use crate::timestamp::Timestamp;

/// Table of a schema.
#[derive(Debug, Clone)]
pub(super) struct AuditTable {
    schema: &'static str,
    pool: PgPool,
}

/// Call in the table.
#[derive(Debug, Clone, FromRow)]
pub struct AuditRow {
    /// Number of the call, ascending.
    pub audit_id: i64,
    /// Time of the response.
    pub called_at: Timestamp,
    /// Principal; absent without authentication.
    pub principal: Option<String>,
    /// Operation id of the OpenAPI document.
    pub operation: String,
    /// Path of the request.
    pub path: String,
    /// Status of the response.
    pub status: i16,
    /// Id of the request.
    pub request_id: String,
    /// Address of the client or of its proxy.
    pub peer: Option<String>,
}

impl AuditTable {
    pub(super) fn new(schema: &'static str, pool: PgPool) -> Self {
        Self { schema, pool }
    }

    /// Appends calls.
    pub(super) async fn append(&self, calls: &[AuditedCall]) -> sqlx::Result<()> {
        fn each<T>(calls: &[AuditedCall], part: impl Fn(&AuditedCall) -> T) -> Vec<T> {
            calls.iter().map(part).collect()
        }
        let sql = format!("SELECT {}.record_audit($1, $2, $3, $4, $5, $6, $7)", self.schema);
        sqlx::query(AssertSqlSafe(sql))
            .bind(each(calls, |call| call.at))
            .bind(each(calls, |call| call.principal.clone()))
            .bind(each(calls, |call| call.operation.clone()))
            .bind(each(calls, |call| call.path.clone()))
            .bind(each(calls, |call| i16::try_from(call.status).unwrap_or(i16::MAX)))
            .bind(each(calls, |call| call.request_id.clone()))
            .bind(each(calls, |call| call.peer.map(|peer| peer.to_string())))
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Returns up to `limit` calls before one, newest first.
    pub(super) async fn newest(
        &self,
        before: Option<i64>,
        limit: i64,
    ) -> sqlx::Result<Vec<AuditRow>> {
        let sql = format!(
            "SELECT audit_id, called_at, principal, operation, path, status, request_id, peer
               FROM {}.audit
              WHERE audit_id < $1
              ORDER BY audit_id DESC
              LIMIT $2",
            self.schema
        );
        sqlx::query_as(AssertSqlSafe(sql))
            .bind(before.unwrap_or(i64::MAX))
            .bind(limit)
            .fetch_all(&self.pool)
            .await
    }
}
