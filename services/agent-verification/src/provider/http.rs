//! An HTTP request: any answer is a measurement, and the conditions say what it means.

use super::client::{Answer, Client, Request, header_name, headers, web};
use super::{Measured, SecretsOf, Why};
use domain::entity::HttpMetric;
use http::{HeaderMap, Method};
use serde_json::{Map, Value, json};
use tokio::time::Instant;

/// So much of a body is read.
const BODY_BYTES_MAX: usize = 64 * 1024;

pub(super) fn check(metric: &HttpMetric) -> Result<(), Why> {
    web(&metric.url)?;
    method(&metric.method)?;
    headers(&metric.headers)?;
    metric.secret_headers.keys().try_for_each(|name| header_name(name).map(|_| ()))
}

pub(super) async fn ask(
    client: &Client,
    metric: &HttpMetric,
    secrets: &SecretsOf<'_>,
) -> Result<Measured, Why> {
    let mut headers = headers(&metric.headers)?;
    for (name, secret) in &metric.secret_headers {
        headers.insert(header_name(name)?, secrets.header(secret, "")?);
    }
    let method = method(&metric.method)?;
    let body = metric.body.clone().filter(|_| method == Method::POST).unwrap_or_default();
    let request = Request { method, url: web(&metric.url)?, headers, body };
    let started = Instant::now();
    let Answer { status, headers, body, is_cut } = client.send(request, BODY_BYTES_MAX).await?;
    let duration_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    // What was cut off is no JSON, whatever it looks like.
    let json = if is_cut { Value::Null } else { serde_json::from_slice(&body).unwrap_or(Value::Null) };
    let result = json!({
        "statusCode": status.as_u16(),
        "body": String::from_utf8_lossy(&body),
        "json": json,
        "headers": seen(&headers),
        "durationMs": duration_ms,
    });
    Ok(Measured { result, summary: format!("status {}", status.as_u16()) })
}

fn method(text: &str) -> Result<Method, Why> {
    match text.to_ascii_uppercase().as_str() {
        "GET" => Ok(Method::GET),
        "HEAD" => Ok(Method::HEAD),
        "POST" => Ok(Method::POST),
        _ => Err(format!("the method is GET, HEAD or POST, not {text:?}")),
    }
}

/// Headers as conditions see them: names in lower case, several values joined as the web does.
fn seen(headers: &HeaderMap) -> Map<String, Value> {
    let values = |name: &http::HeaderName| {
        let values = headers.get_all(name).iter().map(|value| String::from_utf8_lossy(value.as_bytes()));
        values.collect::<Vec<_>>().join(", ")
    };
    headers.keys().map(|name| (name.to_string(), Value::String(values(name)))).collect()
}
