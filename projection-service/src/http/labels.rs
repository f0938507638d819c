//! The sender's labels: as answers give them, and as lists are asked for them.

use std::collections::BTreeMap;

use passbook_shared::text::Metadata;
use utoipa::openapi::Required;
use utoipa::openapi::path::{Parameter, ParameterBuilder, ParameterIn, ParameterStyle};
use utoipa::openapi::schema::{ObjectBuilder, Type};

/// From the JSON that the views hold; none, if they hold none.
pub(super) fn labels(json: Option<&str>) -> BTreeMap<String, String> {
    json.and_then(|json| serde_json::from_str(json).ok()).unwrap_or_default()
}

/// `metadata[…]`, of lists that can be asked for labels.
#[derive(Debug)]
pub(super) struct LabelsAsked;

impl utoipa::IntoParams for LabelsAsked {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let value = ObjectBuilder::new().schema_type(Type::String).max_length(Some(500));
        let labels = ObjectBuilder::new()
            .additional_properties(Some(value))
            .max_properties(Some(Metadata::MAX_KEYS))
            .examples([serde_json::json!({ "region": "north", "tier": "gold" })]);
        let metadata = ParameterBuilder::new()
            .name("metadata")
            .parameter_in(ParameterIn::Query)
            .required(Required::False)
            .description(Some("Only with all of these labels: `metadata[region]=north&metadata[tier]=gold`"))
            .style(Some(ParameterStyle::DeepObject))
            .explode(Some(true))
            .schema(Some(labels));
        vec![metadata.build()]
    }
}
