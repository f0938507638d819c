//! Accounts that the sender of a request may see.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use passbook_shared::http::gate::Caller;
use passbook_shared::http::problem::Problem;

use crate::store::scope::Scope;

impl<S: Send + Sync> FromRequestParts<S> for Scope {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        match parts.extensions.get::<Caller>() {
            Some(caller) => Ok(Self::of(caller.reach())),
            None => {
                tracing::error!("a request has passed the gate without a caller");
                Err(Problem::internal())
            }
        }
    }
}
