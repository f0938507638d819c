//! HTTP as both services speak it. A service gives its routes; [`app`](crate::http::app) adds what
//! they share: health, metrics, the OpenAPI document with its rendering, request ids, limits, and
//! problem+json for everything that goes wrong.

mod answers;
/// Bodies of requests.
pub mod body;
/// Memory that many share.
pub mod budget;
/// Cursors of lists.
pub mod cursor;
mod document;
/// Problems in the API's document.
pub mod documented;
/// Bodies, queries, paths and headers, checked.
pub mod extract;
/// `ETag`, `If-Match`, `If-None-Match`, `Prefer`.
pub mod headers;
/// For the `healthcheck` subcommand.
pub mod healthcheck;
mod host;
/// How much clients may take up.
pub mod limits;
mod observe;
mod operations;
/// RFC 9457 problems with stable codes.
pub mod problem;
/// The server: within limits, with an orderly end.
pub mod server;

use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::http::{Method, StatusCode};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use tower_http::catch_panic::CatchPanicLayer;
use utoipa_axum::router::OpenApiRouter;

use crate::health::Health;
use limits::Bounds;
use problem::Problem;

/// The largest body of a request, in bytes.
pub const BODY_LIMIT: usize = 2 * 1024 * 1024;

/// What clients read until the store was reached.
const STARTING: &str = "the service has started and has not reached it yet";

/// The whole application of a service, from its own `routes`. `service` names it in metrics, as in
/// `command`.
pub fn app(service: &'static str, routes: OpenApiRouter, health: Health) -> Router {
    let (router, document) = routes.merge(operations::routes(health)).split_for_parts();
    let router = router
        .merge(
            utoipa_swagger_ui::SwaggerUi::new("/docs")
                .url("/openapi.json", document::complete(document)),
        )
        .fallback(|| async {
            Problem::not_found("no such route; GET /docs lists them").into_response()
        })
        .method_not_allowed_fallback(other_method);
    layered(service, router)
}

/// Answers a method that the route has no handler for. axum adds `Allow`.
async fn other_method(method: Method) -> Response {
    if method == Method::OPTIONS {
        return StatusCode::NO_CONTENT.into_response();
    }
    Problem::method_not_allowed().into_response()
}

/// What a service is until its store was reached for the first time: it lives, and says what it
/// waits for.
pub fn waiting(service: &'static str, health: Health) -> Router {
    let (router, _) = OpenApiRouter::new().merge(operations::routes(health)).split_for_parts();
    layered(service, router.fallback(|| async { Problem::store_unavailable(STARTING) }))
}

/// Adds to every route what all answers have in common. One stack: each further `Router::layer`
/// would have every request copy all layers below it. Bodies come last, where an answer is not
/// compressed yet and has its size.
fn layered(service: &'static str, router: Router) -> Router {
    let panicked = |panic: Box<dyn std::any::Any + Send>| {
        let said = panic.downcast_ref::<String>().map(String::as_str);
        let said = said.or_else(|| panic.downcast_ref::<&str>().copied());
        tracing::error!(panic = said, "a request handler panicked");
        Problem::internal().into_response()
    };
    router.layer((
        from_fn(move |request, next| observe::observe(service, request, next)),
        CatchPanicLayer::custom(panicked),
        answers::compression(),
        from_fn(within_budgets),
    ))
}

/// Has the request's body and the answer's within the budgets of all.
async fn within_budgets(request: Request, next: Next) -> Response {
    let bounds = request.extensions().get::<Arc<Bounds>>().cloned().unwrap_or_default();
    let is_get = matches!(*request.method(), Method::GET | Method::HEAD);
    let response = body::lend(request, Arc::clone(&bounds), next).await;
    answers::share(response, &bounds, is_get)
}
