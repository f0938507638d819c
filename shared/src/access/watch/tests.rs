use std::time::{Duration, Instant};

use super::*;
use crate::access::Reach;
use crate::access::keys_file::{KeyRequest, add, revoke};
use crate::access::scope::Role;
use crate::timestamp::Timestamp;

const LIMIT: Duration = Duration::from_secs(5);

fn is_degraded(health: &Health) -> bool {
    health.checks().get(CHECK).is_some_and(|check| check.reason.is_some())
}

async fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < LIMIT, "{what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn a_changed_file_is_in_force_and_an_invalid_one_is_not() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("keys.toml");
    assert!(WatchedKeys::read(path.clone()).is_err(), "the file is missing");
    let first = add(&path, &request()).unwrap();
    let keys = WatchedKeys::read(path.clone()).unwrap();
    let (health, shutdown) = (Health::new("test"), CancellationToken::new());
    let watching = tokio::spawn(keys.clone().watch(health.clone(), shutdown.clone()));
    let is_known = |text: &str| keys.table().authenticate(text, Timestamp::now()).is_ok();
    assert!(is_known(&first.text));

    let second = add(&path, &request()).unwrap();
    eventually("an added key is known", || is_known(&second.text)).await;
    revoke(&path, &first.id).unwrap();
    eventually("a revoked key is unknown", || !is_known(&first.text)).await;

    let is_degraded = || is_degraded(&health);
    let good = std::fs::read_to_string(&path).unwrap();
    for bad in ["[[key]", &good[..good.len() / 2]] {
        std::fs::write(&path, bad).unwrap();
        eventually("an invalid file degrades readiness", is_degraded).await;
        assert!(is_known(&second.text) && health.is_ready());
        std::fs::write(&path, &good).unwrap();
        eventually("a valid file restores readiness", || !is_degraded()).await;
    }
    shutdown.cancel();
    watching.await.unwrap().unwrap();
}

fn request() -> KeyRequest {
    KeyRequest {
        principal: "ada".to_owned(),
        scopes: Role::Reader.scopes(),
        reach: Reach::default(),
        rate: None,
        lifetime: None,
        note: None,
    }
}

#[tokio::test]
async fn a_file_that_keeps_changing_is_not_in_force() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("keys.toml");
    let key = add(&path, &request()).unwrap();
    let keys = WatchedKeys::read(path.clone()).unwrap();
    let (health, shutdown) = (Health::new("test"), CancellationToken::new());
    let watching = tokio::spawn(keys.clone().watch(health.clone(), shutdown.clone()));
    // An empty file is valid, as is each file of whole entries: a writer has not finished.
    let is_known = || keys.table().authenticate(&key.text, Timestamp::now()).is_ok();
    let good = std::fs::read_to_string(&path).unwrap();
    for number in 0..40 {
        std::fs::write(&path, format!("# {number}\n")).unwrap();
        tokio::time::sleep(Duration::from_millis(25)).await;
        assert!(is_known(), "a content that was read once is in force");
    }
    std::fs::write(&path, good).unwrap();
    eventually("the file is read", || !is_degraded(&health)).await;
    assert!(is_known());
    std::fs::write(&path, "").unwrap();
    eventually("a content that stays is in force", || !is_known()).await;
    shutdown.cancel();
    watching.await.unwrap().unwrap();
}

fn make_pipe(path: &std::path::Path) {
    assert!(std::process::Command::new("mkfifo").arg(path).status().unwrap().success());
}

#[tokio::test]
async fn a_pipe_instead_of_a_file_degrades_readiness_and_blocks_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("keys.toml");
    make_pipe(&path);
    let said = format!("{:#}", WatchedKeys::read(path.clone()).unwrap_err());
    assert!(said.contains("not a regular file"), "{said}");
    std::fs::remove_file(&path).unwrap();
    let key = add(&path, &request()).unwrap();
    let keys = WatchedKeys::read(path.clone()).unwrap();
    let (health, shutdown) = (Health::new("test"), CancellationToken::new());
    let watching = tokio::spawn(keys.clone().watch(health.clone(), shutdown.clone()));
    std::fs::remove_file(&path).unwrap();
    make_pipe(&path);
    let is_degraded = || is_degraded(&health);
    eventually("a pipe degrades readiness", is_degraded).await;
    assert!(keys.table().authenticate(&key.text, Timestamp::now()).is_ok());
    shutdown.cancel();
    watching.await.unwrap().unwrap();
}
