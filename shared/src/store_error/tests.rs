use std::borrow::Cow;
use std::fmt;
use std::io;

use proptest::prelude::*;
use sqlx::error::ErrorKind;

use super::*;

/// Error that Postgres reports.
#[derive(Debug)]
struct Reported {
    code: Option<String>,
    message: String,
    constraint: Option<&'static str>,
}

impl fmt::Display for Reported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Reported {}

impl DatabaseError for Reported {
    fn message(&self) -> &str {
        &self.message
    }

    fn code(&self) -> Option<Cow<'_, str>> {
        self.code.as_deref().map(Cow::Borrowed)
    }

    fn constraint(&self) -> Option<&str> {
        self.constraint
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

fn reported(code: &str, message: &str) -> sqlx::Error {
    let (code, message) = (Some(code.to_owned()), message.to_owned());
    sqlx::Error::Database(Box::new(Reported { code, message, constraint: None }))
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
        ("58P01", "could not access file \"$libdir/plpgsql\": No such file or directory", false),
        ("57P01", "terminating connection due to administrator command", true),
    ] {
        let error = reported(code, message);
        assert_eq!(is_connection_lost(&error), lost, "{code}");
        assert!(is_unavailable(&error), "{code}");
        assert_eq!(reason(&error), format!("{message} (SQLSTATE {code})"));
    }
}

#[test]
fn an_sqlstate_is_a_lost_connection_or_unavailability_or_a_defect() {
    for (codes, lost, unavailable) in [
        (vec!["08000", "08006", "08P01"], true, false),
        (vec!["57P01", "57P02", "57P03", "57P05", "53300", "25P03"], true, true),
        (vec!["57000", "57014", "53000", "53400", "25001", "25P02"], false, true),
        (vec!["28000", "3D000", "3F000", "40001", "40P01", "54000", "55000"], false, true),
        (vec!["58000", "58030", "XX000", "XX001"], false, true),
        (vec!["42501", "42883", "42P01", "42703"], false, true),
        (vec!["42601", "42P02", "42704", "23505", "22P02", "P0001", "0A000", ""], false, false),
    ] {
        for code in codes {
            let error = reported(code, "message");
            let found = (is_connection_lost(&error), is_unavailable(&error));
            assert_eq!(found, (lost, unavailable), "{code}");
            assert_eq!(is_missing(&error), matches!(code, "42P01" | "3F000"), "{code}");
            assert_eq!(is_forbidden(&error), code == "42501", "{code}");
        }
    }
}

#[test]
fn an_error_of_the_driver_is_a_lost_connection_or_a_defect() {
    let io = || sqlx::Error::Io(io::Error::other("connection reset"));
    for (error, lost, text) in [
        (io(), true, "Postgres can't be reached: connection reset"),
        (sqlx::Error::PoolTimedOut, true, "Postgres does not answer in time"),
        (sqlx::Error::PoolClosed, true, "the service is starting or stopping"),
        (sqlx::Error::Protocol("garbage".to_owned()), true, "garbage"),
        (sqlx::Error::Tls("no certificate".into()), true, "no certificate"),
        (sqlx::Error::WorkerCrashed, true, ""),
        (sqlx::Error::RowNotFound, false, ""),
        (sqlx::Error::Decode("not a number".into()), false, "not a number"),
    ] {
        assert_eq!(is_connection_lost(&error), lost, "{error}");
        assert!(!is_unavailable(&error), "{error}");
        assert!(reason(&error).contains(text), "{error}: {}", reason(&error));
        assert!(!is_missing(&error) && !is_forbidden(&error), "{error}");
        assert_eq!(violated_constraint(&error), None);
    }
    let type_name = "passbook.new_key".to_owned();
    assert!(is_unavailable(&sqlx::Error::TypeNotFound { type_name }));
    let codeless =
        Reported { code: None, message: "odd".to_owned(), constraint: Some("accounts_pk") };
    let error = sqlx::Error::Database(Box::new(codeless));
    assert!(!is_connection_lost(&error) && !is_unavailable(&error));
    assert_eq!(
        (reason(&error).as_str(), violated_constraint(&error)),
        ("odd", Some("accounts_pk"))
    );
}

proptest! {
    #[test]
    fn a_reason_is_one_line_of_limited_length(message: String, repeats in 1..100_usize) {
        let message = message.repeat(repeats);
        let reason = reason(&reported("XX000", &message));
        prop_assert!(!reason.contains(char::is_control));
        let whole = message.chars().count() + " (SQLSTATE XX000)".len();
        let shown = if whole > MAX_REASON { MAX_REASON + 1 } else { whole };
        prop_assert_eq!(reason.chars().count(), shown);
        prop_assert_eq!(reason.ends_with('…'), whole > MAX_REASON);
    }
}

#[test]
fn control_characters_of_a_reason_are_spaces() {
    let error = reported("XX000", "a\nb\r\u{1b}[31m\0c");
    assert_eq!(reason(&error), "a b  [31m c (SQLSTATE XX000)");
}

#[tokio::test]
async fn a_query_that_takes_too_long_fails_like_an_unreachable_postgres() {
    let at_once = within::<_, sqlx::Error>(Duration::from_secs(60), async { sqlx::Result::Ok(7) });
    assert_eq!(at_once.await.unwrap(), 7);
    let failed = within::<_, sqlx::Error>(Duration::from_secs(60), async {
        sqlx::Result::<()>::Err(sqlx::Error::RowNotFound)
    });
    assert!(matches!(failed.await, Err(sqlx::Error::RowNotFound)));
    let never = std::future::pending::<sqlx::Result<()>>();
    let error = within::<_, sqlx::Error>(Duration::from_millis(1), never).await.unwrap_err();
    assert!(matches!(error, sqlx::Error::PoolTimedOut));
    assert!(is_connection_lost(&error));
}

#[test]
fn a_connection_that_no_wait_repairs_is_misconfigured_and_still_lost_to_a_running_service() {
    let tls = rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer);
    let handshake = sqlx::Error::Io(io::Error::new(io::ErrorKind::InvalidData, tls));
    let no_tls = sqlx::Error::Tls("server does not support TLS".into());
    for (error, reason) in [
        (&handshake, "the TLS handshake with Postgres failed: invalid peer certificate"),
        (&no_tls, "server does not support TLS"),
    ] {
        assert!(is_misconfigured(error) && is_connection_lost(error), "{error}");
        assert!(super::reason(error).contains(reason), "{}", super::reason(error));
    }
    for code in ["28P01", "28000"] {
        assert!(is_misconfigured(&reported(code, "no")), "{code}");
    }
    let refused = sqlx::Error::Io(io::ErrorKind::ConnectionRefused.into());
    for error in [refused, reported("57P03", "starting up"), sqlx::Error::PoolTimedOut] {
        assert!(!is_misconfigured(&error), "{error}");
    }
}
