//! What is queried: one endpoint a file. All of it is answered from the live generation of the views.

mod account;
mod accounts;
mod admin;
mod as_of;
mod balances;
mod behind;
mod documented;
mod entries;
mod entry;
mod holds;
mod labels;
mod log;
mod page;
mod quarantine;
pub(crate) mod replays;
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

/// State of the routes. Every request clones it several times, so it is one pointer.
#[derive(Debug, Clone)]
pub struct AppState(Arc<App>);

/// Everything that the routes work with.
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
    /// Answers from these.
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

/// Where what the views show came from. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Log {
    /// The log itself.
    pub feed: Feed,
    /// The topic that mirrors it.
    pub topic: Arc<str>,
}

/// The routes, with their documentation.
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
