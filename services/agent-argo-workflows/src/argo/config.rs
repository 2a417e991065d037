//! What a job's rendered config says about Argo: where, as whom, what to run. Parsed once per call, trusted after.
//! It knows names of secrets, never a secret of ours; parameters may hold secrets of the job.

use cluster::{Access, AccessError};
use platform::CallError;
use platform::config::{SecretName, secret_name};
use platform::http::BaseUrl;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::fmt;

/// The most characters all parameters may have together: the object of a workflow is kept in etcd, which takes 1.5 MB.
const PARAMETERS_BYTES_MAX: usize = 512 * 1024;

/// A job's config, as far as Argo is concerned. Keys it does not know are left alone: the config is merged from several
/// layers, and other parts of the system read theirs.
#[derive(Clone, PartialEq)]
pub struct ArgoConfig {
    /// Where workflows are started, and as whom.
    pub place: Place,
    /// `namespace`: where they run.
    pub namespace: String,
    /// `template` or `clusterTemplate`: what is run.
    pub template: Template,
    /// `parameters`, as text, which is all Argo knows.
    pub parameters: BTreeMap<String, String>,
    /// `serviceAccount`: as whom the workflow's pods run; else what the template says.
    pub service_account: Option<String>,
    /// `entrypoint`: the template within the template that is begun with; else what it says itself.
    pub entrypoint: Option<String>,
    /// `labels` of the workflow besides our own.
    pub labels: BTreeMap<String, String>,
    /// `uiUrl`: where people look at workflows.
    pub ui: Option<BaseUrl>,
    /// `rateLimit.writesPerMinute`: how many workflows may be started a minute; 0 is no pace of ours.
    pub writes_per_minute: u32,
}

/// Where workflows are started, and as whom: `via`.
#[derive(Debug, Clone, PartialEq)]
pub enum Place {
    /// `server`, the default: an Argo Server.
    Server(ServerPlace),
    /// `kubernetes`: the API of the cluster in which Argo's controller works.
    Cluster(Access),
}

/// An Argo Server.
#[derive(Debug, Clone, PartialEq)]
pub struct ServerPlace {
    /// `baseUrl`: its root, with its path where it has one.
    pub base: BaseUrl,
    /// `tokenSecret`: the name of the secret with the token.
    pub token_secret: SecretName,
}

/// Which hosts credentials may be sent to, by what is there.
#[derive(Debug, Clone, Default)]
pub struct AllowedHosts {
    of_servers: platform::http::AllowedHosts,
    of_clusters: cluster::AllowedHosts,
}

impl AllowedHosts {
    /// These hosts only, over any scheme; without any: loopback.
    pub fn new(hosts: impl IntoIterator<Item = String>) -> Self {
        let hosts: Vec<String> = hosts.into_iter().collect();
        Self {
            of_servers: platform::http::AllowedHosts::new(hosts.iter().cloned()),
            of_clusters: cluster::AllowedHosts::new(hosts),
        }
    }
}

/// What is run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Template {
    /// A `WorkflowTemplate` of the namespace.
    Namespaced(String),
    /// A `ClusterWorkflowTemplate`.
    Cluster(String),
}

impl fmt::Debug for ArgoConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Parameters may hold secrets of the job.
        f.debug_struct("ArgoConfig")
            .field("place", &self.place)
            .field("namespace", &self.namespace)
            .field("template", &self.template)
            .finish_non_exhaustive()
    }
}

/// A config that does not fit, by field.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("config field `{field}` {why}")]
pub struct ConfigError {
    /// The field.
    pub field: &'static str,
    /// What is wrong with it.
    pub why: String,
}

impl From<platform::config::ConfigError> for ConfigError {
    fn from(error: platform::config::ConfigError) -> Self {
        Self { field: error.field, why: error.why }
    }
}

impl From<ConfigError> for CallError {
    fn from(error: ConfigError) -> Self {
        CallError::Invalid(error.to_string())
    }
}

fn wrong<T>(field: &'static str, why: impl Into<String>) -> Result<T, ConfigError> {
    Err(ConfigError { field, why: why.into() })
}

impl ArgoConfig {
    /// Reads a rendered config.
    ///
    /// # Errors
    /// The first field that does not fit, and why.
    pub fn parse(config: &Map<String, Value>, hosts: &AllowedHosts) -> Result<Self, ConfigError> {
        let place = place(config, hosts)?;
        let ui = match (url(config, "uiUrl")?, &place) {
            (Some(ui), _) => Some(ui),
            // Argo Server serves its own pages.
            (None, Place::Server(server)) => Some(server.base.clone()),
            (None, Place::Cluster(_)) => None,
        };
        Ok(Self {
            place,
            namespace: namespace(config)?,
            template: template(config)?,
            parameters: parameters(config)?,
            service_account: object_name(config, "serviceAccount")?,
            entrypoint: text(config, "entrypoint")?,
            labels: labels(config)?,
            ui,
            writes_per_minute: writes_per_minute(config)?,
        })
    }
}

fn place(config: &Map<String, Value>, hosts: &AllowedHosts) -> Result<Place, ConfigError> {
    match text(config, "via")?.as_deref() {
        None | Some("server") => {}
        Some("kubernetes") => {
            let access = Access::parse(config, &hosts.of_clusters);
            return access
                .map(Place::Cluster)
                .map_err(|AccessError { field, why }| ConfigError { field, why });
        }
        Some(other) => return wrong("via", format!("is {other:?}; it may be server or kubernetes")),
    }
    let Some(base) = url(config, "baseUrl")? else {
        return wrong("baseUrl", "is missing, and `via` does not say kubernetes");
    };
    hosts.of_servers.permit(&base, None).or_else(|why| wrong("baseUrl", why))?;
    match secret_name(config, "tokenSecret")? {
        Some(token_secret) => Ok(Place::Server(ServerPlace { base, token_secret })),
        None => wrong("tokenSecret", "is missing"),
    }
}

