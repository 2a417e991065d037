//! Reads a job's rendered config field by field: what the configs of agents that speak HTTP have in common. It knows no
//! platform, and names of secrets only.

use crate::http::BaseUrl;
use crate::platform::CallError;
use reqwest::Url;
use serde_json::{Map, Value};

pub use crate::http::AllowedHosts;

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

/// `baseUrl`, without a slash at its end, and its host; credentials may be sent there.
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
    hosts.permit(&base).map_err(fits)?;
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
