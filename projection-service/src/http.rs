//! What is queried: one endpoint a file. All of it is answered from the live generation of the views.

mod account;
mod accounts;
mod admin;
mod balances;
mod behind;
mod entries;
mod stats;

use std::sync::Arc;

use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::consumer::ends::Ends;
use crate::store::Views;
use crate::waiting::Waiting;
use stats::Cache;

/// What every endpoint can reach. Cheap to clone.
#[derive(Debug, Clone)]
pub struct App {
    views: Views,
    waiting: Arc<Waiting>,
    ends: Arc<Ends>,
    stats: Arc<Cache>,
}

impl App {
    /// Answers from these.
    pub fn new(views: Views, waiting: Arc<Waiting>, ends: Arc<Ends>) -> Self {
        Self { views, waiting, ends, stats: Arc::default() }
    }
}

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Passbook projection-service",
        description = "Account views built from the log. Amounts are integers in minor units of the currency, times are \
                       RFC 3339 in UTC with microseconds. A command's answer carries the account's version and its \
                       position: give them as `min_version` or `at_least` to read your own write."
    ),
    components(schemas(passbook_shared::http::problem::Problem)),
    tags(
        (name = "accounts", description = "Accounts as they stand, as they stood, and what moved them"),
        (name = "operations", description = "For those who run the service"),
    )
)]
struct Document;

/// The routes, with their documentation.
pub fn routes(app: App) -> OpenApiRouter {
    OpenApiRouter::with_openapi(Document::openapi())
        .routes(routes!(account::get))
        .routes(routes!(accounts::list))
        .routes(routes!(entries::list))
        .routes(routes!(balances::list))
        .routes(routes!(stats::get))
        .routes(routes!(admin::projection))
        .with_state(app)
}
