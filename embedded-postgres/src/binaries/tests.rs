use std::path::Path;
use std::process::Stdio;

use super::*;

/// Writes a program that is a shell script. Another process writes the file, because a fork of a
/// parallel test could inherit its handle, and an open file cannot be executed.
pub(crate) fn write_program(directory: &Path, name: &str, script: &str) {
    let mut shell = BlockingCommand::new("sh");
    shell.args(["-c", r##"printf '#!/bin/sh\n%s\n' "$1" >"$0" && chmod 755 "$0""##]);
    let status = shell.arg(directory.join(name)).arg(script).status().unwrap();
    assert!(status.success());
}

/// Writes all programs. `postgres --version` prints a version, and `postgres` else runs a script.
pub(crate) fn write_programs(directory: &Path, version: &str, server: &str) -> Option<Binaries> {
    let postgres = format!("[ \"$1\" = --version ] && echo '{version}' && exit\n{server}");
    write_program(directory, "postgres", &postgres);
    for program in ["initdb", "pg_ctl"] {
        write_program(directory, program, "exit 1");
    }
    Binaries::at(directory)
}

fn directory() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

#[test]
fn the_major_version_is_what_the_server_prints() {
    for (output, major) in [
        ("postgres (PostgreSQL) 18.1", Some(18)),
        ("postgres (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)", Some(15)),
        ("postgres (PostgreSQL) 19beta1", Some(19)),
        ("postgres (PostgreSQL) 19devel", Some(19)),
        ("postgres (PostgreSQL) 9.6.24", Some(9)),
        ("postgres (PostgreSQL) ", None),
        ("postgres (PostgreSQL) v18", None),
        ("postgres 18", None),
        ("", None),
    ] {
        let directory = directory();
        let found = write_programs(directory.path(), output, "exit 1");
        assert_eq!(found.map(|found| found.major), major, "{output}");
    }
}

#[test]
fn a_directory_needs_all_programs_and_a_server_that_runs() {
    for missing in PROGRAMS {
        let directory = directory();
        assert!(write_programs(directory.path(), "postgres (PostgreSQL) 18.1", "").is_some());
        std::fs::remove_file(directory.path().join(missing)).unwrap();
        assert!(Binaries::at(directory.path()).is_none(), "{missing}");
        std::fs::create_dir(directory.path().join(missing)).unwrap();
        assert!(Binaries::at(directory.path()).is_none(), "{missing} is a directory");
    }
    let directory = directory();
    write_programs(directory.path(), "postgres (PostgreSQL) 18.1", "");
    let postgres = directory.path().join("postgres");
    std::fs::set_permissions(&postgres, Permissions::from_mode(0o644)).unwrap();
    assert!(Binaries::at(directory.path()).is_none(), "the server is not executable");
}

#[tokio::test]
async fn a_given_directory_must_have_programs() {
    let directory = directory();
    let missing = directory.path().join("missing");
    for given in [directory.path(), &missing] {
        let error = Binaries::find(Some(given), None).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            format!(
                "PASSBOOK_PG_BIN (--postgres-bin): no Postgres programs in {}",
                given.display()
            )
        );
    }
}

#[tokio::test]
async fn given_programs_must_be_new_enough_and_fit_the_cluster() {
    let directory = directory();
    let given = Some(directory.path());
    for (version, made_by, words) in [
        (14, None, Some("is Postgres 14; Passbook needs 15 or newer")),
        (14, Some(14), Some("is Postgres 14; Passbook needs 15 or newer")),
        (15, None, None),
        (15, Some(15), None),
        (18, Some(18), None),
        (18, Some(17), Some("made by Postgres 17 and needs the same major version (found: 18)")),
        (17, Some(18), Some("made by Postgres 18 and needs the same major version (found: 17)")),
    ] {
        write_programs(directory.path(), &format!("postgres (PostgreSQL) {version}.1"), "");
        let found = Binaries::find(given, made_by).await;
        match (found, words) {
            (Ok(found), None) => {
                assert_eq!(found.major, version);
                assert_eq!(found.postgres(), directory.path().join("postgres"));
            }
            (Err(error), Some(words)) => assert!(error.to_string().contains(words), "{error}"),
            (found, _) => panic!("{version} for {made_by:?}: {found:?}"),
        }
    }
}

#[tokio::test]
async fn a_cluster_of_a_version_that_is_nowhere_names_the_remedies() {
    let error = Binaries::find(None, Some(7)).await.unwrap_err().to_string();
    assert!(error.starts_with("the data directory was made by Postgres 7 and needs"), "{error}");
    for remedy in ["apt-get install postgresql-7", "PASSBOOK_PG_BIN", "--data-dir"] {
        assert!(error.contains(remedy), "{error}");
    }
}

#[test]
fn the_versions_found_are_listed_once() {
    let found = |majors: &[u32]| {
        let found: Vec<Binaries> = majors
            .iter()
            .map(|major| Binaries { directory: PathBuf::new(), major: *major })
            .collect();
        other_version(16, &found).to_string()
    };
    assert!(found(&[]).contains("(found: none)"));
    assert!(found(&[18]).contains("(found: 18)"));
    assert!(found(&[18, 17, 17, 15]).contains("(found: 18, 17, 15)"));
}

#[test]
fn a_pattern_matches_the_names_of_one_directory() {
    let directory = directory();
    for name in ["pg-15", "pg-16", "pg", "other"] {
        std::fs::create_dir(directory.path().join(name)).unwrap();
    }
    let found = |pattern: &str| {
        let mut found = expand(&format!("{}/{pattern}", directory.path().display()));
        found.sort();
        found
    };
    let paths = |names: &[&str]| -> Vec<PathBuf> {
        names.iter().map(|name| directory.path().join(name)).collect()
    };
    assert_eq!(found("pg-*/bin"), paths(&["pg-15/bin", "pg-16/bin"]));
    assert_eq!(found("pg*"), paths(&["pg", "pg-15", "pg-16"]));
    assert_eq!(found("*/bin"), paths(&["other/bin", "pg/bin", "pg-15/bin", "pg-16/bin"]));
    assert_eq!(found("missing/*/bin"), paths(&[]));
    assert_eq!(found("missing/bin"), paths(&["missing/bin"]), "without a star, as it is");
}

#[tokio::test]
async fn a_program_runs_in_its_own_group_without_the_environment() {
    let directory = directory();
    let binaries = write_programs(directory.path(), "postgres (PostgreSQL) 18.1", "").unwrap();
    let script =
        r#"pwd; echo "$PATH|$LC_ALL|$HOME$CARGO_MANIFEST_DIR|$*"; kill -0 -$$ && echo own"#;
    write_program(directory.path(), "show", script);
    let mut command = binaries.command("show", None);
    let output = command.args(["-D", "data"]).stdin(Stdio::null()).output().await.unwrap();
    let expected = format!("/\n{}|C||-D data\nown\n", directory.path().display());
    assert_eq!(String::from_utf8(output.stdout).unwrap(), expected);
}

#[test]
fn downloads_go_to_a_cache_of_passbook() {
    let cache = cache().unwrap();
    assert_eq!(cache == Path::new("/var/cache/passbook"), nix::unistd::geteuid().is_root());
    assert!(cache.ends_with("passbook"), "{}", cache.display());
}
