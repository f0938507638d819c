//! Errors of Postgres, classified by how a caller reacts to them.

use std::time::Duration;

use sqlx::error::DatabaseError;
use tokio::time::timeout;

/// Maximum length of a reason, in characters.
const MAX_REASON: usize = 300;

/// Example of a reason, for API documentation.
pub const EXAMPLE: &str =
    "could not extend file \"base/16384/16397\": No space left on device (SQLSTATE 53100)";

/// Awaits a query for at most `limit`. A query that takes longer is dropped, and fails as if
/// Postgres could not be reached.
///
/// # Errors
/// The query's error, or [`sqlx::Error::PoolTimedOut`] after `limit`.
pub async fn within<T, E: From<sqlx::Error>>(
    limit: Duration,
    query: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    timeout(limit, query).await.unwrap_or_else(|_| Err(sqlx::Error::PoolTimedOut.into()))
}

/// Returns true if the connection is lost. The outcome of the statement is unknown.
pub fn is_connection_lost(error: &sqlx::Error) -> bool {
    match error {
        // After a protocol error or a timeout, too, nothing is known about the statement.
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::Protocol(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed => true,
        // 08: connection exceptions; 57P: the server is shutting down or starting up, or ended the
        // session; 53300: too many connections; 25P03: idle in a transaction for too long.
        sqlx::Error::Database(error) => error.code().is_some_and(|code| {
            code.starts_with("08") || code.starts_with("57P") || code == "53300" || code == "25P03"
        }),
        _ => false,
    }
}

/// Returns true if a new connection failed for a reason that no wait removes: the server has no
/// TLS, a certificate is wrong, or the server refuses the role or its password.
pub fn is_misconfigured(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Tls(_) | sqlx::Error::Configuration(_) => true,
        // The driver wraps errors of a handshake.
        sqlx::Error::Io(error) => error.get_ref().is_some_and(|error| error.is::<rustls::Error>()),
        error => code(error).is_some_and(|code| code.starts_with("28")),
    }
}

/// Error classes of a Postgres that cannot execute statements at present or for this role: 25
/// read-only, 28 not authenticated, 3D no such database, 3F no such schema, 40 rolled back, 53 out
/// of resources, 54 limit exceeded, 55 wrong state, 57 cancelled or shutting down, 58 system error,
/// XX internal error.
const UNAVAILABLE: [&str; 11] = ["25", "28", "3D", "3F", "40", "53", "54", "55", "57", "58", "XX"];
/// Further codes of that kind, from a class with other meanings: missing rights, functions, tables
/// and columns, as in another database or an older schema.
const UNUSABLE_SCHEMA: [&str; 4] = ["42501", "42883", "42P01", "42703"];

/// Returns true if Postgres answers but cannot execute the statement at present: it is read-only,
/// out of resources, or lacks rights, tables, functions or types. The statement had no effect.
pub fn is_unavailable(error: &sqlx::Error) -> bool {
    // The driver looks types up before it sends the statement that needs them.
    let lacks_type = matches!(error, sqlx::Error::TypeNotFound { .. });
    lacks_type
        || code(error).is_some_and(|code| {
            UNAVAILABLE.iter().any(|class| code.starts_with(class))
                || UNUSABLE_SCHEMA.contains(&code.as_str())
        })
}

/// Returns the name of the violated constraint, if the statement violated one.
pub fn violated_constraint(error: &sqlx::Error) -> Option<&str> {
    error.as_database_error().and_then(DatabaseError::constraint)
}

/// Returns Postgres's message and SQLSTATE on one line. Details and hints are omitted, because they
/// can contain values of the statement.
pub fn reason(error: &sqlx::Error) -> String {
    let reason = match error {
        sqlx::Error::Database(error) => match error.code() {
            Some(code) => format!("{} (SQLSTATE {code})", error.message()),
            None => error.message().to_owned(),
        },
        sqlx::Error::Io(inner) if is_misconfigured(error) => {
            format!("the TLS handshake with Postgres failed: {inner}")
        }
        sqlx::Error::Io(error) => format!("Postgres can't be reached: {error}"),
        sqlx::Error::PoolTimedOut => "Postgres does not answer in time".to_owned(),
        sqlx::Error::PoolClosed => "the service is starting or stopping".to_owned(),
        other => other.to_string(),
    };
    let reason: String = reason.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    match reason.char_indices().nth(MAX_REASON) {
        Some((end, _)) => format!("{}…", &reason[..end]),
        None => reason,
    }
}

fn code(error: &sqlx::Error) -> Option<String> {
    Some(error.as_database_error()?.code()?.into_owned())
}

/// Returns true if a table or schema of the statement does not exist.
pub fn is_missing(error: &sqlx::Error) -> bool {
    has_code(error, &["42P01", "3F000"])
}

/// Returns true if the role lacks a right that the statement needs.
pub fn is_forbidden(error: &sqlx::Error) -> bool {
    has_code(error, &["42501"])
}

fn has_code(error: &sqlx::Error, codes: &[&str]) -> bool {
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    code.is_some_and(|code| codes.contains(&code.as_ref()))
}

#[cfg(test)]
mod tests;
