//! Shared parts of the endpoints' documentation. The functions that create problems also create the
//! examples.

pub(super) use passbook_shared::http::documented::Responses;
use passbook_shared::http::documented::responses;
use passbook_shared::http::problem::{FieldError, Problem};
use passbook_shared::partition::Partition;
use passbook_shared::position::Position;
use utoipa::openapi::Required;
use utoipa::openapi::path::{Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::{ObjectBuilder, Type};
use uuid::Uuid;

use super::problems;

/// OpenAPI document.
#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "Passbook projection-service",
        version = env!("CARGO_PKG_VERSION"),
        description = "Account views built from the log.\n\n\
            Amounts are integers in minor units (`1250` is 12.50 EUR). Times are RFC 3339 in UTC \
            with microseconds. A command's answer carries the account's version and its position: \
            pass them as `min_version` or `at_least` to read your own write. Errors are \
            `application/problem+json` with a stable `code`. Every response carries \
            `X-Request-Id`.",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
        contact(name = "Passbook")
    ),
    tags(
        (name = "accounts", description = "Current and past accounts, and their entries"),
        (name = "operations", description = "Operation of the service"),
    ),
    components(schemas(FieldError))
)]
pub(super) struct Document;

/// Account id in the examples.
pub(super) const ACCOUNT: Uuid = Uuid::from_u128(0x0199_0d2c_6f4a_7d3e_9b1a_5c8e_2f7a_4b60);

/// Documents the problems of a query of one account that may wait for a version.
pub(super) fn account_problems(own: impl IntoIterator<Item = Problem>) -> Responses {
    let any = [
        Problem::malformed("min_version", "must be a version, at least 1"),
        Problem::account_not_found(ACCOUNT),
        problems::account_behind(ACCOUNT, 6, 7),
    ];
    problems(any.into_iter().chain(own))
}

/// Documents the problems of a query of many accounts that may wait for a position.
pub(super) fn list_problems() -> Responses {
    let wanted = Position { partition: Partition::new(3), number: 1042 };
    let behind = problems::views_behind(Position { number: 1041, ..wanted }, wanted);
    problems([
        problems::no_partition(Partition::new(99), Partition::new(11)),
        behind,
        problems::log_unavailable(),
    ])
}

/// Documents the problems that every query can have, and those of one query.
pub(super) fn problems(own: impl IntoIterator<Item = Problem>) -> Responses {
    responses(own.into_iter().chain([
        Problem::store_unavailable(passbook_shared::store_error::EXAMPLE),
        Problem::internal(),
    ]))
}

/// `Prefer` header of queries that may wait.
#[derive(Debug)]
pub(super) struct Wait;

impl utoipa::IntoParams for Wait {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let seconds = ObjectBuilder::new().schema_type(Type::String).examples(["wait=2"]);
        let prefer = ParameterBuilder::new()
            .name("Prefer")
            .parameter_in(ParameterIn::Header)
            .required(Required::False)
            .description(Some("Maximum wait in seconds, as `wait=2`: 1 by default, at most 10"))
            .schema(Some(seconds));
        vec![prefer.build()]
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::feed::Feed;
    use crate::http::{AppState, Log, routes};
    use crate::store::Views;

    fn document() -> Value {
        let tls = passbook_shared::tls::client::trusting(None, None).unwrap();
        let log = Log {
            feed: Feed::new(&"http://localhost".parse().unwrap(), None, tls).unwrap(),
            topic: "topic".into(),
        };
        let state = AppState::new(
            Views::default(),
            Default::default(),
            Default::default(),
            Default::default(),
            log,
        );
        serde_json::to_value(routes(state).into_openapi()).unwrap()
    }

    #[test]
    fn metadata_filters_are_one_parameter_each() {
        let document = document();
        for list in ["/v1/accounts", "/v1/accounts/{id}/entries"] {
            let parameters = document["paths"][list]["get"]["parameters"].as_array().unwrap();
            let label = parameters.iter().find(|parameter| parameter["name"] == "label").unwrap();
            assert_eq!(
                (&label["in"], &label["explode"], &label["schema"]["type"]),
                (&json!("query"), &json!(true), &json!("array"))
            );
        }
    }

    #[test]
    fn every_problem_has_an_example() {
        let document = document();
        let operations = document["paths"]
            .as_object()
            .unwrap()
            .values()
            .flat_map(|path| path.as_object().unwrap());
        let mut seen = 0;
        for responses in
            operations.map(|(_, operation)| operation["responses"].as_object().unwrap())
        {
            for (status, response) in
                responses.iter().filter(|(status, _)| status.as_str() >= "400")
            {
                let examples = response["content"]["application/problem+json"]["examples"]
                    .as_object()
                    .unwrap();
                for (code, example) in examples {
                    assert_eq!(&example["value"]["code"], code);
                    assert_eq!(example["value"]["status"].to_string(), *status);
                    seen += 1;
                }
            }
            assert!(responses.contains_key("503"));
            assert_ne!(responses["500"]["content"], Value::Null);
        }
        assert!(seen > 20);
    }
}
