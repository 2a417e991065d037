//! What the metrics of a verification must be beyond their types.

use super::Found;
use crate::dispatch::CONTEXT_NAMES;
use crate::entity::{DatadogMetric, HttpMetric, Metric, MetricProvider, PrometheusMetric, Verification};
use crate::manifest::{Problem, secrets};
use crate::near::did_you_mean;
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};

const METHODS: [&str; 3] = ["GET", "HEAD", "POST"];
const AGGREGATORS: [&str; 5] = ["avg", "min", "max", "sum", "last"];
/// Longest wait for an answer, in seconds.
const TIMEOUT_SECONDS_MAX: u32 = 60;

impl Found {
    pub(super) fn verification(&mut self, field: &str, rule: &Verification) {
        self.some(&format!("{field}.metrics"), &rule.metrics, "without a metric nothing is verified");
        let mut names = BTreeSet::new();
        for (n, metric) in rule.metrics.iter().enumerate() {
            let field = format!("{field}.metrics[{n}]");
            self.metric(&field, metric);
            if !names.insert(&metric.name) {
                let message = format!("there is already a metric `{}` in this rule", metric.name);
                self.say(format!("{field}.name"), message, Some("give one of them another name"));
            }
        }
    }

    fn metric(&mut self, field: &str, metric: &Metric) {
        let at = |name: &str| format!("{field}.{name}");
        self.text(&at("name"), &metric.name);
        self.at_least_one(&at("intervalSeconds"), Some(metric.interval_seconds));
        self.at_least_one(&at("count"), Some(metric.count));
        for (name, threshold) in
            [("successThreshold", metric.success_threshold), ("failureThreshold", metric.failure_threshold)]
        {
            self.at_least_one(&at(name), threshold);
            if let Some(threshold) =
                threshold.filter(|threshold| *threshold > metric.count && metric.count > 0)
            {
                let count = metric.count;
                let message = format!("is {threshold}, which `count` measurements, {count}, never reach");
                let hint = Some("raise `count`, or lower the threshold");
                self.say(at(name), message, hint);
            }
        }
        self.expression(&at("successCondition"), &metric.success_condition, &["result"]);
        if let Some(condition) = &metric.failure_condition {
            self.expression(&at("failureCondition"), condition, &["result"]);
        }
        let field = at("provider");
        match &metric.provider {
            MetricProvider::Http(http) => self.http(&field, http),
            MetricProvider::Prometheus(prometheus) => self.prometheus(&field, prometheus),
            MetricProvider::Datadog(datadog) => self.datadog(&field, datadog),
            MetricProvider::Sleep(sleep) => {
                self.at_least_one(&format!("{field}.durationSeconds"), Some(sleep.duration_seconds));
            }
        }
    }

    fn http(&mut self, field: &str, http: &HttpMetric) {
        let at = |name: &str| format!("{field}.{name}");
        self.asked(&at("url"), &http.url);
        self.one_of(&at("method"), &http.method, &METHODS);
        self.headers(&at("headers"), &http.headers, "name the secret in `secretHeaders`");
        for (header, secret) in &http.secret_headers {
            self.secret_name(&at(&format!("secretHeaders.{header}")), secret);
        }
        if let Some(body) = &http.body {
            self.template(&at("body"), body, CONTEXT_NAMES);
            if http.method != "POST" {
                let message = format!("a {} has no body", http.method);
                self.say(at("body"), message, Some("set `method` to `POST`"));
            }
        }
        self.timeout(&at("timeoutSeconds"), http.timeout_seconds);
    }

    fn prometheus(&mut self, field: &str, prometheus: &PrometheusMetric) {
        let at = |name: &str| format!("{field}.{name}");
        self.asked(&at("address"), &prometheus.address);
        self.asked(&at("query"), &prometheus.query);
        self.headers(&at("headers"), &prometheus.headers, "name the secret in `bearerTokenSecret`");
        if let Some(secret) = &prometheus.bearer_token_secret {
            self.secret_name(&at("bearerTokenSecret"), secret);
        }
        self.timeout(&at("timeoutSeconds"), prometheus.timeout_seconds);
    }

    fn datadog(&mut self, field: &str, datadog: &DatadogMetric) {
        let at = |name: &str| format!("{field}.{name}");
        self.asked(&at("site"), &datadog.site);
        self.asked(&at("query"), &datadog.query);
        self.one_of(&at("aggregator"), &datadog.aggregator, &AGGREGATORS);
        self.at_least_one(&at("lookbackSeconds"), Some(datadog.lookback_seconds));
        self.secret_name(&at("apiKeySecret"), &datadog.api_key_secret);
        self.secret_name(&at("appKeySecret"), &datadog.app_key_secret);
        self.timeout(&at("timeoutSeconds"), datadog.timeout_seconds);
    }

    /// A template that must not be empty.
    fn asked(&mut self, field: &str, text: &str) {
        if text.trim().is_empty() {
            self.say(field, "is empty", None);
        }
        self.template(field, text, CONTEXT_NAMES);
    }

    fn headers(&mut self, field: &str, headers: &BTreeMap<String, String>, hint: &str) {
        for (header, text) in headers {
            self.template(&format!("{field}.{header}"), text, CONTEXT_NAMES);
        }
        let map: Map<String, Value> =
            headers.iter().map(|(header, text)| (header.clone(), Value::String(text.clone()))).collect();
        for found in secrets::find(&map, field) {
            self.0.push(Problem { hint: Some(hint.to_owned()), ..found });
        }
    }

    fn one_of(&mut self, field: &str, word: &str, known: &[&str]) {
        if !known.contains(&word) {
            let message = format!("`{word}` is none of what it can be");
            let hint = did_you_mean(word, known.iter().copied());
            self.say(field, message, hint.as_deref());
        }
    }

    fn timeout(&mut self, field: &str, seconds: u32) {
        if !(1..=TIMEOUT_SECONDS_MAX).contains(&seconds) {
            self.say(field, format!("is 1 to {TIMEOUT_SECONDS_MAX}, not {seconds}"), None);
        }
    }
}
