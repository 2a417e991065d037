//! A timeseries query to Datadog (`GET /api/v1/query`): each series' samples become one number.

use super::client::{Answer, Client, Request, web};
use super::{Measured, SecretsOf, Why, number, of_numbers};
use domain::Timestamp;
use domain::entity::DatadogMetric;
use http::{HeaderMap, Method};
use reqwest::Url;
use serde::Deserialize;
use serde_json::Value;

/// A larger answer has too many samples for a condition.
const BODY_BYTES_MAX: usize = 1024 * 1024;

/// What it answers, as far as we read it.
#[derive(Debug, Deserialize)]
struct Response {
    status: String,
    #[serde(default)]
    series: Vec<Series>,
}

#[derive(Debug, Deserialize)]
struct Series {
    /// Instants and values; a gap has no value.
    pointlist: Vec<(f64, Option<f64>)>,
}

/// How samples become one.
#[derive(Debug, Clone, Copy)]
enum Aggregator {
    Avg,
    Min,
    Max,
    Sum,
    Last,
}

pub(super) fn check(metric: &DatadogMetric) -> Result<(), Why> {
    base(&metric.site)?;
    aggregator(&metric.aggregator).map(|_| ())
}

pub(super) async fn ask(
    client: &Client,
    metric: &DatadogMetric,
    secrets: &SecretsOf<'_>,
    now: Timestamp,
) -> Result<Measured, Why> {
    let aggregator = aggregator(&metric.aggregator)?;
    let mut url = base(&metric.site)?;
    let path = format!("{}/api/v1/query", url.path().trim_end_matches('/'));
    url.set_path(&path);
    let to = now.timestamp();
    url.query_pairs_mut()
        .append_pair("from", &(to - i64::from(metric.lookback_seconds)).to_string())
        .append_pair("to", &to.to_string())
        .append_pair("query", &metric.query);
    let mut headers = HeaderMap::new();
    headers.insert("dd-api-key", secrets.header(&metric.api_key_secret, "")?);
    headers.insert("dd-application-key", secrets.header(&metric.app_key_secret, "")?);
    let request = Request { method: Method::GET, url, headers, body: String::new() };
    let Answer { status, body, is_cut, .. } = client.send(request, BODY_BYTES_MAX).await?;
    if !status.is_success() {
        return Err(format!("datadog answered {}", status.as_u16()));
    }
    if is_cut {
        return Err(format!("datadog answered more than {BODY_BYTES_MAX} bytes"));
    }
    Ok(of_numbers(read(&body, aggregator)?))
}

/// A site by its name, or the base URL of an API.
fn base(site: &str) -> Result<Url, Why> {
    let site = site.trim();
    if site.contains("://") {
        return web(site);
    }
    if site.is_empty()
        || !site.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'.' || byte == b'-')
    {
        return Err(format!("{site:?} is no site of datadog"));
    }
    web(&format!("https://api.{site}"))
}

fn aggregator(word: &str) -> Result<Aggregator, Why> {
    match word {
        "avg" => Ok(Aggregator::Avg),
        "min" => Ok(Aggregator::Min),
        "max" => Ok(Aggregator::Max),
        "sum" => Ok(Aggregator::Sum),
        "last" => Ok(Aggregator::Last),
        _ => Err(format!("the aggregator is avg, min, max, sum or last, not {word:?}")),
    }
}

fn read(body: &[u8], aggregator: Aggregator) -> Result<Vec<Value>, Why> {
    let unreadable = || "what datadog answered cannot be read".to_owned();
    let response: Response = serde_json::from_slice(body).map_err(|_| unreadable())?;
    if response.status != "ok" {
        return Err("datadog could not answer the query".to_owned());
    }
    let values = response.series.into_iter().filter_map(|series| {
        let samples: Vec<f64> = series.pointlist.into_iter().filter_map(|(_, value)| value).collect();
        one(&samples, aggregator)
    });
    Ok(values.map(number).collect())
}

fn one(samples: &[f64], aggregator: Aggregator) -> Option<f64> {
    let last = *samples.last()?;
    Some(match aggregator {
        Aggregator::Avg => samples.iter().sum::<f64>() / samples.len() as f64,
        Aggregator::Min => samples.iter().copied().fold(f64::INFINITY, f64::min),
        Aggregator::Max => samples.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        Aggregator::Sum => samples.iter().sum(),
        Aggregator::Last => last,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_samples_of_a_series_become_one_number() {
        let body = json!({ "status": "ok", "series": [
            { "metric": "errors", "pointlist": [[1e12, 1.0], [2e12, 4.0], [3e12, null], [4e12, 2.5]] },
            { "metric": "errors", "pointlist": [[1e12, null]] },
            { "metric": "errors", "pointlist": [[1e12, 7.0]] },
        ] });
        for (word, first) in [
            ("last", json!(2.5)),
            ("avg", json!(2.5)),
            ("min", json!(1.0)),
            ("max", json!(4.0)),
            ("sum", json!(7.5)),
        ] {
            let values = read(body.to_string().as_bytes(), aggregator(word).unwrap());
            assert_eq!(values, Ok(vec![first, json!(7.0)]), "{word}");
        }
        assert!(aggregator("median").is_err());
    }

    #[test]
    fn no_series_is_no_value_and_an_error_is_one() {
        let read = |body: Value| read(body.to_string().as_bytes(), Aggregator::Last);
        assert_eq!(read(json!({ "status": "ok", "series": [] })), Ok(vec![]));
        assert!(
            read(json!({ "status": "error", "error": "hunter2" })).is_err_and(|why| !why.contains("hunter2"))
        );
        assert!(read(json!([])).is_err());
    }

    #[test]
    fn a_site_is_a_name_or_a_url() {
        let of = |site| base(site).map(|url| url.to_string());
        assert_eq!(of("datadoghq.eu").as_deref(), Ok("https://api.datadoghq.eu/"));
        assert_eq!(of("http://127.0.0.1:99/dd").as_deref(), Ok("http://127.0.0.1:99/dd"));
        for bad in ["", "evil.example/", "a b", "x@y", "ftp://x"] {
            assert!(of(bad).is_err(), "{bad:?}");
        }
    }
}
