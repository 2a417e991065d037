//! Reads a job's rendered config field by field: what the configs of agents that speak HTTP have in common. It knows no
//! platform, and names of secrets only.

use crate::http::BaseUrl;
use crate::platform::CallError;
use domain::token::Slug;
use reqwest::Url;
use serde_json::{Map, Value};
use std::fmt;

pub use crate::http::AllowedHosts;

/// Where a config says whose it is. Nobody can set it: [`of_workspace`] writes over it.
const WORKSPACE: &str = "$workspace";

/// A config that does not fit, by field.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("config field `{field}` {why}")]
pub struct ConfigError {
    /// The field.
    pub field: &'static str,
    /// What is wrong with it.
    pub why: String,
}

impl From<ConfigError> for CallError {
    fn from(error: ConfigError) -> Self {
        CallError::Invalid(error.to_string())
    }
}

/// Says what is wrong with a field.
///
/// # Errors
/// Always.
pub fn wrong<T>(field: &'static str, why: impl Into<String>) -> Result<T, ConfigError> {
    Err(ConfigError { field, why: why.into() })
}

/// A text or a number as text; null and empty are nothing.
///
/// # Errors
/// It is something else.
pub fn text(config: &Map<String, Value>, field: &'static str) -> Result<Option<String>, ConfigError> {
    match config.get(field) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if text.trim().is_empty() => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.trim().to_owned())),
        Some(Value::Number(number)) => Ok(Some(number.to_string())),
        Some(Value::Bool(_) | Value::Array(_) | Value::Object(_)) => wrong(field, "must be a text"),
    }
}

/// A text that must be there.
///
/// # Errors
/// It is not, or it is something else.
pub fn required(config: &Map<String, Value>, field: &'static str) -> Result<String, ConfigError> {
    match text(config, field)? {
        Some(text) => Ok(text),
        None => wrong(field, "is missing"),
    }
}

/// The config as one of this workspace: the names of secrets in it are names among those that this workspace may use. To be
/// asked of every config before a platform sees it.
#[must_use]
pub fn of_workspace(mut config: Map<String, Value>, workspace: &Slug) -> Map<String, Value> {
    config.insert(WORKSPACE.to_owned(), Value::String(workspace.to_string()));
    config
}

/// The name of a secret that an agent signs in with, and the workspace that names it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SecretName {
    /// Whose agent names it.
    pub workspace: Slug,
    /// What it is called there.
    pub name: String,
}

impl fmt::Display for SecretName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}", self.name, self.workspace)
    }
}

/// The name of a secret; null and empty are none.
///
/// # Errors
/// It is something else, or the config does not tell whose it is.
pub fn secret_name(
    config: &Map<String, Value>,
    field: &'static str,
) -> Result<Option<SecretName>, ConfigError> {
    let Some(name) = text(config, field)? else { return Ok(None) };
    match text(config, WORKSPACE)?.map(|workspace| workspace.parse()) {
        Some(Ok(workspace)) => Ok(Some(SecretName { workspace, name })),
        Some(Err(_)) | None => wrong(field, "names a secret, and the config does not tell whose"),
    }
}

/// `rateLimit.writesPerMinute`: the pace of writes, if the config sets one; 0 is none.
///
/// # Errors
/// It is no whole number from 0.
pub fn writes_per_minute(config: &Map<String, Value>) -> Result<Option<u32>, ConfigError> {
    let limits = match config.get("rateLimit") {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::Object(limits)) => limits,
        Some(_) => return wrong("rateLimit", "must be a map"),
    };
    match text(limits, "writesPerMinute")?.map(|text| text.parse::<u32>()) {
        None => Ok(None),
        Some(Ok(writes)) => Ok(Some(writes)),
        Some(Err(_)) => wrong("rateLimit.writesPerMinute", "must be a whole number from 0"),
    }
}

/// `baseUrl`, without a slash at its end, and its host; credentials may be sent there. `default` is where the platform is for
/// most, and permitted where the settings list no hosts.
///
/// # Errors
/// It is no such URL, or these `hosts` do not permit it.
pub fn base_url(
    config: &Map<String, Value>,
    default: &str,
    hosts: &AllowedHosts,
) -> Result<(Url, String), ConfigError> {
    let given = text(config, "baseUrl")?;
    let fits = |why| ConfigError { field: "baseUrl", why };
    let base = BaseUrl::parse(given.as_deref().unwrap_or(default)).map_err(fits)?;
    let usual = BaseUrl::parse(default).map_err(fits)?;
    hosts.permit(&base, Some(&usual)).map_err(fits)?;
    Ok((base.url().clone(), base.host().to_owned()))
}

/// The host of a URL, with its port where that is not the scheme's usual one.
pub fn host_of(url: &Url) -> Option<String> {
    let host = url.host_str()?.to_ascii_lowercase();
    Some(match url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host,
    })
}

/// A URL below another, each segment escaped.
///
/// # Panics
/// The URL is not one of http or https, which have a path.
pub fn below<'a>(mut url: Url, segments: impl IntoIterator<Item = &'a str>) -> Url {
    url.path_segments_mut().expect("an http URL has a path").pop_if_empty().extend(segments);
    url
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn config(value: Value) -> Map<String, Value> {
        value.as_object().cloned().expect("a map")
    }

    #[test]
    fn a_secret_is_named_by_the_workspace_of_the_job_whatever_the_config_says() {
        let acme: Slug = "acme".parse().expect("a slug");
        let forged = config(json!({ "tokenSecret": "token", "$workspace": "globex" }));
        let name = secret_name(&of_workspace(forged, &acme), "tokenSecret").expect("it fits");
        assert_eq!(name, Some(SecretName { workspace: acme, name: "token".to_owned() }));
        assert!(secret_name(&config(json!({ "tokenSecret": "token" })), "tokenSecret").is_err());
        assert_eq!(secret_name(&config(json!({ "tokenSecret": "" })), "tokenSecret"), Ok(None));
    }

    #[test]
    fn credentials_go_to_the_usual_host_where_no_other_is_listed() {
        let at = |base: &str, hosts: &[&str]| {
            let hosts = AllowedHosts::new(hosts.iter().map(|host| (*host).to_owned()));
            base_url(&config(json!({ "baseUrl": base })), "https://api.github.com", &hosts).is_ok()
        };
        assert!(at("", &[]) && at("https://api.github.com/", &[]) && at("http://127.0.0.1:80", &[]));
        assert!(!at("https://evil.example", &[]) && !at("http://api.github.com", &[]));
        assert!(!at("https://api.github.com.evil.example", &[]) && !at("https://api.github.com:8443", &[]));
        assert!(at("https://ghes.example/api/v3", &["ghes.example"]) && !at("", &["ghes.example"]));
    }
}
