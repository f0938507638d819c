//! Claims of a token.

use serde::{Deserialize, Deserializer};

use super::fault::TokenFault;
use crate::access::limits::{check_name, check_reach};
use crate::access::{Principal, Rate, Reach, Scope, Scopes};
use crate::tenant::Tenant;
use crate::text::Owner;

/// Claims that the service reads. Others are ignored.
#[derive(Debug, Deserialize)]
pub(super) struct Claims {
    /// Name of the principal.
    pub(super) sub: String,
    /// One issuer; the verification would accept a list as well.
    #[serde(rename = "iss")]
    _issuer: String,
    exp: f64,
    /// Scopes, separated by spaces (RFC 8693, section 4.2). Names of other services are ignored.
    #[serde(default)]
    scope: String,
    #[serde(default, deserialize_with = "present")]
    tenant: Option<Tenant>,
    #[serde(default, deserialize_with = "present")]
    owner: Option<Owner>,
}

/// Reads a claim that is present. `null` is refused: an issuer that lacks a user's tenant must not
/// issue a token for all tenants.
fn present<'de, T: Deserialize<'de>, D: Deserializer<'de>>(from: D) -> Result<Option<T>, D::Error> {
    T::deserialize(from).map(Some)
}

impl Claims {
    /// Returns the time of expiry, in microseconds since 1970.
    #[expect(clippy::cast_possible_truncation, reason = "the conversion saturates")]
    pub(super) fn expires(&self) -> i64 {
        (self.exp * 1e6) as i64
    }

    /// Returns the principal.
    pub(super) fn principal(self, rate: Option<Rate>) -> Result<Principal, TokenFault> {
        check_name(&self.sub).map_err(|_| TokenFault::Subject)?;
        let scopes = self.scope.split(' ').filter_map(|name| name.parse::<Scope>().ok());
        let scopes: Scopes = scopes.collect();
        let reach = Reach { tenant: self.tenant, owner: self.owner };
        check_reach(scopes, &reach).map_err(|_| TokenFault::Reach)?;
        Ok(Principal { name: self.sub, scopes, reach, rate })
    }
}
