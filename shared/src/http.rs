//! HTTP application of a service. A service has its routes; [`app`](crate::http::app) adds health,
//! the OpenAPI document with its rendering, request ids, limits, and problem+json for
//! every error.

/// Audit trail over HTTP.
pub mod audit;
/// Bodies of requests.
pub mod body;
/// Bounded integers in queries and bodies.
pub mod bounded;
/// Memory budgets that requests share.
pub mod budget;
/// Cursors of paginated lists.
pub mod cursor;
mod document;
/// Problems in the OpenAPI document.
pub mod documented;
/// Extractors of bodies, queries and paths, whose rejections are problems.
pub mod extract;
/// Authentication and authorization of requests.
pub mod gate;
/// `ETag`, `If-Match`, `If-None-Match`, `Prefer`.
pub mod headers;
/// `healthcheck` subcommand.
pub mod healthcheck;
mod host;
/// Limits of the server.
pub mod limits;
mod observe;
mod operations;
/// Listener for operators.
pub mod ops;
/// Limits and ends of pages, and the places in their cursors.
pub mod page;
/// RFC 9457 problems with stable codes.
pub mod problem;
mod responses;
/// HTTP server with limits and an orderly shutdown.
pub mod server;

use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::http::header::CONTENT_SECURITY_POLICY;
use axum::http::{HeaderValue, Method, StatusCode};
use axum::middleware::{Next, from_fn, map_response};
use axum::response::{IntoResponse, Response};
use tower_http::catch_panic::CatchPanicLayer;
use utoipa_axum::router::OpenApiRouter;
use utoipa_swagger_ui::SwaggerUi;

use crate::health::Health;
use gate::{Access, Caller, Gate};
use limits::Bounds;
use problem::Problem;

/// Reason of 503 responses before the first connection to the store.
const STARTING: &str = "the service has started and has not reached it yet";

/// Builds the application of a service from its `routes`. Metrics call it `service`, as in
/// `command`.
///
/// # Errors
/// A route declares no scope in its OpenAPI description.
pub fn app(
    service: &'static str,
    routes: OpenApiRouter,
    health: Health,
    access: Access,
) -> anyhow::Result<Router> {
    let (router, document) = routes.merge(operations::routes(health)).split_for_parts();
    let gate = Arc::new(Gate::new(access, &document)?);
    let docs = SwaggerUi::new("/docs").url("/openapi.json", document::complete(document));
    let router = router
        .merge(Router::from(docs).layer(map_response(keep_from_frames)))
        .fallback(|| async {
            Problem::not_found("no such route; GET /docs lists them").into_response()
        })
        .method_not_allowed_fallback(other_method);
    Ok(layered(service, gate, router))
}

/// Restricts the documentation's page to its own scripts, and forbids other pages to embed it.
async fn keep_from_frames(mut response: Response) -> Response {
    const POLICY: &str = "default-src 'self'; style-src 'self' 'unsafe-inline'; \
        img-src 'self' data:; frame-ancestors 'none'";
    let policy = HeaderValue::from_static(POLICY);
    response.headers_mut().insert(CONTENT_SECURITY_POLICY, policy);
    response
}

/// Responds to a method for which the route has no handler. axum adds `Allow`.
async fn other_method(method: Method) -> Response {
    if method == Method::OPTIONS {
        return StatusCode::NO_CONTENT.into_response();
    }
    Problem::method_not_allowed().into_response()
}

/// Builds the application of a service that has not reached its store yet: only health works.
///
/// # Errors
/// None: the routes of health declare that they need none.
pub fn waiting(service: &'static str, health: Health, access: Access) -> anyhow::Result<Router> {
    let routes = OpenApiRouter::new().merge(operations::routes(health));
    let (router, document) = routes.split_for_parts();
    let gate = Arc::new(Gate::new(access, &document)?);
    Ok(layered(service, gate, router.fallback(|| async { Problem::store_unavailable(STARTING) })))
}

/// Adds the middleware of all routes.
fn layered(service: &'static str, gate: Arc<Gate>, router: Router) -> Router {
    // One call, because each `Router::layer` makes every request copy all layers below it. Budgets
    // come last, where a response is not compressed yet and its size is known.
    router.layer((
        from_fn(move |request, next| observe::observe(service, Arc::clone(&gate), request, next)),
        // Within `observe`, so that a panic is counted and its response has a request id.
        CatchPanicLayer::custom(panicked),
        responses::compression(),
        from_fn(within_budgets),
    ))
}

fn panicked(panic: Box<dyn std::any::Any + Send>) -> Response {
    let message = panic.downcast_ref::<String>().map(String::as_str);
    let message = message.or_else(|| panic.downcast_ref::<&str>().copied());
    tracing::error!(panic = message, "a request handler panicked");
    Problem::internal().into_response()
}

/// Keeps the bodies of the request and the response within the shared budgets.
async fn within_budgets(mut request: Request, next: Next) -> Response {
    let mut bounds = request.extensions().get::<Arc<Bounds>>().cloned().unwrap_or_default();
    if let Some(principal) = request.extensions().get().and_then(Caller::actor) {
        bounds = Arc::new(bounds.of_principal(principal));
        request.extensions_mut().insert(Arc::clone(&bounds));
    }
    let is_get = matches!(*request.method(), Method::GET | Method::HEAD);
    let response = body::limit(request, Arc::clone(&bounds), next).await;
    responses::share(response, &bounds, is_get)
}
