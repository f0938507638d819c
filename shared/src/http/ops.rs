//! Listener for operators: health and metrics, without authentication. It has connections of its
//! own, so that clients of the API cannot hide the state of the service.

use std::net::SocketAddr;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::middleware::{Next, from_fn_with_state, map_response};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio_util::task::AbortOnDropHandle;

use super::gate::{AllowedHosts, check_host};
use super::limits::Limits;
use super::observe::keep_from_browsers;
use super::operations::{self, Readiness};
use super::problem::Problem;
use super::{host, server};
use crate::health::Health;
use crate::shutdown::{CancellationToken, Stop};
use crate::telemetry;

/// Maximum number of connections. Probes and scrapers are few.
const CONNECTIONS: usize = 64;
/// Maximum number of connections of one address.
const PER_ADDRESS: usize = 32;

/// Running listener for operators, which ends when it is dropped.
#[derive(Debug)]
pub struct OpsListener {
    /// Address of the listener.
    pub local_addr: SocketAddr,
    /// Task of the listener.
    pub serving: AbortOnDropHandle<anyhow::Result<()>>,
}

impl OpsListener {
    /// Listens on an address and serves health and metrics. `variable` is the setting that an error
    /// names.
    ///
    /// The listener answers until it is dropped, during the drain and the shutdown as well.
    ///
    /// # Errors
    /// The address is in use or not of this machine.
    pub async fn start(addr: SocketAddr, variable: &str, health: &Health) -> anyhow::Result<Self> {
        let listener = server::listen(addr, variable).await?;
        let local_addr = listener.local_addr()?;
        let limits = Limits {
            connections: CONNECTIONS,
            per_address: PER_ADDRESS,
            refusals: 0,
            ..Limits::default()
        };
        let never = Stop::from(CancellationToken::new());
        let serving = server::serve(limits, listener, router(health.clone(), addr), None, never);
        Ok(Self { local_addr, serving: AbortOnDropHandle::new(tokio::spawn(serving)) })
    }
}

fn router(health: Health, addr: SocketAddr) -> Router {
    let hosts = AllowedHosts::for_operators(addr);
    Router::new()
        .route("/health/live", get(operations::live))
        .route("/health/ready", get(ready))
        .route("/metrics", get(metrics))
        .with_state(health)
        .fallback(async || Problem::not_found("this listener has health and metrics only"))
        .layer(from_fn_with_state(hosts, refuse_other_hosts))
        .layer(map_response(keep_from_browsers))
}

async fn ready(State(health): State<Health>) -> Readiness {
    Readiness::of(&health)
}

async fn metrics() -> impl IntoResponse {
    ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], telemetry::scrape())
}

/// Refuses the requests of a page whose name resolves to this address.
async fn refuse_other_hosts(
    State(allowed): State<AllowedHosts>,
    request: Request,
    next: Next,
) -> Response {
    let (version, headers) = (request.version(), request.headers());
    match host::check(version, headers).and_then(|()| check_host(&allowed, headers)) {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}

#[cfg(test)]
mod tests;
