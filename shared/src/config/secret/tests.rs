use super::*;
use crate::config::database_url;

/// Returns a command with one option that `parse` reads.
fn command<T: Clone + Send + Sync + 'static>(parse: fn(&str) -> Result<T, String>) -> Command {
    let option = Arg::new("database-url").long("database-url").value_parser(Unrepeated(parse));
    Command::new("test").arg(option)
}

#[test]
fn a_parse_error_does_not_repeat_the_password() {
    let read =
        |url: &str| command(database_url).try_get_matches_from(["test", "--database-url", url]);
    assert!(read("postgres://ada:secret@localhost:5432/log").is_ok());
    for bad in [
        "postgres://ada:secret@localhost:port/log",
        "ada:secret@localhost",
        "mysql://ada:secret@localhost",
        "postgres:/ada:secret@localhost/log",
        " postgres://ada:secret@localhost/log",
    ] {
        let error = read(bad).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ValueValidation);
        let said = error.to_string();
        assert!(said.contains("--database-url") && !said.contains("secret"), "{said}");
        assert!(said.contains("can't be read as postgres://user:password@host:port"), "{said}");
    }
}

#[cfg(unix)]
#[test]
fn a_setting_that_is_not_utf_8_is_refused_without_its_bytes() {
    use std::os::unix::ffi::OsStrExt;
    let bytes = OsStr::from_bytes(b"postgres://ada:secret\xff@localhost");
    let arguments = [OsStr::new("test"), OsStr::new("--database-url"), bytes];
    let said = command(database_url).try_get_matches_from(arguments).unwrap_err().to_string();
    assert!(said.contains("is not UTF-8") && !said.contains("secret"), "{said}");
}

#[test]
fn a_secret_is_not_empty_and_not_shown() {
    assert_eq!(Secret::of_text(""), Err("is empty".to_owned()));
    let secret = Secret::of_text("secret").unwrap();
    assert_eq!(format!("{secret:?} {:?}", Some(&secret)), "Secret Some(Secret)");
    assert_ne!(secret, Secret::of_text("Secret").unwrap());
}

#[test]
fn a_password_in_a_file_may_end_with_a_newline() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("password");
    let of_file = || Secret::of_file(path.to_str().unwrap());
    for (content, password) in [
        ("p@/#%", "p@/#%"),
        ("p@/#%\n", "p@/#%"),
        ("p@/#%\r\n", "p@/#%"),
        ("two\n\n", "two\n"),
        ("cr\r", "cr\r"),
        (" x ", " x "),
    ] {
        std::fs::write(&path, content).unwrap();
        assert_eq!(of_file().unwrap().0, password, "{content:?}");
    }
    for empty in ["", "\n", "\r\n"] {
        std::fs::write(&path, empty).unwrap();
        assert_eq!(of_file().unwrap_err(), "is empty", "{empty:?}");
    }
    std::fs::write(&path, b"secret\xff").unwrap();
    let said = of_file().unwrap_err();
    assert!(said.contains("can't be read") && !said.contains("secret"), "{said}");
    std::fs::remove_file(&path).unwrap();
    assert!(of_file().unwrap_err().starts_with("names a file that can't be read: "));
}
