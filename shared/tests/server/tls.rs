use std::path::Path;

use passbook_shared::tls::client::trusting;
use passbook_shared::tls::identity::IdentityFiles;
use passbook_shared::tls::server::{ServerFiles, ServerTls};
use passbook_shared::tls::testing::Authority;
use rustls::pki_types::ServerName;
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::*;

/// Certificates of clients, and their authorities.
mod clients;
/// New certificates under load.
mod rotation;
/// Requests while the service stops.
mod stopping;

const HANDSHAKE: Duration = Duration::from_secs(5);

/// Server with a certificate of an authority, for `localhost`.
struct TlsServer {
    server: Server,
    authority: Authority,
    files: TempDir,
}

impl TlsServer {
    async fn start(limits: Limits) -> Self {
        let (authority, files) = (Authority::new("ours").unwrap(), tempfile::tempdir().unwrap());
        let identity = authority.issue(&["localhost"]).unwrap().write(files.path()).unwrap();
        authority.write(&files.path().join("ca.crt")).unwrap();
        let server = start_with(limits, Some(server_tls(identity, None))).await;
        Self { server, authority, files }
    }

    /// Returns the TLS of a client that trusts the authority.
    fn client(&self) -> rustls::ClientConfig {
        trusting(Some(&self.files.path().join("ca.crt")), None).unwrap()
    }

    async fn connect(&self) -> TlsStream<TcpStream> {
        handshake(&self.server, self.client()).await.unwrap()
    }

    async fn sent(&self, text: &str) -> TlsStream<TcpStream> {
        let mut stream = self.connect().await;
        stream.write_all(text.as_bytes()).await.unwrap();
        stream
    }
}

fn server_tls(identity: IdentityFiles, client_ca: Option<&Path>) -> ServerTls {
    ServerTls::read(ServerFiles { identity, client_ca: client_ca.map(Path::to_owned) }).unwrap()
}

async fn handshake(
    server: &Server,
    client: rustls::ClientConfig,
) -> std::io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(server.addr).await?;
    let name = ServerName::try_from("localhost").unwrap();
    TlsConnector::from(Arc::new(client)).connect(name, stream).await
}

#[tokio::test]
async fn requests_of_any_size_are_served_one_after_another() {
    let started = TlsServer::start(Limits::default()).await;
    let mut stream = started.sent(LIVE).await;
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
    assert!(first(&mut stream).await.ends_with("alive"));
    let body = "x".repeat(1024 * 1024);
    let head = format!(
        "POST /upload HTTP/1.1\r\nhost: test\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    assert_eq!(statuses(&first(&mut stream).await), ["200"]);
    stream
        .write_all(b"GET /large HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n")
        .await
        .unwrap();
    let answer = to_end(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.len() > LARGE, "{}", answer.len());
}

#[tokio::test]
async fn a_slow_reader_is_served_and_one_that_reads_nothing_is_not() {
    let started = TlsServer::start(Limits { stalled: SHORT, ..Limits::default() }).await;
    let mut slow = started.sent("GET /large HTTP/1.1\r\nhost: test\r\n\r\n").await;
    let mut stalled = started.sent("GET /large HTTP/1.1\r\nhost: test\r\n\r\n").await;
    let (mut length, mut buffer) = (0, vec![0; 2 * 1024 * 1024]);
    while length < LARGE {
        sleep(SHORT / 6).await;
        // Enough for the system to free space for the server's next write.
        stream_exactly(&mut slow, &mut buffer, &mut length).await;
    }
    let mut rest = Vec::new();
    // The end without the record that announces it is an error to the client.
    assert!(stalled.read_to_end(&mut rest).await.is_err() || rest.len() < LARGE);
}

async fn stream_exactly(stream: &mut TlsStream<TcpStream>, buffer: &mut [u8], length: &mut usize) {
    let mut filled = 0;
    while filled < buffer.len() && *length < LARGE {
        let read = stream.read(&mut buffer[filled..]).await.unwrap();
        assert!(read > 0, "the server closed after {length} bytes");
        (filled, *length) = (filled + read, *length + read);
    }
}

#[tokio::test]
async fn an_unencrypted_request_is_refused_and_others_are_served() {
    let started = TlsServer::start(Limits::default()).await;
    let mut plain = sent(&started.server, LIVE).await;
    let mut answer = Vec::new();
    let _ = timeout(SHORT * 10, plain.read_to_end(&mut answer)).await.expect("closes at once");
    assert!(!answer.starts_with(b"HTTP"), "{answer:?}");
    for garbage in ["\r\n\r\n", "\u{16}\u{3}\u{1}", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"] {
        drop(sent(&started.server, garbage).await);
    }
    assert!(first(&mut started.sent(LIVE).await).await.ends_with("alive"));
    started.server.shutdown.cancel();
    started.server.task.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_handshake_has_5_s_and_no_answer_afterwards() {
    let started = TlsServer::start(Limits::default()).await;
    let begun = Instant::now();
    let mut silent = TcpStream::connect(started.server.addr).await.unwrap();
    assert_eq!(to_end(&mut silent).await, "");
    let took = begun.elapsed();
    assert!(took >= HANDSHAKE * 9 / 10 && took < HANDSHAKE * 2, "{took:?}");
    // The time of a request begins after the handshake.
    let mut idle = started.connect().await;
    sleep(HANDSHAKE + SHORT).await;
    idle.write_all(LIVE.as_bytes()).await.unwrap();
    assert!(first(&mut idle).await.ends_with("alive"));
}

#[tokio::test]
async fn a_connection_in_its_handshake_is_closed_for_another_as_an_idle_one_is() {
    let limits = Limits { connections: 2, per_address: 2, ..Limits::default() };
    let started = TlsServer::start(limits).await;
    let mut silent = TcpStream::connect(started.server.addr).await.unwrap();
    // Idle times have a resolution of 1 ms.
    sleep(Duration::from_millis(5)).await;
    let mut kept = started.sent(LIVE).await;
    assert!(first(&mut kept).await.ends_with("alive"));
    sleep(Duration::from_millis(5)).await;
    let begun = Instant::now();
    let mut third = started.sent(LIVE).await;
    assert!(first(&mut third).await.ends_with("alive"));
    assert_eq!(to_end(&mut silent).await, "");
    assert!(begun.elapsed() < HANDSHAKE / 2, "its handshake was not waited for");
    sleep(Duration::from_millis(5)).await;
    let mut fourth = started.sent(LIVE).await;
    assert!(first(&mut fourth).await.ends_with("alive"));
    // An orderly end: the client got the record that announces it.
    assert_eq!(kept.read(&mut [0; 16]).await.unwrap(), 0);
}

#[tokio::test]
async fn a_connection_beyond_busy_ones_gets_503_except_for_health() {
    let limits = Limits { connections: 1, per_address: 1, refusals: 2, ..Limits::default() };
    let started = TlsServer::start(limits).await;
    let busy = started.sent("GET /never HTTP/1.1\r\nhost: test\r\n\r\n").await;
    started.server.received(1).await;
    for _ in 0..3 {
        let mut refused = started.sent("GET /slow HTTP/1.1\r\nhost: test\r\n\r\n").await;
        is_problem(&to_end(&mut refused).await, 503, "overloaded");
        assert!(first(&mut started.sent(LIVE).await).await.ends_with("alive"));
    }
    drop(busy);
}

#[tokio::test]
async fn an_unparsable_request_gets_its_problem() {
    let started = TlsServer::start(Limits::default()).await;
    let answer = to_end(&mut started.sent("GET / HTTP/9\r\n\r\n").await).await;
    is_problem(&answer, 400, "malformed_request");
}
