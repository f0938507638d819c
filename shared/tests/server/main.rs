//! HTTP server on real sockets, with clients that are slow, many, large or incomplete.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::routing::{get, post};
use passbook_shared::health::Health;
use passbook_shared::http;
use passbook_shared::http::extract::Json;
use passbook_shared::http::gate::Access;
use passbook_shared::http::limits::{HEADERS_LIMIT, Limits};
use passbook_shared::http::server::serve;
use passbook_shared::shutdown::{CancellationToken, Stop};
use passbook_shared::tls::server::ServerTls;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};
use utoipa::openapi::path::{HttpMethod, OperationBuilder};
use utoipa::openapi::{OpenApi, SecurityRequirement};
use utoipa_axum::router::OpenApiRouter;

/// Admission of connections at the maximum.
mod admission;
/// Request bodies, and large response bodies.
mod bodies;
/// Responses to every executed request.
mod responses;
/// Requests while the service stops.
mod stopping;
/// The same over TLS, and its handshakes.
mod tls;
/// Requests that cannot be parsed.
mod unparsed;

const SHORT: Duration = Duration::from_millis(300);
/// Time that `/slow` takes.
const SLOW: Duration = Duration::from_millis(50);
/// Size of the body of `/large` in bytes: more than the sockets buffer for a client that does not
/// read.
const LARGE: usize = 32 * 1024 * 1024;
const LIVE: &str = "GET /health/live HTTP/1.1\r\nhost: test\r\n\r\n";

struct Server {
    addr: SocketAddr,
    draining: CancellationToken,
    shutdown: CancellationToken,
    task: JoinHandle<anyhow::Result<()>>,
    /// One permit for each request that reached the application.
    requests: Arc<Semaphore>,
    /// One permit for each byte that `/upload` has read.
    uploaded: Arc<Semaphore>,
}

impl Server {
    /// Waits until `count` further requests have reached the application.
    async fn received(&self, count: u32) {
        taken(&self.requests, count).await;
    }

    /// Waits until `/upload` has read `bytes` further bytes.
    async fn has_read(&self, bytes: u32) {
        taken(&self.uploaded, bytes).await;
    }
}

async fn taken(permits: &Semaphore, count: u32) {
    let waiting = timeout(Duration::from_secs(10), permits.acquire_many(count));
    waiting.await.expect("the requests arrive").unwrap().forget();
}

async fn start(limits: Limits) -> Server {
    start_with(limits, None).await
}

/// Declares the routes: a service refuses requests of any other.
fn document() -> OpenApi {
    let mut document = OpenApi::default();
    let posts = ["/echo", "/upload"].map(|path| (HttpMethod::Post, path));
    let gets = ["/never", "/slow", "/large"].map(|path| (HttpMethod::Get, path));
    for (method, path) in posts.into_iter().chain(gets) {
        let scope = SecurityRequirement::new("api_key", ["ops:read"]);
        let operation = OperationBuilder::new().operation_id(Some(path)).security(scope);
        document.paths.add_path_operation(path, vec![method], operation.build());
    }
    document
}

async fn start_with(limits: Limits, tls: Option<ServerTls>) -> Server {
    let (requests, uploaded) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
    let (arrived, read) = (Arc::clone(&requests), Arc::clone(&uploaded));
    let routes = OpenApiRouter::with_openapi(document())
        .route("/echo", post(|Json(value): Json<Value>| async move { axum::Json(value) }))
        .route("/upload", post(|body: Body| upload(body, read)))
        .route("/never", get(std::future::pending::<()>))
        .route("/slow", get(async || sleep(SLOW).await))
        .route("/large", get(async || vec![b'x'; LARGE]));
    let stop = Stop::from(CancellationToken::new());
    let health = Health::default().until(stop.draining.clone());
    health.ok("test");
    let app = http::app("test", routes, health, Access::unrestricted()).unwrap();
    let app = app.layer(from_fn(move |request: Request, next: Next| {
        arrived.add_permits(1);
        next.run(request)
    }));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let task = tokio::spawn(serve(limits, listener, app, tls, stop.clone()));
    let Stop { draining, shutdown } = stop;
    Server { addr, draining, shutdown, task, requests, uploaded }
}

/// Reads a body to its end, and adds a permit to `read` for each byte.
async fn upload(mut body: Body, read: Arc<Semaphore>) {
    while let Some(frame) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
        read.add_permits(frame.unwrap().data_ref().map_or(0, Bytes::len));
    }
}

/// Connects and sends a text.
async fn sent(server: &Server, text: &str) -> TcpStream {
    let mut stream = TcpStream::connect(server.addr).await.unwrap();
    stream.write_all(text.as_bytes()).await.unwrap();
    stream
}

/// Reads until the server closes the connection.
async fn to_end(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut answer = Vec::new();
    let _ = timeout(Duration::from_secs(10), stream.read_to_end(&mut answer))
        .await
        .expect("the server closes");
    String::from_utf8(answer).unwrap()
}

