//! Problems in the API's document. Their examples are made by the code that answers with them.

use std::collections::BTreeMap;

use utoipa::openapi::example::ExampleBuilder;
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::{ContentBuilder, Ref, RefOr, Response, ResponseBuilder};

use super::limits;
use super::problem::Problem;

/// Responses by status, as `#[utoipa::path]` takes them.
pub type Responses = BTreeMap<String, RefOr<Response>>;

/// Problems as documented responses, with those that the server has for any request: one a status,
/// with each code as an example.
pub fn responses(problems: impl IntoIterator<Item = Problem>) -> Responses {
    let mut by_status: BTreeMap<u16, Vec<Problem>> = BTreeMap::new();
    for problem in
        problems.into_iter().chain([limits::headers_too_large(), limits::too_many_connections()])
    {
        let of_status = by_status.entry(problem.status).or_default();
        if of_status.iter().all(|known| known.code != problem.code) {
            of_status.push(problem);
        }
    }
    by_status
        .into_iter()
        .map(|(status, problems)| (status.to_string(), of_one_status(&problems)))
        .collect()
}

fn of_one_status(problems: &[Problem]) -> RefOr<Response> {
    let codes: Vec<String> = problems.iter().map(|problem| format!("`{}`", problem.code)).collect();
    let examples = problems.iter().map(|problem| {
        let example = ExampleBuilder::new()
            .summary(&problem.detail)
            .value(serde_json::to_value(problem).ok());
        (problem.code.clone(), RefOr::T(example.build()))
    });
    let schema = Ref::from_schema_name("Problem");
    let content = ContentBuilder::new().schema(Some(schema)).examples_from_iter(examples).build();
    let mut response = ResponseBuilder::new()
        .description(codes.join(", "))
        .content("application/problem+json", content);
    if problems.iter().any(|problem| problem.retry_after.is_some()) {
        let seconds =
            HeaderBuilder::new().schema(Some(ObjectBuilder::new().schema_type(Type::Integer)));
        response = response.header(
            "Retry-After",
            seconds.description(Some("Seconds after which to try again")).build(),
        );
    }
    response.build().into()
}
