//! An instant query to Prometheus, or to whatever speaks its HTTP API.

use super::client::{Answer, Client, Request, headers, web};
use super::{Measured, SecretsOf, Why, number, of_numbers};
use domain::entity::PrometheusMetric;
use http::Method;
use http::header::AUTHORIZATION;
use serde::Deserialize;
use serde_json::Value;

/// A larger answer has too many series for a condition.
const BODY_BYTES_MAX: usize = 1024 * 1024;

/// What it answers, as far as we read it.
#[derive(Debug, Deserialize)]
struct Response {
    data: Option<Data>,
}

#[derive(Debug, Deserialize)]
#[serde(tag = "resultType", content = "result", rename_all = "lowercase")]
enum Data {
    /// One value.
    Scalar(Sample),
    /// One value per series.
    Vector(Vec<Series>),
    /// A range, or a text.
    #[serde(other)]
    Other,
}

#[derive(Debug, Deserialize)]
struct Series {
    /// Absent where the series is a histogram.
    value: Option<Sample>,
}

/// When, and how much, as a text.
#[derive(Debug, Deserialize)]
struct Sample(#[allow(dead_code, reason = "the place in the pair")] f64, String);

pub(super) fn check(metric: &PrometheusMetric) -> Result<(), Why> {
    web(&metric.address)?;
    headers(&metric.headers).map(|_| ())
}

pub(super) async fn ask(
    client: &Client,
    metric: &PrometheusMetric,
    secrets: &SecretsOf<'_>,
) -> Result<Measured, Why> {
    let mut url = web(&metric.address)?;
    let path = format!("{}/api/v1/query", url.path().trim_end_matches('/'));
    url.set_path(&path);
    url.query_pairs_mut().append_pair("query", &metric.query);
    let mut headers = headers(&metric.headers)?;
    if let Some(secret) = &metric.bearer_token_secret {
        headers.insert(AUTHORIZATION, secrets.header(secret, "Bearer ")?);
    }
    let request = Request { method: Method::GET, url, headers, body: String::new() };
    let Answer { status, body, is_cut, .. } = client.send(request, BODY_BYTES_MAX).await?;
    if !status.is_success() {
        return Err(format!("prometheus answered {}", status.as_u16()));
    }
    if is_cut {
        return Err(format!("prometheus answered more than {BODY_BYTES_MAX} bytes"));
    }
    read(&body).map(of_numbers)
}

fn read(body: &[u8]) -> Result<Vec<Value>, Why> {
    let unreadable = "what prometheus answered cannot be read";
    let response: Response = serde_json::from_slice(body).map_err(|_| unreadable.to_owned())?;
    let value = |Sample(_, text): Sample| text.parse().map(number).map_err(|_| unreadable.to_owned());
    match response.data {
        Some(Data::Scalar(sample)) => Ok(vec![value(sample)?]),
        Some(Data::Vector(series)) => {
            series.into_iter().filter_map(|series| series.value).map(value).collect()
        }
        Some(Data::Other) => Err("the query gives neither a vector nor a scalar".to_owned()),
        None => Err(unreadable.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn values(data: Value) -> Result<Vec<Value>, Why> {
        read(json!({ "status": "success", "data": data }).to_string().as_bytes())
    }

    #[test]
    fn a_vector_or_a_scalar_is_numbers() {
        let at = 1_800_000_000.5;
        for (data, expected) in [
            (json!({ "resultType": "scalar", "result": [at, "3"] }), json!([3.0])),
            (json!({ "resultType": "vector", "result": [] }), json!([])),
            (
                json!({ "resultType": "vector", "result": [
                    { "metric": { "app": "web" }, "value": [at, "0.25"] },
                    { "metric": {}, "value": [at, "NaN"] },
                    { "metric": {}, "value": [at, "+Inf"] },
                    { "metric": {}, "histogram": [at, {}] },
                    { "metric": {}, "value": [at, "1e3"] },
                ] }),
                json!([0.25, null, null, 1000.0]),
            ),
        ] {
            assert_eq!(values(data.clone()).map(Value::from), Ok(expected), "{data}");
        }
    }

    #[test]
    fn anything_else_is_an_error() {
        for data in [
            json!({ "resultType": "matrix", "result": [] }),
            json!({ "resultType": "string", "result": [1, "x"] }),
            json!({ "resultType": "vector", "result": [{ "value": [1, "much"] }] }),
            json!(null),
            json!([]),
        ] {
            assert!(values(data.clone()).is_err(), "{data}");
        }
        assert!(read(b"<html>").is_err());
    }
}
