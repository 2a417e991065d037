//! What a job's rendered config says: which cluster, and which Job to make there. Parsed once per call, trusted after.

use cluster::{Access, AllowedHosts};
use platform::CallError;
use serde_json::{Map, Value};

/// How long a Job may take where nothing says how long: a day, as long as a job of ours may wait to be taken.
const ACTIVE_DEADLINE_SECONDS: u64 = 86_400;
/// How long a Job is kept when it is over: longer than any outage of ours, so that nobody finds it gone.
const TTL_SECONDS: u64 = 2 * 86_400;

/// A job's config, as far as Kubernetes Jobs are concerned. Keys it does not know are left alone: the config is merged
/// from several layers, and other parts of the system read theirs.
#[derive(Debug, Clone, PartialEq)]
pub struct JobConfig {
    /// Which cluster, as whom, and in which namespace.
    pub access: Access,
    /// `manifest`: the Job, as a map or as YAML text.
    pub manifest: Map<String, Value>,
    /// What the manifest does not say itself.
    pub defaults: Defaults,
    /// `dashboardUrl`: where people look at the Job.
    pub dashboard: Option<String>,
}

/// What a manifest gets where it says nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Defaults {
    /// `activeDeadlineSeconds`: default a day. Without one, an image that cannot be pulled would hang for ever.
    pub active_deadline_seconds: u64,
    /// `backoffLimit`: how often a failed pod is replaced. Default 0: to deploy once more is somebody's decision.
    pub backoff_limit: u64,
    /// `ttlSecondsAfterFinished`: default two days.
    pub ttl_seconds_after_finished: u64,
}

/// A config that does not fit, by field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// The field.
    pub field: &'static str,
    /// What is wrong with it.
    pub why: String,
}

impl std::fmt::Display for ConfigError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "config field `{}` {}", self.field, self.why)
    }
}

impl std::error::Error for ConfigError {}

impl From<ConfigError> for CallError {
    fn from(error: ConfigError) -> Self {
        CallError::Invalid(error.to_string())
    }
}

fn wrong<T>(field: &'static str, why: impl Into<String>) -> Result<T, ConfigError> {
    Err(ConfigError { field, why: why.into() })
}

impl JobConfig {
    /// Reads a rendered config.
    ///
    /// # Errors
    /// The first field that does not fit, and why.
    pub fn parse(config: &Map<String, Value>, hosts: &AllowedHosts) -> Result<Self, ConfigError> {
        let access = Access::parse(config, hosts)
            .map_err(|error| ConfigError { field: error.field, why: error.why })?;
        let number = |field, default| match config.get(field) {
            None | Some(Value::Null) => Ok(default),
            Some(Value::Number(number)) if number.as_u64().is_some() => {
                Ok(number.as_u64().unwrap_or(default))
            }
            Some(Value::String(text)) if text.trim().parse::<u64>().is_ok() => {
                Ok(text.trim().parse().unwrap_or(default))
            }
            Some(_) => wrong(field, "must be a whole number from 0"),
        };
        Ok(Self {
            access,
            manifest: manifest(config.get("manifest"))?,
            defaults: Defaults {
                active_deadline_seconds: number("activeDeadlineSeconds", ACTIVE_DEADLINE_SECONDS)?,
                backoff_limit: number("backoffLimit", 0)?,
                ttl_seconds_after_finished: number("ttlSecondsAfterFinished", TTL_SECONDS)?,
            },
            dashboard: dashboard(config.get("dashboardUrl"))?,
        })
    }
}

fn manifest(given: Option<&Value>) -> Result<Map<String, Value>, ConfigError> {
    let text = match given {
        None | Some(Value::Null) => return wrong("manifest", "is missing"),
        Some(Value::Object(map)) => return Ok(map.clone()),
        Some(Value::String(text)) => text,
        Some(Value::Bool(_) | Value::Number(_) | Value::Array(_)) => {
            return wrong("manifest", "must be a Job, as a map or as YAML text");
        }
    };
    // Several documents are an error here too: one job is one Job.
    match serde_yaml_ng::from_str::<Value>(text) {
        Ok(Value::Object(map)) => Ok(map),
        Ok(_) => wrong("manifest", "is no Job: its YAML is not a map"),
        Err(error) => wrong("manifest", format!("is not YAML: {error}")),
    }
}

fn dashboard(given: Option<&Value>) -> Result<Option<String>, ConfigError> {
    match given {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(url)) if url.starts_with("https://") || url.starts_with("http://") => {
            Ok(Some(url.clone()))
        }
        Some(_) => wrong("dashboardUrl", "must be a URL"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn parse(config: &Value) -> Result<JobConfig, String> {
        JobConfig::parse(config.as_object().unwrap(), &AllowedHosts::default())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn a_manifest_is_a_map_or_a_text() {
        let job = json!({ "kind": "Job", "spec": { "parallelism": 2 } });
        let map = parse(&json!({ "namespace": "ci", "manifest": job })).unwrap();
        let text =
            parse(&json!({ "namespace": "ci", "manifest": "kind: Job\nspec:\n  parallelism: 2\n" })).unwrap();
        let json_text = parse(&json!({ "namespace": "ci", "manifest": job.to_string() })).unwrap();
        assert_eq!((&map.manifest, &text.manifest), (job.as_object().unwrap(), job.as_object().unwrap()));
        assert_eq!(json_text, map);
        assert_eq!(
            map.defaults,
            Defaults {
                active_deadline_seconds: 86_400,
                backoff_limit: 0,
                ttl_seconds_after_finished: 172_800
            }
        );
    }

    #[test]
    fn what_does_not_fit_is_said_by_its_field() {
        let two = "kind: Job\n---\nkind: Job\n";
        for (key, value, field) in [
            ("manifest", Value::Null, "manifest"),
            ("manifest", json!("- a list"), "manifest"),
            ("manifest", json!("{ not: [yaml"), "manifest"),
            ("manifest", json!(two), "manifest"),
            ("manifest", json!(7), "manifest"),
            ("namespace", Value::Null, "namespace"),
            ("backoffLimit", json!(-1), "backoffLimit"),
            ("activeDeadlineSeconds", json!("soon"), "activeDeadlineSeconds"),
            ("dashboardUrl", json!("javascript:alert(1)"), "dashboardUrl"),
        ] {
            let mut config = json!({ "namespace": "ci", "manifest": { "kind": "Job" } });
            config[key] = value;
            let why = parse(&config).expect_err(&config.to_string());
            assert!(why.starts_with(&format!("config field `{field}` ")), "{config}: {why}");
        }
    }

    #[test]
    fn a_template_may_have_made_text_of_a_number() {
        let config = parse(&json!({ "namespace": "ci", "manifest": {}, "backoffLimit": "3" })).unwrap();
        assert_eq!(config.defaults.backoff_limit, 3);
    }
}
