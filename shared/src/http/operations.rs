//! Routes of health.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::Serialize;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::gate::Caller;
use crate::access::Scope;
use crate::health::{Check, Health};

pub(super) fn routes(health: Health) -> OpenApiRouter {
    OpenApiRouter::new().routes(routes!(live)).routes(routes!(ready)).with_state(health)
}

/// Readiness of the service, with the state of each part.
#[derive(Serialize, utoipa::ToSchema)]
pub(super) struct Readiness {
    ready: bool,
    #[schema(value_type = BTreeMap<String, Check>)]
    checks: BTreeMap<&'static str, Check>,
}

impl Readiness {
    pub(super) fn of(health: &Health) -> Self {
        Self { ready: health.is_ready(), checks: health.checks() }
    }

    fn without_reasons(mut self) -> Self {
        self.checks.values_mut().for_each(|check| check.reason = None);
        self
    }
}

impl IntoResponse for Readiness {
    fn into_response(self) -> Response {
        let status = if self.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        (status, Json(self)).into_response()
    }
}

/// Check that the process runs
///
/// Depends on nothing else. Restart a process that does not respond.
#[utoipa::path(get, operation_id = "get_liveness", path = "/health/live", tag = "operations",
    security(()),
    responses((status = 200, description = "The process runs", body = String, example = "alive")))]
pub(super) async fn live() -> &'static str {
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
async fn ready(State(health): State<Health>, caller: Option<Extension<Caller>>) -> Readiness {
    let readiness = Readiness::of(&health);
    if caller.is_some_and(|Extension(caller)| caller.has(Scope::OpsRead)) {
        readiness
    } else {
        readiness.without_reasons()
    }
}
