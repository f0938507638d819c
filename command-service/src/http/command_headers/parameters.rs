//! The same, for the API's document.

use utoipa::openapi::path::{Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::{Object, ObjectBuilder, Schema, SchemaType, Type};
use utoipa::openapi::{RefOr, Required};

use super::{
    BulkHeaders, CORRELATION_ID, CommandHeaders, IDEMPOTENCY_KEY, LONGEST_CORRELATION_ID,
    LONGEST_IDEMPOTENCY_KEY,
};

/// A key in a body; may be absent or null.
pub(in crate::http) fn optional_key() -> Object {
    let schema_type = SchemaType::from_iter([Type::String, Type::Null]);
    let description = "Names this change, as the header `Idempotency-Key` does for a single one";
    let key = text()
        .pattern(Some("^[ -~]+$"))
        .min_length(Some(1))
        .max_length(Some(LONGEST_IDEMPOTENCY_KEY));
    key.schema_type(schema_type).description(Some(description)).build()
}

impl utoipa::IntoParams for CommandHeaders {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let own = [
            header(
                IDEMPOTENCY_KEY,
                "Names this change. A repeat with the same key has no second effect: it gets the first answer, byte for \
                 byte, whether that was done or refused. A key belongs to its account. It is a string of RFC 9651, `\"order 7\"`; \
                 without its quotes it is the same key, if it has no spaces.",
                key(),
            ),
            header(
                "If-Match",
                "The version the account must be at, in quotes, or a list of such, else 412 `version_mismatch`. `*`: any.",
                version_tag(),
            ),
        ];
        own.into_iter().chain(BulkHeaders::into_params(|| None)).collect()
    }
}

impl utoipa::IntoParams for BulkHeaders {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        vec![
            header(
                CORRELATION_ID,
                "Kept with the events, for those who follow a trail.",
                visible(LONGEST_CORRELATION_ID),
            ),
            header(
                "traceparent",
                "W3C trace context, kept with the events; ignored if it is not well-formed.",
                text().examples(["00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"]),
            ),
            ParameterBuilder::new()
                .name("dry_run")
                .parameter_in(ParameterIn::Query)
                .required(Required::False)
                .description(Some(
                    "Decide and answer as it would have been done (200), but do nothing.",
                ))
                .schema(Some(ObjectBuilder::new().schema_type(Type::Boolean)))
                .build(),
        ]
    }
}

fn visible(longest: usize) -> ObjectBuilder {
    text().pattern(Some("^[!-~]+$")).min_length(Some(1)).max_length(Some(longest))
}

/// `"7"`, or several of these, or `*`.
fn version_tag() -> ObjectBuilder {
    text()
        .pattern(Some(r#"^(\*|"[0-9]{1,18}"(, *"[0-9]{1,18}")*)$"#))
        .min_length(Some(1))
        .examples(["\"7\""])
}

/// Twice the longest key, all of it escaped, and the quotes.
fn key() -> ObjectBuilder {
    let pattern = r#"^([!#-~][!-~]{0,254}|"([ !#-\[\]-~]|\\["\\]){1,255}")$"#;
    let longest = 2 * LONGEST_IDEMPOTENCY_KEY + 2;
    text()
        .pattern(Some(pattern))
        .min_length(Some(1))
        .max_length(Some(longest))
        .examples(["order-4711"])
}

fn text() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String)
}

fn header(name: &str, description: &str, schema: impl Into<RefOr<Schema>>) -> Parameter {
    ParameterBuilder::new()
        .name(name)
        .parameter_in(ParameterIn::Header)
        .required(Required::False)
        .description(Some(description))
        .schema(Some(schema))
        .build()
}
