//! Client metadata in answers and in the filters of lists.

use std::collections::BTreeMap;

use passbook_shared::text::Metadata;
use utoipa::openapi::Required;
use utoipa::openapi::path::{Parameter, ParameterBuilder, ParameterIn, ParameterStyle};
use utoipa::openapi::schema::{ArrayBuilder, ObjectBuilder, Type};

/// Parses the metadata of the views. Returns an empty map if it is absent.
pub(super) fn parse_metadata(json: Option<&str>) -> BTreeMap<String, String> {
    json.and_then(|json| serde_json::from_str(json).ok()).unwrap_or_default()
}

/// Query parameter `label` of lists that filter by metadata. It exists because some client
/// generators cannot express `metadata[…]`.
#[derive(Debug)]
pub(super) struct LabelParameter;

impl utoipa::IntoParams for LabelParameter {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let label = ObjectBuilder::new()
            .schema_type(Type::String)
            .pattern(Some("^[^:]{1,64}:"))
            .examples(["region:north"]);
        let label = ParameterBuilder::new()
            .name("label")
            .parameter_in(ParameterIn::Query)
            .required(Required::False)
            .description(Some(
                "Only with all of these metadata entries, each as `key:value`: \
                 `label=region:north&label=tier:gold`. `metadata[region]=north` is the same",
            ))
            .style(Some(ParameterStyle::Form))
            .explode(Some(true))
            .schema(Some(ArrayBuilder::new().items(label).max_items(Some(Metadata::MAX_KEYS))));
        vec![label.build()]
    }
}
