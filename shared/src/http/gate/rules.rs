//! Scopes of the operations, read from the OpenAPI document that the service publishes.

use std::collections::HashMap;

use anyhow::{Context, bail, ensure};
use axum::http::Method;
use serde_json::json;
use utoipa::openapi::OpenApi;
use utoipa::openapi::path::{Operation, PathItem};

use crate::access::keys_file::parse_scopes;
use crate::access::{Scope, Scopes};

/// Name of the security scheme in the document.
pub(in crate::http) const SCHEME: &str = "api_key";

/// Condition of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rule {
    /// Needs no key.
    Open,
    /// Needs a key with one of the scopes.
    AnyOf(Scopes),
    /// Needs a key.
    AnyKey,
}

/// Operation of a path.
#[derive(Debug)]
struct Route {
    method: Method,
    rule: Rule,
    operation_id: String,
}

/// Rules of all operations.
#[derive(Debug, Default)]
pub(super) struct Rules {
    routes: HashMap<String, Vec<Route>>,
    operations: HashMap<String, Rule>,
}

impl Rules {
    /// Reads the rules of a document.
    ///
    /// # Errors
    /// An operation declares no scope or an unknown one, or has a method without rules.
    pub(super) fn of(document: &OpenApi) -> anyhow::Result<Self> {
        let mut rules = Self::default();
        for (path, item) in &document.paths.paths {
            ensure!(
                item.options.is_none() && item.head.is_none() && item.trace.is_none(),
                "{path} documents a method that has no rule: OPTIONS, HEAD or TRACE"
            );
            for (method, operation) in operations(item) {
                let rule = rule(operation).with_context(|| format!("{method} {path}"))?;
                let id = operation.operation_id.clone();
                let id = id.with_context(|| format!("{method} {path} has no operation id"))?;
                ensure!(
                    rules.operations.insert(id.clone(), rule).is_none(),
                    "two operations have the id {id}"
                );
                let route = Route { method, rule, operation_id: id };
                rules.routes.entry(path.clone()).or_default().push(route);
            }
        }
        Ok(rules)
    }

    /// Returns the rule of a route; `None` if the document lacks it. HEAD has the rule of GET.
    pub(super) fn of_route(&self, method: &Method, path: &str) -> Option<Rule> {
        self.route(method, path).map(|route| route.rule)
    }

    /// Returns the id of a route's operation, if calls of it are in the audit trail.
    pub(super) fn audited(&self, method: &Method, path: &str) -> Option<&str> {
        let route = self.route(method, path)?;
        let is_audited = match route.rule {
            Rule::AnyOf(scopes) => scopes.iter().any(Scope::is_audited),
            Rule::Open | Rule::AnyKey => false,
        };
        is_audited.then_some(&*route.operation_id)
    }

    fn route(&self, method: &Method, path: &str) -> Option<&Route> {
        let method = if *method == Method::HEAD { &Method::GET } else { method };
        self.routes.get(path)?.iter().find(|route| route.method == *method)
    }

    /// Returns the methods of a route, as in `Allow`; `None` if the document lacks the route.
    pub(super) fn methods(&self, path: &str) -> Option<String> {
        let methods = self.routes.get(path)?.iter().map(|route| route.method.as_str());
        let mut methods: Vec<&str> = methods.collect();
        if methods.contains(&"GET") {
            methods.push("HEAD");
        }
        Some(methods.join(","))
    }

    pub(super) fn of_operation(&self, id: &str) -> Option<Rule> {
        self.operations.get(id).copied()
    }
}

fn operations(item: &PathItem) -> impl Iterator<Item = (Method, &Operation)> {
    let PathItem { get, put, post, delete, patch, .. } = item;
    let all = [
        (Method::GET, get),
        (Method::PUT, put),
        (Method::POST, post),
        (Method::DELETE, delete),
        (Method::PATCH, patch),
    ];
    all.into_iter().filter_map(|(method, operation)| Some((method, operation.as_ref()?)))
}

