//! Rules about what comes after a job: retries, rollbacks, verification. What they mean is in `evaluate`.

use crate::job::TerminalStatus;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A release whose job ended badly is tried again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Retry {
    /// How many times in a row, after the first. Default 0.
    #[serde(default)]
    pub max_retries: u32,
    /// Seconds from the end of a job to the next try. Default 0.
    #[serde(default)]
    pub backoff_seconds: u32,
    /// How the pause grows. Default `linear`.
    #[serde(default)]
    pub backoff_strategy: BackoffStrategy,
    /// No pause is longer than so many seconds. Absent: any length.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub max_backoff_seconds: Option<u32>,
    /// After which ends. Default `failure` and `invalid_integration`. A success is never run again.
    #[serde(default = "retried")]
    pub retry_on_statuses: Vec<TerminalStatus>,
}

fn retried() -> Vec<TerminalStatus> {
    vec![TerminalStatus::Failure, TerminalStatus::InvalidIntegration]
}

/// How the pause before a retry grows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum BackoffStrategy {
    /// It does not: always `backoffSeconds`.
    #[default]
    Linear,
    /// It doubles with each try: `backoffSeconds` × 2^(n-1) before the n-th retry.
    Exponential,
}

/// A version that failed on a target, retries used up, makes way for the last that succeeded there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Rollback {
    /// After which ends of a job. Default `failure`.
    #[serde(default = "rolled_back")]
    pub on_job_statuses: Vec<TerminalStatus>,
    /// Whether a failed verification counts as well. Default true.
    #[serde(default = "super::yes")]
    pub on_verification_failure: bool,
}

fn rolled_back() -> Vec<TerminalStatus> {
    vec![TerminalStatus::Failure]
}

/// After a job succeeded, measurements say whether what it brought works.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Verification {
    /// When it begins. Default `jobSuccess`.
    #[serde(default)]
    pub trigger_on: VerificationTrigger,
    /// What is measured; all must pass. At least one.
    #[schemars(length(min = 1))]
    pub metrics: Vec<Metric>,
}

/// When a verification begins.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum VerificationTrigger {
    /// When a job of the release succeeded.
    #[default]
    JobSuccess,
}

/// One thing that is measured again and again until it passed or failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Metric {
    /// Its name, unique in the rule.
    pub name: String,
    /// Seconds from one measurement to the next. Default 60.
    #[serde(default = "a_minute")]
    #[schemars(range(min = 1))]
    pub interval_seconds: u32,
    /// How many measurements at most. Default 1.
    #[serde(default = "one")]
    #[schemars(range(min = 1))]
    pub count: u32,
    /// CEL over `result`: whether a measurement is good. Not used by `sleep`.
    #[serde(default = "always")]
    pub success_condition: String,
    /// CEL over `result`: whether it is bad. Absent: it is bad when it is not good; otherwise one that is neither is inconclusive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure_condition: Option<String>,
    /// So many good measurements in a row pass the metric. Absent: as many as `count`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub success_threshold: Option<u32>,
    /// So many bad measurements in a row fail it. Absent: 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub failure_threshold: Option<u32>,
    /// What is asked.
    pub provider: MetricProvider,
}

fn a_minute() -> u32 {
    60
}

fn one() -> u32 {
    1
}

fn always() -> String {
    "true".to_owned()
}

impl Metric {
    /// How many good measurements in a row pass it.
    pub fn passes_at(&self) -> u32 {
        self.success_threshold.unwrap_or(self.count)
    }

    /// How many bad measurements in a row fail it.
    pub fn fails_at(&self) -> u32 {
        self.failure_threshold.unwrap_or(1)
    }
}

/// What is asked for a measurement. Texts are templates over the dispatch context of the job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "camelCase")]
pub enum MetricProvider {
    /// An HTTP request.
    Http(HttpMetric),
    /// A query to Prometheus.
    Prometheus(PrometheusMetric),
    /// A query to Datadog.
    Datadog(DatadogMetric),
    /// Nothing: time passes.
    Sleep(SleepMetric),
}

/// `result` is `{statusCode, body, json, headers, durationMs}`; `json` is null where the body is none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HttpMetric {
    /// Where.
    pub url: String,
    /// `GET` (the default), `HEAD` or `POST`.
    #[serde(default = "get")]
    pub method: String,
    /// Headers.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// Headers whose values are secrets, by the secrets' names.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub secret_headers: BTreeMap<String, String>,
    /// The body of a `POST`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// Seconds until it is given up. Default 10.
    #[serde(default = "ten")]
    #[schemars(range(min = 1, max = 60))]
    pub timeout_seconds: u32,
}

fn get() -> String {
    "GET".to_owned()
}

fn ten() -> u32 {
    10
}

/// `result` is `{value, values}`: the first sample as a number (null where there is none), and all of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PrometheusMetric {
    /// Base URL of the server, e.g. `http://prometheus.monitoring:9090`.
    pub address: String,
    /// PromQL.
    pub query: String,
    /// Headers, e.g. a tenant's.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// The name of the secret that is sent as bearer token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bearer_token_secret: Option<String>,
    /// Seconds until it is given up. Default 10.
    #[serde(default = "ten")]
    #[schemars(range(min = 1, max = 60))]
    pub timeout_seconds: u32,
}

/// `result` is `{value, values}`, as of Prometheus.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DatadogMetric {
    /// The site, e.g. `datadoghq.eu`, or the base URL of an API. Default `datadoghq.com`.
    #[serde(default = "datadog")]
    pub site: String,
    /// The metrics query.
    pub query: String,
    /// How samples become one: `avg`, `min`, `max`, `sum` or `last` (the default).
    #[serde(default = "last")]
    pub aggregator: String,
    /// How many seconds it looks back. Default 300.
    #[serde(default = "five_minutes")]
    #[schemars(range(min = 1))]
    pub lookback_seconds: u32,
    /// The name of the secret that is the API key.
    pub api_key_secret: String,
    /// The name of the secret that is the application key.
    pub app_key_secret: String,
    /// Seconds until it is given up. Default 10.
    #[serde(default = "ten")]
    #[schemars(range(min = 1, max = 60))]
    pub timeout_seconds: u32,
}

fn datadog() -> String {
    "datadoghq.com".to_owned()
}

fn last() -> String {
    "last".to_owned()
}

fn five_minutes() -> u32 {
    300
}

/// Passes after a while.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SleepMetric {
    /// Seconds.
    #[schemars(range(min = 1))]
    pub duration_seconds: u32,
}
