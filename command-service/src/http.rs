//! HTTP API: one file an endpoint, with its request, handler and responses.

mod answer;
mod async_api;
mod command_headers;
mod derived_id;
mod documented;
mod event_stream;
mod examples;
mod opened_id;
mod problems;
mod quotas;
mod reach;
mod schemas;
mod submit;
#[cfg(test)]
pub(crate) mod tests;
/// Fair scheduling of log reads.
pub mod turns;

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
mod owner;
mod reason;
mod release;
pub(crate) mod restore;
mod reverse;
mod store;
mod transfer;
mod unfreeze;
mod watermark;
mod withdraw;

use std::ops::Deref;
use std::sync::Arc;

use axum::body::Bytes;
use passbook_shared::http::headers::{EPOCH, PARTITIONS, STORE_ID};
use passbook_shared::http::problem::FieldError;
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::lanes::Lanes;
use crate::log::check::Checker;
use crate::log::clock::LogClock;
use crate::log::read::LogReader;
use crate::log::store::Store;
use crate::quotas::Quotas;
use crate::restore::desk::Desk;
use crate::restore::standing::Standing;
use answer::{AnsweredEvent, AnsweredHold, CommandAnswer, HoldAnswer, TransferAnswer};
pub use async_api::topic_document;
use bulk::BulkAnswer;
use turns::Turns;

/// Shared state of the routes. A single pointer, because every request clones it several times.
#[derive(Debug, Clone)]
pub struct AppState(Arc<App>);

/// Dependencies of the routes.
#[derive(Debug)]
pub struct App {
    /// Lanes that decide and append commands.
    pub lanes: Lanes,
    /// Reader of the log.
    pub log: LogReader,
    /// Checker of the log's consistency.
    pub checker: Arc<Checker>,
    /// Turns for feed reads and watermarks, used by the projection.
    pub feed_turns: Turns,
    /// Turns for interactive reads.
    pub read_turns: Turns,
    /// Epoch and forks of the store.
    pub standing: Standing,
    /// Clock of the log.
    pub clock: LogClock,
    /// Survey and acceptance of a restored log.
    pub desk: Desk,
    /// AsyncAPI document of the topic, as JSON.
    pub topic_document: Bytes,
    /// Quotas of tenants.
    pub quotas: Quotas,
    /// Requires an `Idempotency-Key` on every change.
    pub require_idempotency_key: bool,
}

/// Headers that identify the store of a response.
type StoreHeaders = [(&'static str, String); 3];

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
    fn store_headers(&self) -> StoreHeaders {
        let Store { store_id, partitions, .. } = self.log.store();
        let epoch = self.standing.epoch();
        [
            (STORE_ID, store_id.to_string()),
            (PARTITIONS, partitions.to_string()),
            (EPOCH, epoch.to_string()),
        ]
    }
}

/// The OpenAPI document, before the routes add theirs.
#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "Passbook command-service",
        version = env!("CARGO_PKG_VERSION"),
        description = "Changes money accounts and shows the log of their events.\n\n\
            Amounts are integers in minor units (`1250` is 12.50 EUR). A change may carry an \
            `Idempotency-Key`: a repeat with the same key has no second effect and returns the \
            first answer. Errors are `application/problem+json` with a stable `code`. Every \
            response carries `X-Request-Id`.",
        contact(name = "Passbook"),
        license(name = "Apache-2.0", identifier = "Apache-2.0")
    ),
    tags(
        (name = "commands", description = "Change an account"),
        (name = "log", description = "Read the recorded events"),
        (name = "operations", description = "Run the service"),
    ),
    components(schemas(
        FieldError,
        CommandAnswer,
        AnsweredEvent,
        HoldAnswer,
        AnsweredHold,
        TransferAnswer,
        BulkAnswer,
    ))
)]
struct Document;

/// Builds the routes of the service and their OpenAPI document.
pub fn routes(state: AppState) -> OpenApiRouter {
    let mut router = OpenApiRouter::with_openapi(Document::openapi())
        .routes(routes!(open_account::open_account))
        .routes(routes!(deposit::deposit))
        .routes(routes!(withdraw::withdraw))
        .routes(routes!(transfer::transfer))
        .routes(routes!(hold::hold))
        .routes(routes!(capture::capture))
        .routes(routes!(release::release))
        .routes(routes!(reverse::reverse))
        .routes(routes!(overdraft_limit::set_overdraft_limit))
        .routes(routes!(owner::change_owner))
        .routes(routes!(freeze::freeze))
        .routes(routes!(unfreeze::unfreeze))
        .routes(routes!(close::close))
        .routes(routes!(bulk::commands))
        .routes(routes!(account_events::account_events))
        .routes(routes!(account_state::account_state))
        .routes(routes!(events::events))
        .routes(routes!(watermark::watermark))
        .routes(routes!(check::check))
        .routes(routes!(store::store))
        .routes(routes!(restore::restore))
        .routes(routes!(restore::accept))
        .routes(routes!(async_api::async_api));
    events::document_partitions(router.get_openapi_mut(), state.log.store().partitions);
    router.with_state(state)
}
