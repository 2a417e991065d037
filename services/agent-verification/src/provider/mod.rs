//! What is asked for a measurement. Only here do names of secrets become values, and a foreign answer becomes a `result`.
//! Errors are for people and hold neither a secret nor a word of an answer.

mod client;
mod datadog;
mod http;
mod prometheus;

use crate::network::{Border, Network};
use crate::record::time_limit;
use client::Client;
use domain::entity::{Metric, MetricProvider};
use domain::token::Slug;
use domain::verification::{Conditions, Reading};
use platform::Clock;
use serde_json::Value;
use service::Secrets;
use std::fmt;
use std::sync::Arc;

/// Asks providers.
pub(crate) struct Providers {
    client: Client,
    secrets: Arc<Secrets>,
    clock: Clock,
}

/// What came: what conditions see of it, and what may be said about it.
#[derive(Debug, PartialEq)]
struct Measured {
    result: Value,
    summary: String,
}

/// Why nothing came; a sentence for people.
type Why = String;

impl Providers {
    /// # Errors
    /// When TLS cannot be set up.
    pub(crate) fn new(secrets: Arc<Secrets>, open: Vec<Network>, clock: Clock) -> anyhow::Result<Self> {
        Ok(Self { client: Client::new(Border::new(open))?, secrets, clock })
    }

    /// Measures once: what it says, and why.
    pub(crate) async fn measure(&self, workspace: &Slug, metric: &Metric) -> (Reading, String) {
        let limit = time_limit(metric);
        let measured = match tokio::time::timeout(limit, self.ask(workspace, metric)).await {
            Ok(Ok(Some(measured))) => measured,
            // Time has passed, which is all that was asked for.
            Ok(Ok(None)) => return (Reading::Good, String::new()),
            Ok(Err(why)) => return (Reading::Error, telemetry::redact(&why).into_owned()),
            Err(_elapsed) => return (Reading::Error, format!("no answer within {} s", limit.as_secs())),
        };
        match Conditions::compile(metric) {
            Ok(conditions) => {
                let (reading, why) = conditions.judge(&measured.result);
                (reading, format!("{}: {why}", measured.summary))
            }
            Err(error) => (Reading::Error, error.to_string()),
        }
    }

    async fn ask(&self, workspace: &Slug, metric: &Metric) -> Result<Option<Measured>, Why> {
        let secrets = SecretsOf { workspace, secrets: &self.secrets };
        match &metric.provider {
            MetricProvider::Http(http) => http::ask(&self.client, http, &secrets).await.map(Some),
            MetricProvider::Prometheus(prometheus) => {
                prometheus::ask(&self.client, prometheus, &secrets).await.map(Some)
            }
            MetricProvider::Datadog(datadog) => {
                datadog::ask(&self.client, datadog, &secrets, self.clock.now()).await.map(Some)
            }
            MetricProvider::Sleep(_) => Ok(None),
        }
    }
}

impl fmt::Debug for Providers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Providers")
    }
}

/// Whether a metric can be measured at all; what does not fit is refused before anything is.
///
/// # Errors
/// Says what does not fit.
pub(crate) fn check(metric: &Metric) -> Result<(), Why> {
    Conditions::compile(metric).map_err(|error| error.to_string())?;
    match &metric.provider {
        MetricProvider::Http(http) => http::check(http),
        MetricProvider::Prometheus(prometheus) => prometheus::check(prometheus),
        MetricProvider::Datadog(datadog) => datadog::check(datadog),
        MetricProvider::Sleep(_) => Ok(()),
    }
}

/// The secrets a workspace may name.
struct SecretsOf<'a> {
    workspace: &'a Slug,
    secrets: &'a Secrets,
}

impl SecretsOf<'_> {
    /// A secret as the value of a header, which is never shown.
    fn header(&self, name: &str, before: &str) -> Result<::http::HeaderValue, Why> {
        use secrecy::ExposeSecret as _;
        let secret =
            self.secrets.of_workspace(self.workspace.as_str(), name).map_err(|error| error.to_string())?;
        let text = format!("{before}{}", secret.expose_secret());
        let mut value = ::http::HeaderValue::from_str(&text)
            .map_err(|_| format!("the secret {name:?} cannot be sent in a header"))?;
        value.set_sensitive(true);
        Ok(value)
    }
}

/// A number of a provider's: always a `double` to conditions, so that whole samples divide and multiply as others do.
/// What JSON does not know (NaN, infinities) is null.
fn number(value: f64) -> Value {
    serde_json::Number::from_f64(value).map_or(Value::Null, Value::Number)
}

/// What a list of numbers says, to conditions and to people.
fn of_numbers(values: Vec<Value>) -> Measured {
    let value = values.first().cloned().unwrap_or(Value::Null);
    let summary = match (&value, values.len()) {
        (_, 0) => "no value".to_owned(),
        (value, 1) => format!("value {value}"),
        (value, more) => format!("value {value}, the first of {more}"),
    };
    Measured { result: serde_json::json!({ "value": value, "values": values }), summary }
}

#[cfg(test)]
mod tests;
