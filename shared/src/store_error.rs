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
pub(crate) fn is_missing(error: &sqlx::Error) -> bool {
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
mod tests {
    use std::borrow::Cow;
    use std::fmt;

    use sqlx::error::ErrorKind;

    use super::*;

    #[derive(Debug)]
    struct Reported(&'static str, &'static str);

    impl fmt::Display for Reported {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.1)
        }
    }

    impl std::error::Error for Reported {}

    impl DatabaseError for Reported {
        fn message(&self) -> &str {
            self.1
        }

        fn code(&self) -> Option<Cow<'_, str>> {
            Some(self.0.into())
        }

        fn kind(&self) -> ErrorKind {
            ErrorKind::Other
        }

        fn as_error(&self) -> &(dyn std::error::Error + Send + Sync + 'static) {
            self
        }

        fn as_error_mut(&mut self) -> &mut (dyn std::error::Error + Send + Sync + 'static) {
            self
        }

        fn into_error(self: Box<Self>) -> Box<dyn std::error::Error + Send + Sync + 'static> {
            self
        }
    }

    fn reported(code: &'static str, message: &'static str) -> sqlx::Error {
        sqlx::Error::Database(Box::new(Reported(code, message)))
    }

    #[test]
    fn an_error_that_keeps_postgres_from_working_is_unavailability_with_its_reason() {
        for (code, message, lost) in [
            ("53100", "could not extend file \"base/5/16397\": No space left on device", false),
            ("53200", "out of memory", false),
            ("53300", "sorry, too many clients already", true),
            ("25006", "cannot execute INSERT in a read-only transaction", false),
            ("42501", "permission denied for function append", false),
            ("42883", "function passbook.append(smallint[]) does not exist", false),
            ("3D000", "database \"other\" does not exist", false),
            ("28P01", "password authentication failed for user \"ada\"", false),
            ("57014", "canceling statement due to statement timeout", false),
            ("55P03", "canceling statement due to lock timeout", false),
            (
                "58P01",
                "could not access file \"$libdir/plpgsql\": No such file or directory",
                false,
            ),
            ("57P01", "terminating connection due to administrator command", true),
        ] {
            let error = reported(code, message);
            assert_eq!(is_connection_lost(&error), lost, "{code}");
            assert!(lost || is_unavailable(&error), "{code}");
            assert_eq!(reason(&error), format!("{message} (SQLSTATE {code})"));
        }
        assert!(is_unavailable(&sqlx::Error::TypeNotFound {
            type_name: "passbook.new_key".to_owned()
        }));
        let defect = reported("22P02", "invalid input syntax for type json");
        assert!(!is_unavailable(&defect) && !is_connection_lost(&defect));
        assert!(reason(&reported("XX000", "a\nb\u{1b}[31m")).starts_with("a b [31m"));
        let long: &'static str = "x".repeat(1_000).leak();
        assert!(reason(&reported("XX000", long)).chars().count() <= MAX_REASON + 1);
    }
}
