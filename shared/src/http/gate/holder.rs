//! Holder of the shares that a request uses.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;

use super::caller::Caller;
use crate::http::limits::Bounds;
use crate::http::problem::Problem;

/// Holder of the shares that a request uses: its principal; without authentication, the address of
/// its client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder(pub Arc<str>);

impl<S: Send + Sync> FromRequestParts<S> for Holder {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let actor = parts.extensions.get().and_then(Caller::actor).map(Arc::from);
        let address = || parts.extensions.get::<Arc<Bounds>>().map(|bounds| bounds.client);
        match actor.or_else(|| address().map(|address| address.to_string().into())) {
            Some(name) => Ok(Self(name)),
            None => {
                tracing::error!("a request has neither a principal nor a client");
                Err(Problem::internal())
            }
        }
    }
}
