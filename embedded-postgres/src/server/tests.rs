use super::*;
use crate::binaries::tests::write_programs;

const VERSION: &str = "postgres (PostgreSQL) 18.1";

/// Starts a server that is a shell script. The port has no other server.
async fn start(parent: &std::path::Path, script: &str) -> (Directory, anyhow::Result<Server>) {
    let directory = Directory::open(&parent.join("passbook"), None).unwrap();
    let binaries = write_programs(parent, VERSION, script).unwrap();
    let secrets = Secrets::of(directory.path()).unwrap();
    let server = Server::start(&binaries, &directory, None, 1, &secrets).await;
    (directory, server)
}

#[tokio::test]
async fn a_server_that_does_not_start_shows_the_end_of_its_log() {
    let parent = tempfile::tempdir().unwrap();
    let log = parent.path().join("passbook/postgres.log");
    std::fs::create_dir(parent.path().join("passbook")).unwrap();
    std::fs::write(&log, "of an earlier run\n").unwrap();
    let (_, server) = start(parent.path(), "echo 'FATAL:  no memory' >&2; exit 3").await;
    let error = server.unwrap_err().to_string();
    let expected = format!(
        "the embedded Postgres did not start (exit status: 3); end of {}:\nFATAL:  no memory",
        log.canonicalize().unwrap().display()
    );
    assert_eq!(error, expected);
    assert_eq!(log.metadata().unwrap().permissions().mode() & 0o777, PRIVATE);
    let text = std::fs::read_to_string(&log).unwrap();
    assert_eq!(text, "of an earlier run\nFATAL:  no memory\n");
}

#[tokio::test]
async fn the_server_gets_the_data_directory_the_port_and_durable_settings() {
    let parent = tempfile::tempdir().unwrap();
    let (directory, server) = start(parent.path(), "echo \"$@\"; exit 1").await;
    assert!(server.is_err());
    let arguments = std::fs::read_to_string(directory.log()).unwrap();
    let begin = format!("-D {} -p 1 -c listen_addresses=127.0.0.1 ", directory.data().display());
    assert!(arguments.starts_with(&begin), "{arguments}");
    for setting in [
        "fsync=on",
        "synchronous_commit=on",
        "full_page_writes=on",
        "timezone=UTC",
        "log_min_error_statement=panic",
    ] {
        assert!(arguments.contains(&format!(" -c {setting}")), "{arguments}");
    }
}

#[tokio::test]
async fn only_the_end_of_a_long_log_is_quoted() {
    let parent = tempfile::tempdir().unwrap();
    let log = parent.path().join("postgres.log");
    let child = tokio::process::Command::new("true").spawn().unwrap();
    let mut server = Server { child, port: 1, log: log.clone(), log_start: 0 };
    let begin = format!("end of {}:\n", log.display());
    assert_eq!(server.log_tail(), begin, "no log");
    let long = format!("{}{}", "a".repeat(500), "b".repeat(1_000));
    std::fs::write(&log, &long).unwrap();
    assert_eq!(server.log_tail(), format!("{begin}{}", "b".repeat(1_000)));
    server.log_start = 1_400;
    assert_eq!(server.log_tail(), format!("{begin}{}", "b".repeat(100)));
    std::fs::write(&log, b"\xff text \n").unwrap();
    server.log_start = 0;
    assert_eq!(server.log_tail(), format!("{begin}\u{fffd} text"));
    assert!(server.ended().await.unwrap().success());
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_server_is_asked_to_end_by_a_fast_shutdown() {
    let parent = tempfile::tempdir().unwrap();
    let ready = parent.path().join("ready");
    let script = r#"trap 'exit 7' INT; : >"$0"; while :; do sleep 0.01; done"#;
    // A shell cannot trap a signal that it inherits as ignored, as in a background job.
    let mut shell = tokio::process::Command::new("env");
    shell.args(["--default-signal=INT", "sh", "-c", script]).arg(&ready);
    let child = shell.spawn().unwrap();
    let mut server = Server { child, port: 1, log: parent.path().join("log"), log_start: 0 };
    while !ready.exists() {
        sleep(Duration::from_millis(1)).await;
    }
    server.stop().await.unwrap();
    assert_eq!(server.ended().await.unwrap().code(), Some(7));
}
