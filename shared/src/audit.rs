//! Audit trail: calls of operators, permitted or not, in the log of the process and in a table of
//! the service's database.

mod table;
mod writer;

use std::net::IpAddr;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use tokio::sync::mpsc::{self, Sender};

pub use self::table::AuditRow;
use self::table::AuditTable;
pub use self::writer::AuditWriter;
use crate::timestamp::Timestamp;

/// Counter of calls without a principal, which only the log of the process has.
const UNAUTHENTICATED: &str = "passbook_audit_unauthenticated_total";
/// Counter of calls that the table lacks.
const LOST: &str = "passbook_audit_lost_total";
/// Maximum number of calls that wait to be written.
const QUEUE: usize = 4_096;
const CONNECTIONS: u32 = 2;
const PATIENCE: Duration = Duration::from_secs(2);
/// Maximum length of a path, in characters.
const MAX_PATH: usize = 256;

/// Call of an operator.
#[derive(Debug, Clone)]
pub struct AuditedCall {
    /// Time of the response.
    pub at: Timestamp,
    /// Principal; absent without authentication.
    pub principal: Option<String>,
    /// Operation id of the OpenAPI document.
    pub operation: String,
    /// Path of the request.
    pub path: String,
    /// Status of the response.
    pub status: u16,
    /// Id of the request.
    pub request_id: String,
    /// Address of the client or of its proxy.
    pub peer: Option<IpAddr>,
}

/// Audit trail of a service. Cheap to clone.
#[derive(Debug, Clone)]
pub struct AuditTrail {
    table: AuditTable,
    waiting: Sender<AuditedCall>,
}

impl AuditTrail {
    /// Creates the trail of a schema, and the task that writes it. Connects to the database when it
    /// is needed.
    pub fn new(schema: &'static str, database: &PgConnectOptions) -> (Self, AuditWriter) {
        metrics::describe_counter!(UNAUTHENTICATED, "Calls of operators without a principal.");
        metrics::describe_counter!(LOST, "Calls of operators that the audit trail lacks.");
        for counter in [UNAUTHENTICATED, LOST] {
            metrics::counter!(counter).absolute(0);
        }
        let options = database.clone().application_name("passbook-audit");
        let pool = PgPoolOptions::new()
            .max_connections(CONNECTIONS)
            .acquire_timeout(PATIENCE)
            .connect_lazy_with(options.options([("statement_timeout", "10s")]));
        let table = AuditTable::new(schema, pool);
        let (waiting, calls) = mpsc::channel(QUEUE);
        (Self { table: table.clone(), waiting }, AuditWriter::new(table, calls))
    }

    /// Returns the calls before one, newest first.
    ///
    /// # Errors
    /// Postgres cannot answer.
    pub async fn newest(&self, before: Option<i64>, limit: i64) -> sqlx::Result<Vec<AuditRow>> {
        self.table.newest(before, limit).await
    }

    /// Records a call of a principal. Does not wait for the database.
    pub(crate) fn record(&self, mut call: AuditedCall) {
        note(&call);
        if let Some((end, _)) = call.path.char_indices().nth(MAX_PATH) {
            call.path.truncate(end);
        }
        if self.waiting.try_send(call).is_err() {
            lost(1);
        }
    }

    /// Records a call without a principal in the log of the process only: a stranger must not fill
    /// the table.
    pub(crate) fn record_stranger(call: &AuditedCall) {
        note(call);
        metrics::counter!(UNAUTHENTICATED).increment(1);
    }
}

fn note(call: &AuditedCall) {
    let AuditedCall { principal, operation, path, status, request_id, peer, at: _ } = call;
    tracing::info!(
        target: "audit",
        principal,
        operation,
        path,
        status,
        request.id = request_id,
        peer = peer.map(tracing::field::display),
        "an operator's call"
    );
}

/// Reports calls that the table will lack.
fn lost(calls: usize) {
    metrics::counter!(LOST).increment(calls as u64);
    tracing::error!(calls, "the audit trail lacks calls, which only this log has");
}

#[cfg(test)]
mod tests;
