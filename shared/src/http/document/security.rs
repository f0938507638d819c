//! Security scheme of the document, and the problems of operations that need a key.

use serde_json::json;
use utoipa::openapi::path::Operation;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{OpenApi, Response};

use super::{PROBLEM, inline, operations};
use crate::http::documented::responses;
use crate::http::gate::{SCHEME, refusals};

/// Statuses of refusals.
const STATUSES: [&str; 3] = ["401", "403", "429"];

/// Adds the security scheme, and its problems to each operation that needs a key.
pub(super) fn complete(document: &mut OpenApi) {
    let scheme = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .bearer_format("API key or JWT")
        .description(Some(
            "API key of `passbook keys add`, or a JWT of the configured issuer. Each operation \
             names the scope that the key or token must have; of several, one suffices.",
        ))
        .build();
    let components = document.components.get_or_insert_default();
    components.add_security_scheme(SCHEME, SecurityScheme::Http(scheme));
    for operation in document.paths.paths.values_mut().flat_map(operations) {
        let is_open = operation.security.iter().flatten().any(|one| json!(one) == json!({}));
        if !is_open {
            add_refusals(operation);
        }
    }
}

fn add_refusals(operation: &mut Operation) {
    let mut refused = responses(refusals());
    refused.retain(|status, _| STATUSES.contains(&&**status));
    for (status, mut response) in refused {
        let Some(added) = inline(&mut response) else { continue };
        match operation.responses.responses.get_mut(&status).and_then(inline) {
            Some(existing) => merge(existing, added),
            None => drop(operation.responses.responses.insert(status, response)),
        }
    }
}

/// Adds the problems of a response to another one of the same status.
fn merge(existing: &mut Response, added: &mut Response) {
    existing.description = format!("{}, {}", existing.description, added.description);
    let examples = added.content.get_mut(PROBLEM).and_then(inline).map(|one| &mut one.examples);
    if let (Some(examples), Some(content)) =
        (examples, existing.content.get_mut(PROBLEM).and_then(inline))
    {
        content.examples.append(examples);
    }
}
