use super::*;

#[test]
fn a_url_has_a_scheme_of_postgres_and_sessions_that_notice_a_vanished_host() {
    for url in ["postgres://ada:secret@db:5433/log", "postgresql://ada:secret@db:5433/log"] {
        let options = database_url(url).unwrap();
        assert_eq!((options.get_host(), options.get_port()), ("db", 5_433));
        assert_eq!((options.get_username(), options.get_database()), ("ada", Some("log")));
        assert_eq!(
            options.get_options(),
            Some(
                "-c tcp_keepalives_idle=10 -c tcp_keepalives_interval=5 -c tcp_keepalives_count=4"
            )
        );
    }
    assert_eq!(database_url("postgres://ada%40x@db/log").unwrap().get_username(), "ada@x");
}

#[test]
fn a_separate_password_replaces_the_one_of_the_url() {
    let shown = |password: Option<&str>| {
        let secret = password.map(|text| Secret::of_text(text).unwrap());
        let options = database_url("postgres://ada:old@db/log").unwrap();
        format!("{:?}", with_password(options, secret.as_ref()))
    };
    assert!(shown(None).contains(r#"password: Some("old")"#), "{}", shown(None));
    assert!(shown(Some("p@/#%")).contains(r##"password: Some("p@/#%")"##));
}

#[test]
fn a_connection_to_another_host_is_verified_unless_the_url_says_otherwise() {
    for (url, mode) in [
        ("postgres://ada@db/log", "VerifyFull"),
        ("postgres://ada@db/log?application_name=x", "VerifyFull"),
        ("postgres://ada@10.0.0.1/log", "VerifyFull"),
        ("postgres://ada@localhost.example/log", "VerifyFull"),
        ("postgres:///log?host=db", "VerifyFull"),
        ("postgres://ada@localhost/log?hostaddr=10.0.0.1", "VerifyFull"),
        ("postgres://ada@localhost/log", "Prefer"),
        ("postgres://ada@LOCALHOST:5433/log", "Prefer"),
        ("postgres://ada@127.0.0.1/log", "Prefer"),
        ("postgres://ada@127.8.8.8/log", "Prefer"),
        ("postgres://ada@[::1]/log", "Prefer"),
        ("postgres:///log?host=/var/run/postgresql", "Prefer"),
        ("postgres://ada@%2Fvar%2Frun/log", "Prefer"),
        ("postgres://ada@db/log?sslmode=disable", "Disable"),
        ("postgres://ada@db/log?ssl-mode=prefer", "Prefer"),
        ("postgres://ada@db/log?sslmode=require", "Require"),
        ("postgres://ada@localhost/log?sslmode=verify-full", "VerifyFull"),
        ("postgres://ada@localhost/log?x=1&sslmode=verify-ca#sslmode=disable", "VerifyCa"),
        ("postgres://ada@db/sslmode=disable", "VerifyFull"),
    ] {
        let options = database_url(url).unwrap();
        assert_eq!(format!("{:?}", options.get_ssl_mode()), mode, "{url}");
    }
}

#[test]
fn an_authority_of_the_url_is_verified_and_its_file_readable() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ca.pem");
    let url =
        format!("postgres://ada:secret@db/log?sslmode=require&sslrootcert={}", path.display());
    let said = database_url(&url).unwrap_err();
    assert!(said.starts_with("has `sslrootcert`, which names a file that can't be read"), "{said}");
    assert!(!said.contains("secret"), "{said}");
    std::fs::write(&path, "-").unwrap();
    let mode = database_url(&url).unwrap().get_ssl_mode();
    assert!(matches!(mode, PgSslMode::VerifyCa), "{mode:?}");
    let said = database_url("postgres://ada:secret@db/log?sslmode=verify_full").unwrap_err();
    assert!(said.contains("`sslmode` is disable") && !said.contains("secret"), "{said}");
}
