//! Holder of the shares that a request uses.

use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;

use super::caller::Caller;
use crate::http::limits::Bounds;

/// Holder of the shares that a request uses: its principal; without authentication, the address of
/// its client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder(pub Arc<str>);

impl<S: Send + Sync> FromRequestParts<S> for Holder {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        if let Some(principal) = parts.extensions.get().and_then(Caller::actor) {
            return Ok(Self(principal.into()));
        }
        let bounds = parts.extensions.get::<Arc<Bounds>>();
        let client: IpAddr = bounds.map_or(Ipv4Addr::UNSPECIFIED.into(), |bounds| bounds.client);
        Ok(Self(client.to_string().into()))
    }
}
