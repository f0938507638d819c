//! Schemas of fields that requests share: as narrow as what is taken, so that a client (or a fuzzer) that keeps to
//! them is never refused for its form.

use passbook_shared::money::MAX_AMOUNT;
use passbook_shared::text::Metadata;
use utoipa::openapi::schema::{
    KnownFormat, Object, ObjectBuilder, Schema, SchemaFormat, SchemaType, Type,
};

/// No NUL: Postgres can't hold one.
const NO_NUL: &str = r"^[^\u0000]*$";

/// Minor units, 1 or more.
pub(super) fn amount() -> Object {
    minor_units(1).schema_type(Type::Integer).examples([25_000]).build()
}

/// Minor units, 1 or more; all there is, if absent or null.
pub(super) fn optional_amount() -> Object {
    let description = "In minor units; all, if absent";
    minor_units(1)
        .schema_type(or_null(Type::Integer))
        .description(Some(description))
        .examples([3_000])
        .build()
}

/// Minor units, 0 or more.
pub(super) fn amount_or_zero() -> Object {
    minor_units(0).schema_type(Type::Integer).examples([50_000]).build()
}

/// Minor units, 0 or more; may be absent or null.
pub(super) fn optional_amount_or_zero() -> Object {
    minor_units(0).schema_type(or_null(Type::Integer)).examples([0]).build()
}

fn minor_units(least: i64) -> ObjectBuilder {
    whole(least).description(Some("In minor units"))
}

/// The version of an entry.
pub(super) fn version() -> Object {
    whole(1)
        .schema_type(Type::Integer)
        .description(Some("The entry's version in the account"))
        .examples([2])
        .build()
}

/// The version an account is expected to be at; may be absent or null.
pub(super) fn optional_expected_version() -> Object {
    let description = "The version the account must be at, as `If-Match` says for a single command";
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

/// Whose an account is.
pub(super) fn owner() -> Object {
    let description = "Whose it is: an opaque reference";
    text(Type::String.into(), 1, 200)
        .description(Some(description))
        .examples(["customer-4711"])
        .build()
}

/// A reference or reason; may be absent or null.
pub(super) fn optional_reference() -> Object {
    text(or_null(Type::String), 0, 500)
        .description(Some("What for, in your words"))
        .examples(["INV-2026-0042"])
        .build()
}

/// A time that is not in the future; may be absent or null.
pub(super) fn optional_past_time() -> Object {
    optional_time()
        .description(Some("When it counts from, if not from now; not in the future"))
        .build()
}

/// Whether a debit may put its account below the limit at a time that is past; may be absent or null.
pub(super) fn allow_backdated_overdraft() -> Object {
    let description =
        "Whether the account may be below its limit, by effective time, at a time that is past";
    ObjectBuilder::new()
        .schema_type(or_null(Type::Boolean))
        .description(Some(description))
        .examples([false])
        .build()
}

/// When a reversal counts from; may be absent or null.
pub(super) fn optional_reversal_time() -> Object {
    let description = "When it counts from, not in the future; from when the entry does, if absent";
    optional_time().description(Some(description)).build()
}

/// A time that is in the future; may be absent or null.
pub(super) fn optional_expiry() -> Object {
    optional_time().description(Some("When it ends by itself, if it does; in the future")).build()
}

fn optional_time() -> ObjectBuilder {
    ObjectBuilder::new()
        .schema_type(or_null(Type::String))
        .format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)))
        .examples(["2026-01-31T12:00:00Z"])
}

/// Labels; may be absent or null.
pub(super) fn optional_metadata() -> Object {
    ObjectBuilder::new()
        .schema_type(or_null(Type::Object))
        .description(Some("Labels of yours, kept with the event"))
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
