use std::time::Instant;

use super::*;
use crate::access::Reach;
use crate::access::keys_file::{KeyRequest, add, revoke};
use crate::access::scope::Role;
use crate::timestamp::Timestamp;

const LIMIT: Duration = Duration::from_secs(5);

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
    let request = KeyRequest {
        principal: "ada".to_owned(),
        scopes: Role::Reader.scopes(),
        reach: Reach::default(),
        rate: None,
        lifetime: None,
        note: None,
    };
    assert!(WatchedKeys::read(path.clone()).is_err(), "the file is missing");
    let first = add(&path, &request).unwrap();
    let keys = WatchedKeys::read(path.clone()).unwrap();
    let (health, shutdown) = (Health::new("test"), CancellationToken::new());
    let watching = tokio::spawn(keys.clone().watch(health.clone(), shutdown.clone()));
    let is_known = |text: &str| keys.table().authenticate(text, Timestamp::now()).is_ok();
    assert!(is_known(&first.text));

    let second = add(&path, &request).unwrap();
    eventually("an added key is known", || is_known(&second.text)).await;
    revoke(&path, &first.id).unwrap();
    eventually("a revoked key is unknown", || !is_known(&first.text)).await;

    let is_degraded = || health.checks()[CHECK].reason.is_some();
    let good = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, "[[key]").unwrap();
    eventually("an invalid file degrades readiness", is_degraded).await;
    assert!(is_known(&second.text) && health.is_ready());
    std::fs::write(&path, good).unwrap();
    eventually("a valid file restores readiness", || !is_degraded()).await;
    shutdown.cancel();
    watching.await.unwrap().unwrap();
}
