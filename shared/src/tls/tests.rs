use std::path::Path;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::identity::IdentityFiles;
use super::server::{ServerFiles, ServerTls};
use super::testing::{Authority, Issued};
use crate::health::Health;

const LIMIT: Duration = Duration::from_secs(10);

fn read(identity: IdentityFiles, client_ca: Option<&Path>) -> anyhow::Result<ServerTls> {
    ServerTls::read(ServerFiles { identity, client_ca: client_ca.map(Path::to_owned) })
}

#[test]
fn a_wrong_file_is_named_with_the_reason() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    let authority = Authority::new("ours").unwrap();
    let good = authority.issue(&["localhost"]).unwrap();
    let (certificate, key) = (good.certificate.clone(), good.key.clone());
    let issued = |certificate: &str, key: &str| Issued {
        certificate: certificate.to_owned(),
        key: key.to_owned(),
    };
    let other = authority.issue(&["localhost"]).unwrap();
    let broken = certificate.replace("MII", "MIX");
    let expired = authority.issue_for(&["localhost"], -1).unwrap();
    for (issued, reason) in [
        (issued("", &key), "tls.crt: has no certificate"),
        (issued(&key, &key), "tls.crt: has no certificate"),
        (issued(&broken, &key), "tls.crt: has a certificate that can't be read"),
        (issued(&certificate, ""), "tls.key: has no private key"),
        (issued(&certificate, &certificate), "tls.key: has no private key"),
        (issued(&certificate, &other.key), "tls.key: keys may not be consistent"),
        (expired, "tls.crt: has a certificate that expired at 20"),
    ] {
        let said = format!("{:#}", read(issued.write(directory).unwrap(), None).unwrap_err());
        assert!(said.contains(reason), "{said}\n{reason}");
        assert!(!said.contains("PRIVATE KEY-"), "{said}");
    }
    let files = good.write(directory).unwrap();
    assert!(read(files.clone(), None).is_ok());
    let said = format!("{:#}", read(files.clone(), Some(&files.key)).unwrap_err());
    assert!(said.contains("tls.key: has no certificate"), "{said}");
    std::fs::remove_file(&files.key).unwrap();
    let said = format!("{:#}", read(files, None).unwrap_err());
    assert!(said.contains("tls.key: No such file"), "{said}");
}

async fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < LIMIT, "{what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn changed_files_are_in_force_and_invalid_ones_are_not() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    let authority = Authority::new("ours").unwrap();
    let [first, second] = [(); 2].map(|()| authority.issue(&["localhost"]).unwrap());
    let tls = read(first.write(directory).unwrap(), None).unwrap();
    let (health, shutdown) = (Health::new("test"), CancellationToken::new());
    let watching = tokio::spawn(tls.clone().watch(health.clone(), shutdown.clone()));
    let certificate = || tls.certified().cert[0].clone();
    let of_first = certificate();
    let reason = || health.checks().get("tls").and_then(|check| check.reason.clone());
    eventually("the files are read", || health.is_ready()).await;

    second.write(directory).unwrap();
    eventually("the second certificate is in force", || certificate() != of_first).await;
    let of_second = certificate();
    std::fs::write(directory.join("tls.key"), &first.key).unwrap();
    eventually("a wrong key degrades readiness", || reason().is_some()).await;
    assert!(reason().unwrap().contains("the previous content stays in force"), "{:?}", reason());
    assert!(certificate() == of_second && health.is_ready());
    second.write(directory).unwrap();
    eventually("the right key restores readiness", || reason().is_none()).await;
    shutdown.cancel();
    watching.await.unwrap().unwrap();
}
