//! Problems in the OpenAPI document. The code that responds with a problem also makes its example.

use std::collections::BTreeMap;

use utoipa::openapi::example::ExampleBuilder;
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::{ContentBuilder, Ref, RefOr, Response, ResponseBuilder};

use super::limits;
use super::problem::Problem;

/// Responses by status, as `#[utoipa::path]` takes them.
pub type Responses = BTreeMap<String, RefOr<Response>>;

/// Documents problems as responses, one per status with an example of each code. Adds the problems
/// that the server returns for any request.
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
            seconds.description(Some("Seconds after which to retry")).build(),
        );
    }
    response.build().into()
}

#[cfg(test)]
mod tests;
