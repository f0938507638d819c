//! Schemas of fields that requests share. They are exactly as narrow as validation, so that a
//! request that matches its schema is never malformed.

use passbook_shared::money::MAX_AMOUNT;
use passbook_shared::text::Metadata;
use utoipa::openapi::schema::{
    KnownFormat, Object, ObjectBuilder, Schema, SchemaFormat, SchemaType, Type,
};

/// Excludes NUL, which Postgres cannot store.
const NO_NUL: &str = r"^[^\u0000]*$";

/// Schema of an amount in minor units, from 1.
pub(super) fn amount() -> Object {
    minor_units(1).schema_type(Type::Integer).examples([25_000]).build()
}

/// Schema of an amount in minor units, from 1; the whole amount if absent or null.
pub(super) fn optional_amount() -> Object {
    let description = "In minor units; the whole amount if absent";
    minor_units(1)
        .schema_type(or_null(Type::Integer))
        .description(Some(description))
        .examples([3_000])
        .build()
}

/// Schema of an amount in minor units, from 0.
pub(super) fn amount_or_zero() -> Object {
    minor_units(0).schema_type(Type::Integer).examples([50_000]).build()
}

/// Schema of an amount in minor units, from 0; may be absent or null.
pub(super) fn optional_amount_or_zero() -> Object {
    minor_units(0).schema_type(or_null(Type::Integer)).examples([0]).build()
}

fn minor_units(least: i64) -> ObjectBuilder {
    whole(least).description(Some("In minor units"))
}

/// Schema of the version of an entry.
pub(super) fn version() -> Object {
    whole(1)
        .schema_type(Type::Integer)
        .description(Some("Version of the entry in the account"))
        .examples([2])
        .build()
}

/// Schema of an expected version; may be absent or null.
pub(super) fn optional_expected_version() -> Object {
    let description = "Expected version of the account, as `If-Match` of a single command";
    whole(0)
        .schema_type(or_null(Type::Integer))
        .description(Some(description))
        .examples([7])
        .build()
}

fn whole(least: i64) -> ObjectBuilder {
    let int64 = SchemaFormat::KnownFormat(KnownFormat::Int64);
    ObjectBuilder::new().format(Some(int64)).minimum(Some(least)).maximum(Some(MAX_AMOUNT))
}

/// Schema of the owner of an account.
pub(super) fn owner() -> Object {
    let description = "Opaque reference to the owner";
    text(Type::String.into(), 1, 200)
        .description(Some(description))
        .examples(["customer-4711"])
        .build()
}

/// Schema of a reference or reason; may be absent or null.
pub(super) fn optional_reference() -> Object {
    text(or_null(Type::String), 0, 500)
        .description(Some("Free text of the client"))
        .examples(["INV-2026-0042"])
        .build()
}

/// Schema of a time that is not in the future; may be absent or null.
pub(super) fn optional_past_time() -> Object {
    optional_time()
        .description(Some("Effective time, not in the future; the time of recording if absent"))
        .build()
}

/// Schema of the flag that waives the availability check of a backdated debit; may be absent or
/// null.
pub(super) fn allow_backdated_overdraft() -> Object {
    let description =
        "Waives the check that, by effective time, the account stays within its limit";
    ObjectBuilder::new()
        .schema_type(or_null(Type::Boolean))
        .description(Some(description))
        .examples([false])
        .build()
}

/// Schema of the effective time of a reversal; may be absent or null.
pub(super) fn optional_reversal_time() -> Object {
    let description = "Effective time, not in the future; that of the entry if absent";
    optional_time().description(Some(description)).build()
}

/// Schema of a time of expiry; may be absent or null.
pub(super) fn optional_expiry() -> Object {
    optional_time().description(Some("Time of expiry, in the future; none if absent")).build()
}

fn optional_time() -> ObjectBuilder {
    ObjectBuilder::new()
        .schema_type(or_null(Type::String))
        .format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)))
        .examples(["2026-01-31T12:00:00Z"])
}

/// Schema of metadata; may be absent or null.
pub(super) fn optional_metadata() -> Object {
    ObjectBuilder::new()
        .schema_type(or_null(Type::Object))
        .description(Some("Metadata of the client, stored with the event"))
        .property_names(Some(Schema::Object(text(Type::String.into(), 1, 64).build())))
        .additional_properties(Some(Schema::Object(text(Type::String.into(), 0, 500).build())))
        .max_properties(Some(Metadata::MAX_KEYS))
        .build()
}

fn or_null(schema_type: Type) -> SchemaType {
    SchemaType::from_iter([schema_type, Type::Null])
}

fn text(schema_type: SchemaType, shortest: usize, longest: usize) -> ObjectBuilder {
    let text = ObjectBuilder::new()
        .schema_type(schema_type)
        .pattern(Some(NO_NUL))
        .max_length(Some(longest));
    if shortest > 0 { text.min_length(Some(shortest)) } else { text }
}
