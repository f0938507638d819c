use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::process::Command;

use super::*;
use crate::binaries::tests::{write_program, write_programs};

fn mode(path: &Path) -> u32 {
    path.metadata().unwrap().permissions().mode() & 0o777
}

/// Opens a data directory without another user, in a directory that has Postgres's programs too.
fn opened(parent: &Path) -> (Directory, Binaries, Secrets) {
    let directory = Directory::open(&parent.join("passbook"), None).unwrap();
    let binaries = write_programs(parent, "postgres (PostgreSQL) 18.1", "exit 1").unwrap();
    let secrets = Secrets::of(directory.path()).unwrap();
    (directory, binaries, secrets)
}

#[test]
fn a_missing_data_directory_is_created_for_its_owner_only() {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("a/b");
    let directory = Directory::open(&path, None).unwrap();
    let path = path.canonicalize().unwrap();
    assert_eq!(directory.path(), path);
    assert_eq!(directory.data(), path.join("postgres/data"));
    assert_eq!(directory.log(), path.join("postgres.log"));
    assert_eq!((mode(&path), mode(&path.join("postgres"))), (0o700, 0o700));
    assert_eq!(directory.major().unwrap(), None);
}

#[test]
fn the_user_of_the_server_owns_the_cluster_and_may_pass_through() {
    // Without root there is no other user.
    let Some(user) = User::unprivileged().unwrap() else { return };
    let parent = tempfile::tempdir().unwrap();
    std::fs::set_permissions(parent.path(), std::fs::Permissions::from_mode(0o711)).unwrap();
    let path = parent.path().join("passbook");
    let directory = Directory::open(&path, Some(user.clone())).unwrap();
    assert_eq!((mode(&path), mode(&path.join("postgres"))), (0o711, 0o700));
    assert_eq!(path.metadata().unwrap().uid(), 0);
    assert_ne!(path.join("postgres").metadata().unwrap().uid(), 0);
    assert!(user.can_reach(directory.path()).unwrap());
    drop(directory);

    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o700)).unwrap();
    let error = Directory::open(&path, Some(user)).unwrap_err().to_string();
    assert!(error.contains("who runs Postgres, may not enter"), "{error}");
}

#[test]
fn a_directory_in_use_names_the_process_until_that_ends() {
    let parent = tempfile::tempdir().unwrap();
    let first = Directory::open(parent.path(), None).unwrap();
    let error = Directory::open(parent.path(), None).unwrap_err().to_string();
    let pid = format!("is in use by another passbook (pid {}): stop it", std::process::id());
    assert!(error.contains(&pid), "{error}");
    drop(first);
    std::fs::write(parent.path().join("lock"), "a longer text than any pid").unwrap();
    let _second = Directory::open(parent.path(), None).unwrap();
    let lock = std::fs::read_to_string(parent.path().join("lock")).unwrap();
    assert_eq!(lock, std::process::id().to_string());
}

#[test]
fn a_path_that_can_be_no_data_directory_is_named() {
    let parent = tempfile::tempdir().unwrap();
    let file = parent.path().join("file");
    std::fs::write(&file, "").unwrap();
    for path in [file.clone(), file.join("below")] {
        let error = Directory::open(&path, None).unwrap_err().to_string();
        let expected = format!("cannot create the data directory {}", path.display());
        assert!(error.starts_with(&expected), "{error}");
    }
    std::fs::create_dir(parent.path().join("lock")).unwrap();
    let error = Directory::open(parent.path(), None).unwrap_err().to_string();
    assert!(error.contains("lock; choose another data directory"), "{error}");
}

#[test]
fn a_link_to_a_cluster_that_is_gone_is_an_error() {
    let parent = tempfile::tempdir().unwrap();
    let target = parent.path().join("target");
    symlink(&target, parent.path().join("postgres")).unwrap();
    let error = Directory::open(parent.path(), None).unwrap_err().to_string();
    assert!(error.starts_with("the target of ") && error.ends_with(" is missing"), "{error}");
    std::fs::create_dir(&target).unwrap();
    let directory = Directory::open(parent.path(), None).unwrap();
    assert_eq!(directory.data(), target.canonicalize().unwrap().join("data"));
}

