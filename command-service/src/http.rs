//! Routes.
use crate::lanes::Lanes;
use crate::log::read::LogReader;
use utoipa_axum::router::OpenApiRouter;
/// State.
#[derive(Debug, Clone)]
pub struct AppState {
    pub(crate) lanes: Lanes,
    pub(crate) log: LogReader,
    pub(crate) require_idempotency_key: bool,
}
/// Routes.
pub fn routes(_state: AppState) -> OpenApiRouter {
    OpenApiRouter::new()
}
