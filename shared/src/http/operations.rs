//! Routes for operators: health and metrics.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::{Extension, Json};
use serde::Serialize;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::gate::Caller;
use crate::access::Scope;
use crate::health::{Check, Health};
use crate::telemetry;

pub(super) fn routes(health: Health) -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(live))
        .routes(routes!(ready))
        .routes(routes!(metrics))
        .with_state(health)
}

/// Readiness of the service, with the state of each part.
#[derive(Serialize, utoipa::ToSchema)]
struct Readiness {
    ready: bool,
    #[schema(value_type = BTreeMap<String, Check>)]
    checks: BTreeMap<&'static str, Check>,
}

/// Check that the process runs
///
/// Depends on nothing else. Restart a process that does not respond.
#[utoipa::path(get, operation_id = "get_liveness", path = "/health/live", tag = "operations",
    security(()),
    responses((status = 200, description = "The process runs", body = String, example = "alive")))]
async fn live() -> &'static str {
    "alive"
}

/// Check that the service is ready
///
/// Returns the state of each part. A failing part makes the service unready; a degraded part does
/// not. The reasons need a key with the scope `ops:read`.
#[utoipa::path(get, operation_id = "get_readiness", path = "/health/ready", tag = "operations",
    security(()), responses(
    (status = 200, description = "Ready; degraded parts have a reason", body = Readiness),
    (status = 503, description = "Not ready; failing parts have a reason", body = Readiness),
))]
async fn ready(
    State(health): State<Health>,
    caller: Option<Extension<Caller>>,
) -> impl IntoResponse {
    let (ready, mut checks) = (health.is_ready(), health.checks());
    if !caller.is_some_and(|Extension(caller)| caller.has(Scope::OpsRead)) {
        checks.values_mut().for_each(|check| check.reason = None);
    }
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(Readiness { ready, checks }))
}

/// Read metrics in Prometheus's text format
///
/// Counters start at 0 with the process.
#[utoipa::path(get, operation_id = "get_metrics", path = "/metrics", tag = "operations",
    security(("api_key" = ["ops:read"])), responses(
    (status = 200, description = "Metrics of the process", body = String,
     example = "passbook_health_check_state{service=\"command\",check=\"relay\"} 0\n")))]
async fn metrics() -> impl IntoResponse {
    ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], telemetry::metrics().render())
}
