//! HTTP API, one endpoint per file. Queries are answered from the live generation of the views.

mod account;
mod accounts;
mod admin;
mod balances;
mod documented;
mod entries;
mod entry;
mod holds;
mod log_queries;
mod metadata;
mod problems;
mod quarantine;
mod read_your_writes;
pub(crate) mod replays;
mod scope;
mod snapshot_reads;
mod stats;
mod transfer;
mod verify;

use std::convert::Infallible;
use std::ops::Deref;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use passbook_shared::http::gate::Holder;
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::consumer::topic_lag::TopicLag;
use crate::feed::Feed;
use crate::store::Views;
use crate::verify::jobs::Jobs;
use crate::waiters::Waiters;
use stats::Cache;

/// State of a request: the dependencies of the routes, and the views within the share of the
/// request's sender.
#[derive(Debug, Clone)]
pub struct AppState {
    app: Arc<App>,
    views: Views,
}

/// State of the routes, of which each request gets its own.
#[derive(Debug, Clone)]
struct Shared(AppState);

/// Dependencies of the routes.
#[derive(Debug)]
pub struct App {
    waiting: Arc<Waiters>,
    ends: Arc<TopicLag>,
    verifications: Arc<Jobs>,
    log: Log,
    stats: Arc<Cache>,
}

impl AppState {
    /// Creates the state of the routes.
    pub fn new(
        views: Views,
        waiting: Arc<Waiters>,
        ends: Arc<TopicLag>,
        verifications: Arc<Jobs>,
        log: Log,
    ) -> Self {
        let app = App { waiting, ends, verifications, log, stats: Arc::default() };
        Self { app: Arc::new(app), views }
    }
}

impl FromRequestParts<Shared> for AppState {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, shared: &Shared) -> Result<Self, Infallible> {
        let Shared(Self { app, views }) = shared;
        let holder = Holder::from_request_parts(parts, shared).await?;
        Ok(Self { app: Arc::clone(app), views: views.of(holder) })
    }
}

impl Deref for AppState {
    type Target = App;

    fn deref(&self) -> &App {
        &self.app
    }
}

/// Log and topic that the views are built from. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Log {
    /// Client of the command-service's log.
    pub feed: Feed,
    /// Name of the topic.
    pub topic: Arc<str>,
}

/// Returns the routes with their OpenAPI document.
pub fn routes(state: AppState) -> OpenApiRouter {
    OpenApiRouter::with_openapi(documented::Document::openapi())
        .routes(routes!(account::get))
        .routes(routes!(accounts::list))
        .routes(routes!(entries::list))
        .routes(routes!(entry::get))
        .routes(routes!(holds::list))
        .routes(routes!(transfer::get))
        .routes(routes!(balances::list))
        .routes(routes!(stats::get))
        .routes(routes!(admin::projection))
        .routes(routes!(quarantine::list))
        .routes(routes!(quarantine::discarded))
        .routes(routes!(quarantine::get))
        .routes(routes!(quarantine::retry))
        .routes(routes!(quarantine::discard))
        .routes(routes!(replays::ask, replays::list))
        .routes(routes!(replays::get, replays::cancel))
        .routes(routes!(replays::stream))
        .routes(routes!(verify::ask))
        .routes(routes!(verify::get))
        .with_state(Shared(state))
}
