//! Verifications: metrics, and what their providers are asked.

use super::Found;
use super::rules::At;
use crate::dispatch::CONTEXT_NAMES;
use crate::entity::{
    DatadogMetric, HttpMetric, Metric, MetricProvider, PrometheusMetric, SleepMetric, Verification,
};
use crate::manifest::secrets;
use crate::near::did_you_mean;
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};

const METHODS: [&str; 3] = ["GET", "HEAD", "POST"];
const AGGREGATORS: [&str; 5] = ["avg", "min", "max", "sum", "last"];
/// Headers whose values are secrets.
const SECRET_HEADERS: [&str; 5] =
    ["authorization", "proxy-authorization", "cookie", "x-api-key", "x-auth-token"];
/// Longest time for one request, in seconds.
const TIMEOUT_SECONDS_MAX: u32 = 60;

impl Found {
    pub(super) fn verification(&mut self, at: &At<'_>, rule: &Verification) {
        if rule.metrics.is_empty() {
            let hint = "name at least one, e.g. `- { name: errors, successCondition: result.value < 0.01, provider: { type: \
                        prometheus, … } }`; or take the rule out";
            self.say(at.field("metrics"), "without a metric there is nothing to measure", Some(hint));
        }
        let mut names = BTreeSet::new();
        for (n, metric) in rule.metrics.iter().enumerate() {
            let field = at.field(&format!("metrics[{n}]"));
            if !names.insert(&metric.name) {
                self.say(
                    format!("{field}.name"),
                    format!("there is a metric `{}` already", metric.name),
                    None,
                );
            }
            self.metric(&field, metric);
        }
    }

    fn metric(&mut self, field: &str, metric: &Metric) {
        let at = |name: &str| format!("{field}.{name}");
        self.text(&at("name"), &metric.name);
        self.at_least_one(&at("intervalSeconds"), metric.interval_seconds);
        self.at_least_one(&at("count"), metric.count);
        for (name, threshold) in
            [("successThreshold", metric.success_threshold), ("failureThreshold", metric.failure_threshold)]
        {
            self.at_least_one_if_any(&at(name), threshold);
            if let Some(threshold) =
                threshold.filter(|threshold| *threshold > metric.count && metric.count > 0)
            {
                let message =
                    format!("{threshold} measurements never happen: there are {} at most", metric.count);
                self.say(at(name), message, Some("raise `count`"));
            }
        }
        self.expression(&at("successCondition"), &metric.success_condition, &["result"]);
        if let Some(condition) = &metric.failure_condition {
            self.expression(&at("failureCondition"), condition, &["result"]);
        }
        let field = at("provider");
        match &metric.provider {
            MetricProvider::Http(provider) => self.http(&field, provider),
            MetricProvider::Prometheus(provider) => self.prometheus(&field, provider),
            MetricProvider::Datadog(provider) => self.datadog(&field, provider),
            MetricProvider::Sleep(SleepMetric { duration_seconds }) => {
                self.at_least_one(&format!("{field}.durationSeconds"), *duration_seconds);
            }
        }
    }

    fn http(&mut self, field: &str, http: &HttpMetric) {
        let at = |name: &str| format!("{field}.{name}");
        self.url(&at("url"), &http.url);
        if !METHODS.contains(&http.method.as_str()) {
            let hint = did_you_mean(&http.method, METHODS);
            self.say(
                at("method"),
                format!("`{}` is no method a metric asks by", http.method),
                hint.as_deref(),
            );
        }
        self.headers(&at("headers"), &http.headers, "name the secret under `secretHeaders` instead");
        for (name, secret) in &http.secret_headers {
            let header = at(&format!("secretHeaders.{name}"));
            self.header_name(&header, name);
            self.secret_name(&header, secret);
            if http.headers.keys().any(|other| other.eq_ignore_ascii_case(name)) {
                self.say(header, "is among the plain headers, too", Some("keep it here only"));
            }
        }
        if let Some(body) = &http.body {
            self.template(&at("body"), body, CONTEXT_NAMES);
            if http.method != "POST" {
                self.say(
                    at("body"),
                    format!("a {} has no body", http.method),
                    Some("with `method: POST` it has"),
                );
            }
        }
        self.timeout(&at("timeoutSeconds"), http.timeout_seconds);
    }

