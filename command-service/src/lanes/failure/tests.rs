use std::borrow::Cow;
use std::fmt;

use sqlx::error::{DatabaseError, ErrorKind};

use super::*;

/// An error as Postgres reports it: SQLSTATE and constraint.
#[derive(Debug)]
struct Reported(&'static str, Option<&'static str>);

impl fmt::Display for Reported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.message())
    }
}

impl std::error::Error for Reported {}

impl DatabaseError for Reported {
    fn message(&self) -> &str {
        "the message"
    }

    fn code(&self) -> Option<Cow<'_, str>> {
        Some(self.0.into())
    }

    fn constraint(&self) -> Option<&str> {
        self.1
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

fn reported(code: &'static str, constraint: Option<&'static str>) -> Failure {
    sqlx::Error::Database(Box::new(Reported(code, constraint))).into()
}

#[test]
fn a_violated_constraint_is_a_stale_state_except_for_that_of_forks() {
    for constraint in ["events_pkey", "version_is_next", "transfers_pkey"] {
        assert!(matches!(reported("23505", Some(constraint)), Failure::StaleState), "{constraint}");
    }
    assert!(matches!(reported("23514", Some("log_is_not_forked")), Failure::Forked));
    // The constraint says more than the class of the error.
    assert!(matches!(reported("40001", Some("events_pkey")), Failure::StaleState));
}

#[test]
fn a_lost_connection_leaves_the_outcome_open_and_an_answer_does_not() {
    for code in ["57P01", "08006", "53300", "25P03"] {
        assert!(matches!(reported(code, None), Failure::Lost(_)), "{code}");
    }
    for code in ["53100", "40001", "55P03", "57014", "25006", "42501", "3D000"] {
        let Failure::Unavailable(reason) = reported(code, None) else { panic!("{code}") };
        assert_eq!(reason, format!("the message (SQLSTATE {code})"));
    }
    for code in ["22P02", "42601", "P0001"] {
        assert!(matches!(reported(code, None), Failure::Defect), "{code}");
    }
}

#[test]
fn errors_of_the_driver_are_lost_connections_or_defects() {
    for error in [sqlx::Error::PoolTimedOut, sqlx::Error::WorkerCrashed] {
        assert!(matches!(error.into(), Failure::Lost(_)));
    }
    let io = sqlx::Error::Io(std::io::ErrorKind::ConnectionReset.into());
    let Failure::Lost(reason) = Failure::from(io) else { panic!() };
    assert!(reason.starts_with("Postgres can't be reached: "), "{reason}");
    assert!(matches!(sqlx::Error::RowNotFound.into(), Failure::Defect));
    assert!(matches!(Failure::from(Defect), Failure::Defect));
}
