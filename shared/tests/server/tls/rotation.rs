use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::*;

/// Number of clients, each with one connection after another.
const CLIENTS: usize = 4;

/// Sends requests until the end, on new connections, and counts them.
async fn load(started: Arc<TlsServer>, ended: Arc<AtomicBool>, served: Arc<AtomicUsize>) {
    while !ended.load(Ordering::Relaxed) {
        let mut stream = started.connect().await;
        for _ in 0..3 {
            stream.write_all(LIVE.as_bytes()).await.unwrap();
            assert!(first(&mut stream).await.ends_with("alive"));
            served.fetch_add(1, Ordering::Relaxed);
        }
    }
}

async fn certificate(started: &TlsServer) -> Vec<u8> {
    started.connect().await.get_ref().1.peer_certificates().unwrap()[0].to_vec()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_certificate_is_in_force_within_a_second_and_no_request_fails() {
    let (authority, files) = (Authority::new("ours").unwrap(), tempfile::tempdir().unwrap());
    let identity = authority.issue(&["localhost"]).unwrap().write(files.path()).unwrap();
    authority.write(&files.path().join("ca.crt")).unwrap();
    let tls = server_tls(identity, None);
    let server = start_with(Limits::default(), Some(tls.clone())).await;
    let watching = tokio::spawn(tls.watch(Health::new("test"), server.shutdown.clone()));
    let started = Arc::new(TlsServer { server, authority, files });
    let (ended, served) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| tokio::spawn(load(Arc::clone(&started), Arc::clone(&ended), Arc::clone(&served))))
        .collect();
    for _ in 0..3 {
        let before = certificate(&started).await;
        started.authority.issue(&["localhost"]).unwrap().write(started.files.path()).unwrap();
        let written = Instant::now();
        while certificate(&started).await == before {
            assert!(written.elapsed() < Duration::from_secs(5), "the certificate is new");
            sleep(Duration::from_millis(20)).await;
        }
    }
    ended.store(true, Ordering::Relaxed);
    for client in clients {
        client.await.expect("no request failed");
    }
    assert!(served.load(Ordering::Relaxed) > 100, "{served:?}");
    started.server.shutdown.cancel();
    watching.await.unwrap().unwrap();
}
