//! OpenAPI parameters for the headers and the query of commands.

use utoipa::openapi::path::{Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::{Object, ObjectBuilder, Schema, SchemaType, Type};
use utoipa::openapi::{RefOr, Required};

use super::{
    BulkHeaders, CORRELATION_ID, CommandHeaders, IDEMPOTENCY_KEY, LONGEST_CORRELATION_ID,
    LONGEST_IDEMPOTENCY_KEY,
};

/// Schema of an idempotency key in a body; may be absent or null.
pub(in crate::http) fn optional_key() -> Object {
    let schema_type = SchemaType::from_iter([Type::String, Type::Null]);
    let description =
        "Idempotency key of this command, as the header `Idempotency-Key` of a single one";
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
                "Identifies this change. A repeat with the same key has no second effect and \
                 returns the first answer, byte for byte, success or refusal. A key is scoped to \
                 its account. The value is an RFC 9651 string, `\"order 7\"`; the quotes may be \
                 omitted if the key has no spaces.",
                key(),
            ),
            header(
                "If-Match",
                "Expected version of the account, in quotes, or a list of versions; else 412 \
                 `version_mismatch`. `*` accepts any.",
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
                "Correlation id, stored with the events.",
                visible(LONGEST_CORRELATION_ID),
            ),
            header(
                "traceparent",
                "W3C trace context, stored with the events; ignored if malformed.",
                text().examples(["00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"]),
            ),
            ParameterBuilder::new()
                .name("dry_run")
                .parameter_in(ParameterIn::Query)
                .required(Required::False)
                .description(Some("Decides and answers (200) without changing anything."))
                .schema(Some(ObjectBuilder::new().schema_type(Type::Boolean)))
                .build(),
        ]
    }
}

fn visible(longest: usize) -> ObjectBuilder {
    text().pattern(Some("^[!-~]+$")).min_length(Some(1)).max_length(Some(longest))
}

/// Schema of `"7"`, a list of these, or `*`.
fn version_tag() -> ObjectBuilder {
    text()
        .pattern(Some(r#"^(\*|"[0-9]{1,18}"(, *"[0-9]{1,18}")*)$"#))
        .min_length(Some(1))
        .examples(["\"7\""])
}

/// Schema of a key as an RFC 9651 string. The maximum length allows every character to be escaped,
/// plus the quotes.
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
