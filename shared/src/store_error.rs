//! Errors of Postgres, classified by how a caller reacts to them.

use std::time::Duration;

use sqlx::error::DatabaseError;
use tokio::time::timeout;

/// Maximum length of a reason, in characters.
const LONGEST: usize = 300;

/// An example of a reason, for documents.
pub const EXAMPLE: &str =
    "could not extend file \"base/16384/16397\": No space left on device (SQLSTATE 53100)";

/// Awaits a query for at most `limit`. A query that takes longer is dropped, and fails as if Postgres could not be reached.
///
/// # Errors
/// The query's error, or [`sqlx::Error::PoolTimedOut`] after `limit`.
pub async fn within<T, E: From<sqlx::Error>>(
    limit: Duration,
    query: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    timeout(limit, query).await.unwrap_or_else(|_| Err(sqlx::Error::PoolTimedOut.into()))
}

/// Whether Postgres is away or going: the connection is of no more use, and what was being done may or may not
/// have happened.
pub fn is_connection_lost(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::Protocol(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed => true,
        // Class 08: connection exceptions; 57P: the server is shutting down, starting up or ended the session;
        // 53300: no connection left; 25P03: idle in a transaction for too long.
        sqlx::Error::Database(error) => error.code().is_some_and(|code| {
            code.starts_with("08") || code.starts_with("57P") || code == "53300" || code == "25P03"
        }),
        _ => false,
    }
}

/// Classes of errors by which Postgres says that it can't work now, or not for us: 25 read-only, 28 not authenticated, 3D
/// no such database, 3F no such schema, 40 rolled back, 53 out of resources, 54 a limit, 55 not in the state for it, 57
/// cancelled or going, 58 the system below it, F0 its configuration, XX a defect or damage of its own.
const UNAVAILABLE: [&str; 11] = ["25", "28", "3D", "3F", "40", "53", "54", "55", "57", "58", "XX"];
/// The same, of a class with other meanings: rights that were revoked; functions, tables and columns that are not there,
/// as in another database or under an older schema.
const NOT_OURS: [&str; 4] = ["42501", "42883", "42P01", "42703"];

/// Returns whether Postgres answers, but says that it can't work now: out of resources, read-only, cancelled, an error of
/// its disk, rights, tables, functions or types that are missing. Nothing was done.
pub fn is_unavailable(error: &sqlx::Error) -> bool {
    // Types are looked up before the statement that needs them.
    let lacks_type = matches!(error, sqlx::Error::TypeNotFound { .. });
    lacks_type
        || code(error).is_some_and(|code| {
            UNAVAILABLE.iter().any(|class| code.starts_with(class))
                || NOT_OURS.contains(&code.as_str())
        })
}

/// The name of the constraint that refused, if that is what happened.
pub fn violated_constraint(error: &sqlx::Error) -> Option<&str> {
    error.as_database_error().and_then(DatabaseError::constraint)
}

/// Postgres's own reason, for people: its message and SQLSTATE, on one line. Holds no values of a statement: those are in
/// details and hints, which are left out.
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
    match reason.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &reason[..end]),
        None => reason,
    }
}

fn code(error: &sqlx::Error) -> Option<String> {
    Some(error.as_database_error()?.code()?.into_owned())
}

/// Whether a table or a schema that the statement names is not there.
pub fn is_missing(error: &sqlx::Error) -> bool {
    has_code(error, &["42P01", "3F000"])
}

/// Whether the role lacks a right that the statement needs.
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
    struct Said(&'static str, &'static str);

    impl fmt::Display for Said {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.1)
        }
    }

    impl std::error::Error for Said {}

    impl DatabaseError for Said {
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

    fn said(code: &'static str, message: &'static str) -> sqlx::Error {
        sqlx::Error::Database(Box::new(Said(code, message)))
    }

    #[test]
    fn what_keeps_postgres_from_working_is_its_own_reason_and_no_defect_of_ours() {
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
            let error = said(code, message);
            assert_eq!(is_connection_lost(&error), lost, "{code}");
            assert!(lost || is_unavailable(&error), "{code}");
            assert_eq!(reason(&error), format!("{message} (SQLSTATE {code})"));
        }
        assert!(is_unavailable(&sqlx::Error::TypeNotFound {
            type_name: "passbook.new_key".to_owned()
        }));
        let defect = said("22P02", "invalid input syntax for type json");
        assert!(!is_unavailable(&defect) && !is_connection_lost(&defect));
        assert!(reason(&said("XX000", "a\nb\u{1b}[31m")).starts_with("a b [31m"));
        let long: &'static str = "x".repeat(1_000).leak();
        assert!(reason(&said("XX000", long)).chars().count() <= LONGEST + 1);
    }
}
