//! Completion of the OpenAPI document with parts that can be derived from the rest of it.

mod examples;
mod security;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use utoipa::PartialSchema;
use utoipa::openapi::path::{Operation, Parameter, PathItem};
use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};
use utoipa::openapi::{Content, OpenApi, Ref, RefOr, ServerBuilder};

use super::problem::Problem;

const PROBLEM: &str = "application/problem+json";

/// Adds the server, an example of each parameter and body, and a problem schema with the codes of
/// each operation.
pub(super) fn complete(mut document: OpenApi) -> OpenApi {
    document.servers =
        Some(vec![ServerBuilder::new().url("/").description(Some("This service")).build()]);
    security::complete(&mut document);
    let components = json!(document.components);
    let mut problems = BTreeMap::new();
    for operation in document.paths.paths.values_mut().flat_map(operations) {
        operation.parameters.iter_mut().flatten().filter_map(inline).for_each(add_example);
        bodies(operation).for_each(|body| add_body_example(body, &components));
        problems.extend(list_codes(operation));
    }
    document.components.get_or_insert_default().schemas.extend(problems);
    document
}

fn operations(path: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    let PathItem { get, put, post, delete, .. } = path;
    [get, put, post, delete].into_iter().flatten()
}

/// Returns the bodies of the operation's request and responses, except problems.
fn bodies(operation: &mut Operation) -> impl Iterator<Item = &mut Content> {
    let requests = operation
        .request_body
        .iter_mut()
        .filter_map(inline)
        .flat_map(|request| &mut request.content);
    let responses = operation
        .responses
        .responses
        .values_mut()
        .filter_map(inline)
        .flat_map(|answer| &mut answer.content);
    let all = requests.chain(responses).filter(|(media_type, _)| *media_type != PROBLEM);
    all.filter_map(|(_, content)| inline(content))
}

fn inline<T>(part: &mut RefOr<T>) -> Option<&mut T> {
    match part {
        RefOr::T(part) => Some(part),
        RefOr::Ref(_) => None,
    }
}

fn add_body_example(body: &mut Content, components: &Value) {
    if body.example.is_none() && body.examples.is_empty() {
        body.example =
            body.schema.as_ref().and_then(|schema| examples::of(&json!(schema), components));
    }
}

/// Gives the operation's problems a schema of their own, and returns it.
fn list_codes(operation: &mut Operation) -> Option<(String, RefOr<Schema>)> {
    let name = format!("{}Problem", pascal_case(operation.operation_id.as_deref()?));
    let mut codes = BTreeSet::new();
    for response in operation.responses.responses.values_mut().filter_map(inline) {
        if let Some(content) = response.content.get_mut(PROBLEM).and_then(inline) {
            codes.extend(content.examples.keys().cloned());
            content.schema = Some(Ref::from_schema_name(&name).into());
        }
    }
    let RefOr::T(Schema::Object(mut problem)) = Problem::schema() else { return None };
    if codes.is_empty() {
        return None;
    }
    let code = ObjectBuilder::new()
        .schema_type(Type::String)
        .description(Some("Stable code of the problem, for programs."));
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

/// Adds an example by the parameter's name, which has one meaning in the whole API.
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
    fn a_problem_schema_is_named_after_its_operation() {
        assert_eq!(pascal_case("list_account_events"), "ListAccountEvents");
    }
}
