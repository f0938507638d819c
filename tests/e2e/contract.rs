//! HTTP contract of both services as a client meets it.

mod documents;
mod keys;
mod reads;
mod refusals;
mod routes;

use reqwest::header::HeaderMap;
use reqwest::{Method, StatusCode};
use serde_json::Value;

use crate::environment::Service;
use crate::infrastructure::authorization;

/// Sends a request with a JSON body and returns status, headers and body of the answer.
async fn send(
    service: &Service,
    method: Method,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> anyhow::Result<(StatusCode, HeaderMap, Value)> {
    let mut request =
        reqwest::Client::new().request(method, format!("http://{}{path}", service.addr));
    if !headers.iter().any(|(name, _)| *name == "authorization") {
        request = request.header("authorization", authorization()?);
    }
    if !headers.iter().any(|(name, _)| *name == "content-type") {
        request = request.header("content-type", "application/json");
    }
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = request.body(body.to_owned()).send().await?;
    let (status, headers) = (response.status(), response.headers().clone());
    let text = response.text().await?;
    Ok((status, headers, serde_json::from_str(&text).unwrap_or(Value::String(text))))
}