    fn prometheus(&mut self, field: &str, prometheus: &PrometheusMetric) {
        let at = |name: &str| format!("{field}.{name}");
        self.url(&at("address"), &prometheus.address);
        self.query(&at("query"), &prometheus.query);
        self.headers(&at("headers"), &prometheus.headers, "name the secret as `bearerTokenSecret` instead");
        if let Some(secret) = &prometheus.bearer_token_secret {
            self.secret_name(&at("bearerTokenSecret"), secret);
        }
        self.timeout(&at("timeoutSeconds"), prometheus.timeout_seconds);
    }

    fn datadog(&mut self, field: &str, datadog: &DatadogMetric) {
        let at = |name: &str| format!("{field}.{name}");
        // A site is the host of a URL, or the URL.
        let is_url = datadog.site.contains("://");
        self.url(
            &at("site"),
            &if is_url { datadog.site.clone() } else { format!("https://api.{}", datadog.site) },
        );
        self.query(&at("query"), &datadog.query);
        if !AGGREGATORS.contains(&datadog.aggregator.as_str()) {
            let hint = did_you_mean(&datadog.aggregator, AGGREGATORS);
            let message = format!("`{}` is no way to make one of many", datadog.aggregator);
            self.say(at("aggregator"), message, hint.as_deref());
        }
        self.at_least_one(&at("lookbackSeconds"), datadog.lookback_seconds);
        self.secret_name(&at("apiKeySecret"), &datadog.api_key_secret);
        self.secret_name(&at("appKeySecret"), &datadog.app_key_secret);
        self.timeout(&at("timeoutSeconds"), datadog.timeout_seconds);
    }

    /// A template of a URL. What it begins with is known, unless that is a template, too.
    fn url(&mut self, field: &str, url: &str) {
        self.template(field, url, CONTEXT_NAMES);
        let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
        let has_blank = |text: &str| {
            text.split("{{").enumerate().any(|(n, part)| {
                let plain = if n == 0 { part } else { part.split_once("}}").map_or("", |(_, after)| after) };
                plain.chars().any(|c| c.is_whitespace() || c.is_control())
            })
        };
        match rest {
            None if url.starts_with("{{") => {}
            None => {
                self.say(
                    field,
                    "a URL begins with https:// or http://",
                    Some("e.g. `https://shop.example/health`"),
                );
            }
            Some(rest) if rest.is_empty() || rest.starts_with('/') || has_blank(rest) => {
                self.say(field, "this is no URL", Some("e.g. `https://shop.example/health`"));
            }
            Some(rest) if rest.split(['/', '?', '#']).next().is_some_and(|host| host.contains('@')) => {
                self.say(field, "a URL here carries no user or password", Some("send a secret in a header"));
            }
            Some(_) => {}
        }
    }

    fn query(&mut self, field: &str, query: &str) {
        if query.trim().is_empty() {
            self.say(field, "is empty", None);
        }
        self.template(field, query, CONTEXT_NAMES);
    }

    /// Headers that everybody may read. `hint` says where secrets go.
    fn headers(&mut self, field: &str, headers: &BTreeMap<String, String>, hint: &str) {
        for (name, value) in headers {
            let header = format!("{field}.{name}");
            self.header_name(&header, name);
            self.template(&header, value, CONTEXT_NAMES);
            if value.chars().any(char::is_control) {
                self.say(&header, "has a line break or another control character", None);
            }
            let as_map = Map::from_iter([(name.clone(), Value::String(value.clone()))]);
            let is_secret = SECRET_HEADERS.contains(&name.to_ascii_lowercase().as_str())
                || !secrets::find(&as_map, "").is_empty();
            if is_secret && !value.is_empty() && !value.contains("{{") {
                self.say(&header, format!("`{name}` would keep a secret in the catalog"), Some(hint));
            }
        }
    }

    fn header_name(&mut self, field: &str, name: &str) {
        let is_token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
        if name.is_empty() || !name.chars().all(is_token) {
            self.say(field, format!("`{name}` is no name of a header"), None);
        }
    }

    fn timeout(&mut self, field: &str, seconds: u32) {
        if !(1..=TIMEOUT_SECONDS_MAX).contains(&seconds) {
            let message = format!("is 1 to {TIMEOUT_SECONDS_MAX} seconds, not {seconds}");
            self.say(
                field,
                message,
                Some("ask more often instead: `intervalSeconds` and `count` say how often"),
            );
        }
    }
}
