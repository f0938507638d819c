//! Body of a request with an optional reason.

use passbook_shared::event::Reason;
use passbook_shared::text::Reference;
use serde::Deserialize;

use super::schemas;

/// Optional reason, in the client's words.
#[derive(Debug, Default, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, expecting = "an object")]
#[schema(example = json!({"reason": "asked for by the owner"}))]
pub(super) struct ReasonRequest {
    #[schema(schema_with = schemas::optional_reference)]
    reason: Option<Reference>,
}

impl From<ReasonRequest> for Reason {
    fn from(request: ReasonRequest) -> Self {
        Self { reason: request.reason }
    }
}
