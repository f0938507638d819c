//! Routes for those who run the service: health and metrics.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use serde::Serialize;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::health::{Check, Health};
use crate::telemetry;

pub(super) fn routes(health: Health) -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(live))
        .routes(routes!(ready))
        .routes(routes!(metrics))
        .with_state(health)
}

/// Whether the service is ready, and how each part stands.
#[derive(Serialize, utoipa::ToSchema)]
struct Readiness {
    ready: bool,
    #[schema(value_type = BTreeMap<String, Check>)]
    checks: BTreeMap<&'static str, Check>,
}

/// The process runs
///
/// Depends on nothing else: if this does not answer, restart the process.
#[utoipa::path(get, operation_id = "get_liveness", path = "/health/live", tag = "operations", responses((status = 200, description = "It does", body = String, example = "alive")))]
async fn live() -> &'static str {
    "alive"
}

/// The service can do its work
///
/// Says how each part stands. A failing part makes the service unready; a degraded one does not.
#[utoipa::path(get, operation_id = "get_readiness", path = "/health/ready", tag = "operations", responses(
    (status = 200, description = "It can; a part may be degraded, with the reason", body = Readiness),
    (status = 503, description = "It can't; the failing parts say why", body = Readiness),
))]
async fn ready(State(health): State<Health>) -> impl IntoResponse {
    let ready = health.is_ready();
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(Readiness { ready, checks: health.checks() }))
}

/// Metrics in Prometheus's text format
///
/// Counters begin at 0 with the process.
#[utoipa::path(get, operation_id = "get_metrics", path = "/metrics", tag = "operations", responses((status = 200, description = "The metrics", body = String, example = "passbook_health_check_state{service=\"command\",check=\"relay\"} 0\n")))]
async fn metrics() -> impl IntoResponse {
    ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], telemetry::metrics().render())
}