/// Returns the status of each response in a text.
fn statuses(text: &str) -> Vec<&str> {
    text.split("HTTP/1.").skip(1).map(|answer| &answer[2..5]).collect()
}

/// Reads the first bytes of a response.
async fn first(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut answer = vec![0; 4096];
    let length = timeout(Duration::from_secs(10), stream.read(&mut answer)).await.unwrap().unwrap();
    String::from_utf8(answer[..length].to_vec()).unwrap()
}

#[track_caller]
fn is_problem(answer: &str, status: u16, code: &str) {
    assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let head = head.to_lowercase();
    assert!(head.contains("content-type: application/problem+json"), "{answer}");
    assert!(head.contains("x-request-id: "), "{answer}");
    let problem: Value = serde_json::from_str(body).unwrap();
    assert_eq!(
        (&problem["status"], &problem["code"]),
        (&Value::from(status), &Value::from(code)),
        "{answer}"
    );
}

const HALF: &str = "POST /echo HTTP/1.1\r\nhost: test\r\ncontent-type: application/json\r\n\
                    content-length: 999\r\n\r\n{";

#[tokio::test]
async fn a_body_that_does_not_arrive_is_408() {
    let server = start(Limits { body: SHORT, ..Limits::default() }).await;
    is_problem(&to_end(&mut sent(&server, HALF).await).await, 408, "request_timeout");
}

#[tokio::test]
async fn a_body_that_arrives_one_byte_at_a_time_is_408() {
    let server = start(Limits { body: SHORT, ..Limits::default() }).await;
    let (mut read, mut write) = sent(&server, HALF).await.into_split();
    let trickle = tokio::spawn(async move {
        while write.write_all(b" ").await.is_ok() {
            sleep(SHORT / 10).await;
        }
    });
    let mut answer = vec![0; 4096];
    let length = timeout(Duration::from_secs(10), read.read(&mut answer)).await.unwrap().unwrap();
    is_problem(&String::from_utf8_lossy(&answer[..length]), 408, "request_timeout");
    trickle.abort();
}

#[tokio::test]
async fn headers_that_do_not_arrive_are_408() {
    let server = start(Limits { headers: SHORT, ..Limits::default() }).await;
    let answer = to_end(&mut sent(&server, "GET /health/live HTTP/1.1\r\nhost:").await).await;
    is_problem(&answer, 408, "request_timeout");
}

#[tokio::test]
async fn headers_that_are_too_large_are_431() {
    let server = start(Limits::default()).await;
    let large = |bytes: usize| {
        format!("GET /health/live HTTP/1.1\r\nhost: test\r\nx-large: {}\r\n\r\n", "x".repeat(bytes))
    };
    for bytes in [HEADERS_LIMIT, 70 * 1024] {
        let answer = first(&mut sent(&server, &large(bytes)).await).await;
        is_problem(&answer, 431, "request_header_fields_too_large");
    }
    assert!(
        first(&mut sent(&server, &large(HEADERS_LIMIT / 2)).await)
            .await
            .starts_with("HTTP/1.1 200 ")
    );
}

#[tokio::test]
async fn a_request_that_outlasts_the_grace_period_is_aborted() {
    let server = start(Limits { grace: SHORT, ..Limits::default() }).await;
    let mut idle = sent(&server, LIVE).await;
    assert!(first(&mut idle).await.starts_with("HTTP/1.1 200 "));
    let mut running = sent(&server, "GET /never HTTP/1.1\r\nhost: test\r\n\r\n").await;
    server.received(2).await;

    let stopped = Instant::now();
    server.shutdown.cancel();
    assert_eq!(to_end(&mut idle).await, "");
    assert!(stopped.elapsed() < SHORT, "an idle connection closes at once");
    server.task.await.unwrap().unwrap();
    assert!(stopped.elapsed() >= SHORT, "a running request has the whole grace period");
    assert_eq!(to_end(&mut running).await, "");
    assert!(TcpStream::connect(server.addr).await.is_err());
}

#[tokio::test]
async fn a_refusal_before_the_body_leaves_the_connection_to_the_next_request() {
    let server = start(Limits::default()).await;
    for refused in ["POST /nowhere HTTP/1.1", "GET /echo HTTP/1.1", "POST /echo HTTP/1.1"] {
        // The body arrives after its request was refused, and is not of its content type.
        let head = format!(
            "{refused}\r\nhost: test\r\ncontent-type: text/plain\r\ncontent-length: 20\r\n\r\n"
        );
        let mut stream = sent(&server, &head).await;
        server.received(1).await;
        stream.write_all(&[b'x'; 20]).await.unwrap();
        assert!(first(&mut stream).await.starts_with("HTTP/1.1 4"), "{refused}");
        stream.write_all(LIVE.as_bytes()).await.unwrap();
        assert!(first(&mut stream).await.starts_with("HTTP/1.1 200 "), "{refused}");
        server.received(1).await;
    }
    server.shutdown.cancel();
    server.task.await.unwrap().unwrap();
}
