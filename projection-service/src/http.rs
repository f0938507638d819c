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

use std::ops::Deref;
use std::sync::Arc;

use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::consumer::topic_lag::TopicLag;
use crate::feed::Feed;
use crate::store::Views;
use crate::verify::jobs::Jobs;
use crate::waiters::Waiters;
use stats::Cache;

/// State shared by the routes. It is behind one pointer, because every request clones it several
/// times.
#[derive(Debug, Clone)]
pub struct AppState(Arc<App>);

/// Dependencies of the routes.
#[derive(Debug)]
pub struct App {
    views: Views,
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
        Self(Arc::new(App { views, waiting, ends, verifications, log, stats: Arc::default() }))
    }
}

impl Deref for AppState {
    type Target = App;

    fn deref(&self) -> &App {
        &self.0
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
        .with_state(state)
}
