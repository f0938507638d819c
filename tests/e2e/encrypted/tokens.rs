use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use passbook_shared::http::limits::HttpConfig;
use passbook_shared::http::server;
use passbook_shared::shutdown::CancellationToken;
use passbook_shared::timestamp::Timestamp;
use passbook_shared::tls::server::{ServerFiles, ServerTls};
use passbook_shared::tls::testing::Authority;
use tokio::net::TcpListener;

/// Lifetime of a token, in seconds.
const LIFETIME: i64 = 4;
/// Client `passbook` with its password, in base64.
const CLIENT: &str = "Basic cGFzc2Jvb2s6a2Fma2Esa3JldD0x";

/// Token endpoint over HTTPS, of unsigned tokens.
pub(super) struct TokenEndpoint {
    pub(super) url: String,
    issued: Arc<AtomicUsize>,
}

impl TokenEndpoint {
    /// Starts it with a certificate of an authority.
    pub(super) async fn start(authority: &Authority, files: &Path) -> anyhow::Result<Self> {
        let identity = authority.issue(&["localhost"])?.write(files)?;
        let tls = ServerTls::read(ServerFiles { identity, client_ca: None })?;
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("https://localhost:{}/token", listener.local_addr()?.port());
        let issued = Arc::<AtomicUsize>::default();
        let app = Router::new().route("/token", post(issue)).with_state(Arc::clone(&issued));
        let until = CancellationToken::new();
        tokio::spawn(server::serve(HttpConfig::default(), listener, app, Some(tls), until));
        Ok(Self { url, issued })
    }

    /// Returns the number of issued tokens.
    pub(super) fn issued(&self) -> usize {
        self.issued.load(Ordering::Relaxed)
    }
}

async fn issue(
    State(issued): State<Arc<AtomicUsize>>,
    headers: HeaderMap,
    body: String,
) -> (StatusCode, String) {
    let is_known = headers.get("authorization").is_some_and(|value| value == CLIENT);
    if !is_known || body != "grant_type=client_credentials" {
        return (StatusCode::UNAUTHORIZED, String::new());
    }
    issued.fetch_add(1, Ordering::Relaxed);
    let now = Timestamp::now().as_millis() / 1_000;
    let claims = format!(r#"{{"sub":"passbook","iat":{now},"exp":{}}}"#, now + LIFETIME);
    let token = format!("{}.{}.", base64url(r#"{"alg":"none"}"#), base64url(&claims));
    (StatusCode::OK, format!(r#"{{"access_token":"{token}","expires_in":{LIFETIME}}}"#))
}

/// Encodes text (RFC 4648, section 5), without padding.
fn base64url(text: &str) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut encoded = String::new();
    for chunk in text.as_bytes().chunks(3) {
        let bytes = [chunk[0], *chunk.get(1).unwrap_or(&0), *chunk.get(2).unwrap_or(&0)];
        let bits = u32::from_be_bytes([0, bytes[0], bytes[1], bytes[2]]);
        for digit in 0..=chunk.len() {
            let index = (bits >> (18 - 6 * digit)) & 63;
            encoded.push(ALPHABET[index as usize].into());
        }
    }
    encoded
}