#[test]
fn the_major_version_is_that_of_the_cluster() {
    let parent = tempfile::tempdir().unwrap();
    let directory = Directory::open(parent.path(), None).unwrap();
    std::fs::create_dir(directory.data()).unwrap();
    let error = directory.major().unwrap_err().to_string();
    assert!(error.ends_with("postgres/data is not a Postgres cluster"), "{error}");
    let file = directory.data().join("PG_VERSION");
    for (text, major) in [("18\n", 18), ("15", 15)] {
        std::fs::write(&file, text).unwrap();
        assert_eq!(directory.major().unwrap(), Some(major));
    }
    for text in ["", "9.6\n", "eighteen"] {
        std::fs::write(&file, text).unwrap();
        let error = directory.major().unwrap_err().to_string();
        let words = format!("PG_VERSION contains `{}`, which is no version", text.trim());
        assert!(error.ends_with(&words), "{error}");
    }
}

#[tokio::test]
async fn a_cluster_is_created_with_a_password_that_no_file_keeps() {
    let parent = tempfile::tempdir().unwrap();
    let (directory, binaries, secrets) = opened(parent.path());
    let initdb = r#"/bin/mkdir "$2" && /bin/cat "$4" >"$2/password" && echo "$@" >"$2/arguments""#;
    write_program(parent.path(), "initdb", initdb);
    let home = directory.path().join("postgres");
    std::fs::create_dir_all(home.join("data.new/interrupted")).unwrap();
    directory.make_cluster(&binaries, &secrets).await.unwrap();
    let read = |name: &str| std::fs::read_to_string(directory.data().join(name)).unwrap();
    assert_eq!(read("password"), secrets.admin);
    for words in [
        "--auth scram-sha-256",
        "--username passbook_admin",
        "--data-checksums",
        "--encoding UTF8 --locale C",
    ] {
        assert!(read("arguments").contains(words), "{}", read("arguments"));
    }
    assert!(!home.join("password").exists() && !home.join("data.new").exists());
    assert!(!directory.data().join("interrupted").exists());

    write_program(parent.path(), "initdb", "exit 1");
    directory.make_cluster(&binaries, &secrets).await.unwrap();
    assert_eq!(read("password"), secrets.admin, "an existing cluster stays");
}

#[tokio::test]
async fn a_failed_initdb_leaves_no_cluster_and_no_password() {
    let parent = tempfile::tempdir().unwrap();
    let (directory, binaries, secrets) = opened(parent.path());
    write_program(parent.path(), "initdb", "/bin/mkdir \"$2\"; echo no space >&2; exit 1");
    let error = directory.make_cluster(&binaries, &secrets).await.unwrap_err();
    assert_eq!(error.to_string(), "initdb failed: no space");
    assert_eq!(directory.major().unwrap(), None);
    assert!(!directory.path().join("postgres/password").exists());
}

#[tokio::test]
async fn a_pid_of_another_process_is_removed_so_that_postgres_starts() {
    let parent = tempfile::tempdir().unwrap();
    let (directory, binaries, _) = opened(parent.path());
    directory.stop_leftover(&binaries).await.unwrap();
    std::fs::create_dir(directory.data()).unwrap();
    let file = directory.data().join("postmaster.pid");
    for pid in [std::process::id().to_string(), "999999999".to_owned(), "x".to_owned()] {
        std::fs::write(&file, format!("{pid}\n/data\n")).unwrap();
        directory.stop_leftover(&binaries).await.unwrap();
        assert!(!file.exists(), "{pid}");
    }
}

#[tokio::test]
async fn the_server_of_a_killed_launcher_is_stopped() {
    let parent = tempfile::tempdir().unwrap();
    let (directory, binaries, _) = opened(parent.path());
    std::fs::create_dir(directory.data()).unwrap();
    let file = directory.data().join("postmaster.pid");
    let mut server =
        Command::new("sleep").arg("600").current_dir(directory.data()).spawn().unwrap();
    let pid = server.id();
    std::fs::write(&file, format!("{pid}\n")).unwrap();

    write_program(parent.path(), "pg_ctl", "echo it hangs >&2; exit 1");
    let error = directory.stop_leftover(&binaries).await.unwrap_err().to_string();
    let words = format!("(pid {pid}) does not stop; stop it manually: it hangs");
    assert!(error.ends_with(&words) && file.exists(), "{error}");

    let data = directory.data();
    let stop = format!(
        "[ \"$*\" = 'stop --mode fast --wait --timeout 60 --pgdata {}' ] && kill {pid}",
        data.display()
    );
    write_program(parent.path(), "pg_ctl", &stop);
    directory.stop_leftover(&binaries).await.unwrap();
    assert!(!server.wait().unwrap().success(), "the signal ended it");
}
