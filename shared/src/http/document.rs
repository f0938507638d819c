//! The API's document, completed by what follows from the rest of it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use utoipa::PartialSchema;
use utoipa::openapi::path::{Operation, Parameter, PathItem};
use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};
use utoipa::openapi::{OpenApi, Ref, RefOr, ServerBuilder};

use super::problem::Problem;

const PROBLEM: &str = "application/problem+json";

/// Adds the server, an example of each parameter, and for each operation a schema of its problems that lists their codes.
pub(super) fn complete(mut document: OpenApi) -> OpenApi {
    document.servers = Some(vec![ServerBuilder::new().url("/").description(Some("This service")).build()]);
    let mut problems = BTreeMap::new();
    for operation in document.paths.paths.values_mut().flat_map(operations) {
        for parameter in operation.parameters.iter_mut().flatten() {
            if let RefOr::T(parameter) = parameter {
                add_example(parameter);
            }
        }
        problems.extend(list_codes(operation));
    }
    document.components.get_or_insert_default().schemas.extend(problems);
    document
}

fn operations(path: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    let PathItem { get, put, post, delete, .. } = path;
    [get, put, post, delete].into_iter().flatten()
}

/// Has the operation's problems be of a schema of its own, and returns that.
fn list_codes(operation: &mut Operation) -> Option<(String, RefOr<Schema>)> {
    let name = format!("{}Problem", pascal_case(operation.operation_id.as_deref()?));
    let mut codes = BTreeSet::new();
    for response in operation.responses.responses.values_mut() {
        let RefOr::T(response) = response else { continue };
        if let Some(RefOr::T(content)) = response.content.get_mut(PROBLEM) {
            codes.extend(content.examples.keys().cloned());
            content.schema = Some(Ref::from_schema_name(&name).into());
        }
    }
    let RefOr::T(Schema::Object(mut problem)) = Problem::schema() else { return None };
    if codes.is_empty() {
        return None;
    }
    let code = ObjectBuilder::new().schema_type(Type::String).description(Some("What happened, for programs; stable."));
    problem.properties.insert("code".to_owned(), code.enum_values(Some(codes)).into());
    Some((name, problem.into()))
}

fn pascal_case(snake_case: &str) -> String {
    let capitalized = |word: &str| {
        let (first, rest) = word.split_at(word.len().min(1));
        first.to_ascii_uppercase() + rest
    };
    snake_case.split('_').map(capitalized).collect()
}

/// Parameters of one name are of one kind.
fn add_example(parameter: &mut Parameter) {
    let Some(RefOr::T(Schema::Object(schema))) = &mut parameter.schema else { return };
    if schema.example.is_none() && schema.examples.is_empty() && schema.enum_values.is_none() {
        schema.examples.extend(example_of(&parameter.name));
    }
}

fn example_of(parameter: &str) -> Option<Value> {
    Some(match parameter {
        "id" | "replay_id" | "verify_id" => json!("01990d2c-6f4a-7d3e-9b1a-5c8e2f7a4b60"),
        "hold_id" => json!("01990d2d-11a3-7e02-a6f9-4b3c7d52e016"),
        "version" | "min_version" | "after_version" => json!(7),
        "partition" => json!(3),
        "after" => json!(1_041),
        "at_least" => json!("3-1042"),
        "limit" => json!(100),
        "from" | "as_of" | "effective_at" => json!("2026-11-01T00:00:00Z"),
        "to" => json!("2026-12-01T00:00:00Z"),
        "owner" => json!("customer-4711"),
        "currency" => json!("EUR"),
        "min_balance" => json!(0),
        "max_balance" => json!(1_000_000),
        "dry_run" => json!(true),
        "X-Correlation-Id" => json!("checkout-20261124-0042"),
        "If-None-Match" => json!("\"7\""),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operation_s_schemas_are_named_after_it() {
        assert_eq!(pascal_case("list_account_events"), "ListAccountEvents");
    }
}
