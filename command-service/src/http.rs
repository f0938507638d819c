//! The routes: one endpoint a file, with its request, its handler and what it may answer.

mod answer;
mod async_api;
mod command_headers;
mod documented;
mod event_stream;
mod examples;
mod made_id;
mod opened_id;
mod problems;
mod schemas;
mod submit;
/// Turns at reading the log.
pub mod turns;
mod whole;

mod account_events;
mod account_state;
mod bulk;
mod capture;
mod check;
mod close;
mod deposit;
mod events;
mod freeze;
mod hold;
mod movement;
mod open_account;
mod overdraft_limit;
mod reason;
mod release;
pub(crate) mod restore;
mod reverse;
mod settled;
mod store;
mod transfer;
mod unfreeze;
mod withdraw;

use std::ops::Deref;
use std::sync::Arc;

use axum::body::Bytes;
use passbook_shared::http::headers::{EPOCH, PARTITIONS, STORE_ID};
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::lanes::Lanes;
use crate::log::check::Checker;
use crate::log::clock::LogClock;
use crate::log::read::LogReader;
use crate::log::store::Store;
use crate::restore::desk::Desk;
use crate::restore::standing::Standing;
pub use async_api::topic_document;
use turns::Turns;

/// State of the routes. Every request clones it several times, so it is one pointer.
#[derive(Debug, Clone)]
pub struct AppState(Arc<App>);

/// Everything that the routes work with.
#[derive(Debug)]
pub struct App {
    /// Where commands go.
    pub lanes: Lanes,
    /// Where the log is read.
    pub log: LogReader,
    /// Where it is checked.
    pub checker: Arc<Checker>,
    /// Turns at reading partitions of the log, and at settling them: the projection's.
    pub feed_turns: Turns,
    /// Turns at reading for people.
    pub read_turns: Turns,
    /// The store's epoch and its forks.
    pub standing: Standing,
    /// What time it is there.
    pub clock: LogClock,
    /// Where a restored log is accepted.
    pub desk: Arc<Desk>,
    /// The topic, described in JSON.
    pub topic_document: Bytes,
    /// Whether a change without an `Idempotency-Key` is refused.
    pub require_idempotency_key: bool,
}

/// The headers that say whose log an answer shows.
type Whose = [(&'static str, String); 3];

impl From<App> for AppState {
    fn from(app: App) -> Self {
        Self(Arc::new(app))
    }
}

impl Deref for AppState {
    type Target = App;

    fn deref(&self) -> &App {
        &self.0
    }
}

impl App {
    fn whose(&self) -> Whose {
        let Store { store_id, partitions, .. } = self.log.store();
        let epoch = self.standing.epoch();
        [
            (STORE_ID, store_id.to_string()),
            (PARTITIONS, partitions.to_string()),
            (EPOCH, epoch.to_string()),
        ]
    }
}

/// The routes of the service, with their documentation.
pub fn routes(state: AppState) -> OpenApiRouter {
    let mut router = OpenApiRouter::with_openapi(documented::Document::openapi())
        .routes(routes!(open_account::open_account))
        .routes(routes!(deposit::deposit))
        .routes(routes!(withdraw::withdraw))
        .routes(routes!(transfer::transfer))
        .routes(routes!(hold::hold))
        .routes(routes!(capture::capture))
        .routes(routes!(release::release))
        .routes(routes!(reverse::reverse))
        .routes(routes!(overdraft_limit::set_overdraft_limit))
        .routes(routes!(freeze::freeze))
        .routes(routes!(unfreeze::unfreeze))
        .routes(routes!(close::close))
        .routes(routes!(bulk::commands))
        .routes(routes!(account_events::account_events))
        .routes(routes!(account_state::account_state))
        .routes(routes!(events::events))
        .routes(routes!(settled::settled))
        .routes(routes!(check::check))
        .routes(routes!(store::store))
        .routes(routes!(restore::restore))
        .routes(routes!(restore::accept))
        .routes(routes!(async_api::async_api));
    events::document_partitions(router.get_openapi_mut(), state.log.store().partitions);
    router.with_state(state)
}