/// Returns the rule of an operation: an empty requirement needs no key, and several requirements
/// are alternatives (OpenAPI 3.1, section 4.8.30).
fn rule(operation: &Operation) -> anyhow::Result<Rule> {
    let requirements = operation.security.as_ref();
    let requirements = requirements.filter(|all| !all.is_empty());
    let requirements = requirements.context("the operation declares no security")?;
    let mut scopes: Vec<Scope> = Vec::new();
    for requirement in requirements {
        let requirement = json!(requirement);
        if requirement == json!({}) {
            ensure!(requirements.len() == 1, "an open operation has no other requirement");
            return Ok(Rule::Open);
        }
        let names: Vec<String> = serde_json::from_value(requirement[SCHEME].clone())
            .with_context(|| format!("the security requirement is not of `{SCHEME}`"))?;
        // Two scopes of one requirement would both be needed, which no operation does.
        if names.len() != 1 || requirement.as_object().is_none_or(|all| all.len() != 1) {
            bail!("a security requirement must have one scope: {requirement}");
        }
        scopes.extend(parse_scopes(&names)?.iter());
    }
    Ok(Rule::AnyOf(scopes.into_iter().collect()))
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn document(security: Value) -> OpenApi {
        let mut operation = json!({"operationId": "get_it", "responses": {}});
        if !security.is_null() {
            operation["security"] = security;
        }
        let paths = json!({"/it/{id}": {"get": operation}});
        serde_json::from_value(json!({
            "openapi": "3.1.0", "info": {"title": "t", "version": "1"}, "paths": paths,
        }))
        .unwrap()
    }

    #[test]
    fn the_rule_of_an_operation_is_its_security() {
        let rule = |security: Value| {
            let rules = Rules::of(&document(security)).unwrap();
            assert_eq!(rules.of_route(&Method::POST, "/it/{id}"), None);
            assert_eq!(rules.of_route(&Method::GET, "/other"), None);
            assert_eq!(rules.methods("/it/{id}").as_deref(), Some("GET,HEAD"));
            assert_eq!(rules.methods("/other"), None);
            let rule = rules.of_route(&Method::GET, "/it/{id}");
            assert_eq!(rules.of_route(&Method::HEAD, "/it/{id}"), rule);
            assert_eq!(rules.of_operation("get_it"), rule);
            rule.unwrap()
        };
        let any_of = |scopes: &[Scope]| Rule::AnyOf(scopes.iter().copied().collect());
        assert_eq!(rule(json!([{}])), Rule::Open);
        assert_eq!(rule(json!([{"api_key": ["log:read"]}])), any_of(&[Scope::LogRead]));
        assert_eq!(
            rule(json!([{"api_key": ["log:read"]}, {"api_key": ["money:move"]}])),
            any_of(&[Scope::LogRead, Scope::MoneyMove])
        );
    }

    #[test]
    fn a_method_without_a_rule_is_refused() {
        for method in ["options", "head", "trace"] {
            let document = json!(document(json!([{"api_key": ["log:read"]}])));
            let text = document.to_string().replace("\"get\"", &format!("\"{method}\""));
            let refused = Rules::of(&serde_json::from_str(&text).unwrap());
            let said = refused.map(|_| ()).unwrap_err().to_string();
            assert!(said.starts_with("/it/{id} documents a method that has no rule"), "{said}");
        }
    }

    #[test]
    fn an_operation_without_a_scope_is_refused() {
        for security in [
            Value::Null,
            json!([]),
            json!([{"api_key": []}]),
            json!([{"api_key": ["money:steal"]}]),
            json!([{"api_key": ["log:read", "money:move"]}]),
            json!([{"other": ["log:read"]}]),
            json!([{"api_key": ["log:read"], "other": []}]),
            json!([{}, {"api_key": ["log:read"]}]),
        ] {
            let refused = Rules::of(&document(security.clone()));
            let said = format!("{:#}", refused.map(|_| ()).unwrap_err());
            assert!(said.starts_with("GET /it/{id}: "), "{security}: {said}");
        }
    }
}