fn url(config: &Map<String, Value>, field: &'static str) -> Result<Option<BaseUrl>, ConfigError> {
    let Some(text) = text(config, field)? else { return Ok(None) };
    BaseUrl::parse(&text).map(Some).or_else(|why| wrong(field, why))
}

/// A text or a number as text; null and empty are nothing.
fn text(config: &Map<String, Value>, field: &'static str) -> Result<Option<String>, ConfigError> {
    match config.get(field) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if text.trim().is_empty() => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.trim().to_owned())),
        Some(Value::Number(number)) => Ok(Some(number.to_string())),
        Some(Value::Bool(_) | Value::Array(_) | Value::Object(_)) => wrong(field, "must be a text"),
    }
}

fn required(config: &Map<String, Value>, field: &'static str) -> Result<String, ConfigError> {
    text(config, field)?.map_or_else(|| wrong(field, "is missing"), Ok)
}

fn map<'c>(
    config: &'c Map<String, Value>,
    field: &'static str,
) -> Result<Option<&'c Map<String, Value>>, ConfigError> {
    match config.get(field) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Object(map)) => Ok(Some(map)),
        Some(_) => wrong(field, "must be a map"),
    }
}

/// An RFC 1123 label.
fn namespace(config: &Map<String, Value>) -> Result<String, ConfigError> {
    let name = required(config, "namespace")?;
    if is_subdomain(&name) && !name.contains('.') && name.len() <= 63 {
        return Ok(name);
    }
    wrong("namespace", format!("is {name:?}, which is not a name of a namespace"))
}

fn object_name(config: &Map<String, Value>, field: &'static str) -> Result<Option<String>, ConfigError> {
    match text(config, field)? {
        Some(name) if !is_subdomain(&name) => {
            wrong(field, format!("is {name:?}, which is not a name in Kubernetes"))
        }
        name => Ok(name),
    }
}

/// An RFC 1123 subdomain, as Kubernetes names most objects.
fn is_subdomain(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let is_label = |label: &str| {
        label.starts_with(plain) && label.ends_with(plain) && label.chars().all(|c| plain(c) || c == '-')
    };
    name.len() <= 253 && name.split('.').all(is_label)
}

fn template(config: &Map<String, Value>) -> Result<Template, ConfigError> {
    match (object_name(config, "template")?, object_name(config, "clusterTemplate")?) {
        (Some(name), None) => Ok(Template::Namespaced(name)),
        (None, Some(name)) => Ok(Template::Cluster(name)),
        (Some(_), Some(_)) => wrong("clusterTemplate", "and `template` are both given; which one is meant?"),
        (None, None) => {
            wrong("template", "is missing, and so is `clusterTemplate`: one of them must be given")
        }
    }
}

/// What is not a scalar goes as JSON, for `{{=fromJSON(…)}}` or `withParam` to read.
fn parameters(config: &Map<String, Value>) -> Result<BTreeMap<String, String>, ConfigError> {
    let mut parameters = BTreeMap::new();
    for (name, value) in map(config, "parameters")?.into_iter().flatten() {
        let text = match value {
            Value::Null => continue,
            Value::String(text) => text.clone(),
            Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => value.to_string(),
        };
        if name.is_empty() || name.contains('=') {
            return wrong("parameters", format!("has the name {name:?}, which no parameter can have"));
        }
        parameters.insert(name.clone(), text);
    }
    if parameters.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>() > PARAMETERS_BYTES_MAX {
        return wrong("parameters", format!("is longer than {PARAMETERS_BYTES_MAX} bytes"));
    }
    Ok(parameters)
}

fn labels(config: &Map<String, Value>) -> Result<BTreeMap<String, String>, ConfigError> {
    let mut labels = BTreeMap::new();
    for (name, value) in map(config, "labels")?.into_iter().flatten() {
        let value = match value {
            Value::String(text) => text.clone(),
            Value::Bool(_) | Value::Number(_) => value.to_string(),
            Value::Null => continue,
            Value::Array(_) | Value::Object(_) => {
                return wrong("labels", format!("has {name:?}, whose value must be a text"));
            }
        };
        let (prefix, key) =
            name.split_once('/').map_or((None, name.as_str()), |(prefix, key)| (Some(prefix), key));
        let fits = prefix.is_none_or(is_subdomain)
            && !key.is_empty()
            && is_label_value(key)
            && is_label_value(&value);
        if !fits {
            return wrong("labels", format!("has {name:?}, which Kubernetes does not take as a label"));
        }
        if prefix == Some("ctrlplane.dev") {
            return wrong("labels", format!("has {name:?}, which is ours to set"));
        }
        labels.insert(name.clone(), value);
    }
    Ok(labels)
}

fn is_label_value(text: &str) -> bool {
    let ends = |c: char| c.is_ascii_alphanumeric();
    let fits = |c: char| ends(c) || matches!(c, '-' | '_' | '.');
    text.is_empty()
        || (text.len() <= 63 && text.starts_with(ends) && text.ends_with(ends) && text.chars().all(fits))
}

fn writes_per_minute(config: &Map<String, Value>) -> Result<u32, ConfigError> {
    let Some(limits) = map(config, "rateLimit")? else { return Ok(0) };
    match text(limits, "writesPerMinute")?.map(|text| text.parse::<u32>()) {
        None => Ok(0),
        Some(Ok(writes)) => Ok(writes),
        Some(Err(_)) => wrong("rateLimit.writesPerMinute", "must be a whole number from 0"),
    }
}

#[cfg(test)]
mod tests;
