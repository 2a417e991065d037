//! What a job's rendered config says about GitLab: where, as whom, what to run. Parsed once per call, trusted after.
//! It knows names of secrets, never a secret.

use platform::config::{
    AllowedHosts, ConfigError, SecretName, base_url, below, required, secret_name, text, writes_per_minute,
    wrong,
};
use reqwest::Url;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// GitLab's own GitLab.
const BASE_URL: &str = "https://gitlab.com";
/// Where the API is below the root.
const API: [&str; 2] = ["api", "v4"];
/// The variable that carries the job's id where the config says nothing.
const JOB_ID_VARIABLE: &str = "JOB_ID";

/// A job's config, as far as GitLab is concerned. Keys it does not know are left alone: the config is merged from
/// several layers, and other parts of the system read theirs.
#[derive(Debug, Clone, PartialEq)]
pub struct GitlabConfig {
    /// `baseUrl`: the root of the GitLab, with its path where it has one, as in `https://host/gitlab`. Default
    /// `https://gitlab.com`.
    pub base: Url,
    /// Its host, with its port where that is not the usual one.
    pub host: String,
    /// `project`: path or id.
    pub project: String,
    /// `ref`: the branch or tag the pipeline runs on. Default `main`.
    pub git_ref: String,
    /// Who we are to GitLab.
    pub credential: Credential,
    /// `inputs`, with their types.
    pub inputs: Map<String, Value>,
    /// `variables`, as the text GitLab makes of them anyway.
    pub variables: BTreeMap<String, String>,
    /// `jobIdInput`: the input that carries the job's id, if any.
    pub job_id_input: Option<String>,
    /// `jobIdVariable`: the variable that carries the job's id, if any. Default `JOB_ID` where no input does.
    pub job_id_variable: Option<String>,
    /// `rateLimit.writesPerMinute`: overrides the service's default for this credential; 0 is no pace of ours.
    pub writes_per_minute: Option<u32>,
}

/// Who we are to GitLab, by names of secrets.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Credential {
    /// `tokenSecret`: a personal, project, group or service account's access token, or an OAuth token.
    pub token: SecretName,
    /// `triggerTokenSecret`: a pipeline trigger token of the project, to start pipelines with.
    pub trigger_token: Option<SecretName>,
}

impl Credential {
    /// What GitLab counts our calls by. Holds no secret.
    pub fn counted_as(&self) -> String {
        format!("token {}", self.token)
    }
}

impl GitlabConfig {
    /// Reads a rendered config.
    ///
    /// # Errors
    /// The first field that does not fit, and why.
    pub fn parse(config: &Map<String, Value>, hosts: &AllowedHosts) -> Result<Self, ConfigError> {
        let (base, host) = base_url(config, BASE_URL, hosts)?;
        let job_id_input = text(config, "jobIdInput")?;
        let job_id_variable = match config.get("jobIdVariable") {
            None => job_id_input.is_none().then(|| JOB_ID_VARIABLE.to_owned()),
            Some(_) => text(config, "jobIdVariable")?,
        };
        Ok(Self {
            base: without_api(base),
            host,
            project: project(config)?,
            git_ref: text(config, "ref")?.unwrap_or_else(|| "main".to_owned()),
            credential: credential(config)?,
            inputs: inputs(config, job_id_input.as_deref())?,
            variables: variables(config, job_id_variable.as_deref())?,
            job_id_input,
            job_id_variable,
            writes_per_minute: writes_per_minute(config)?,
        })
    }

    /// Reads as much of an agent's own layer as it takes to look after its project's webhook: where, as whom, and whose.
    /// `None`: the project is not known here, for a template says it.
    ///
    /// # Errors
    /// The first field that does not fit, and why.
    pub(super) fn of_webhook(
        config: &Map<String, Value>,
        hosts: &AllowedHosts,
    ) -> Result<Option<Self>, ConfigError> {
        let is_known = text(config, "project")?.is_some_and(|project| !project.contains("{{"));
        if !is_known {
            return Ok(None);
        }
        let run = ["inputs", "variables", "jobIdInput", "jobIdVariable", "ref"];
        let kept = config.iter().filter(|(key, _)| !run.contains(&key.as_str()));
        Self::parse(&kept.map(|(key, value)| (key.clone(), value.clone())).collect(), hosts).map(Some)
    }

    /// A URL of the API below the project, each segment escaped.
    pub fn project_url<'a>(&'a self, segments: impl IntoIterator<Item = &'a str>) -> Url {
        self.url_of(&self.project, segments)
    }

    /// A URL of the API below some project of the same GitLab.
    pub fn url_of<'a>(&self, project: &'a str, segments: impl IntoIterator<Item = &'a str>) -> Url {
        below(self.base.clone(), API.into_iter().chain(["projects", project]).chain(segments))
    }
}

/// The root, also where somebody gave the root of the API.
fn without_api(mut base: Url) -> Url {
    if let Some(root) = base.path().strip_suffix("/api/v4").map(str::to_owned) {
        base.set_path(&root);
    }
    base
}

fn project(config: &Map<String, Value>) -> Result<String, ConfigError> {
    let given = required(config, "project")?;
    let project = given.trim_matches('/');
    let legal = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.');
    let is_segment = |segment: &str| !matches!(segment, "" | "." | "..") && segment.chars().all(legal);
    let is_id = project.bytes().all(|b| b.is_ascii_digit());
    if !project.is_empty() && (is_id || (project.contains('/') && project.split('/').all(is_segment))) {
        Ok(project.to_owned())
    } else {
        wrong("project", format!("is {given:?}; it must be a path as group/project, or the project's id"))
    }
}

fn credential(config: &Map<String, Value>) -> Result<Credential, ConfigError> {
    let trigger_token = secret_name(config, "triggerTokenSecret")?;
    match (secret_name(config, "tokenSecret")?, &trigger_token) {
        (Some(token), _) => Ok(Credential { token, trigger_token }),
        (None, Some(_)) => wrong(
            "tokenSecret",
            "is missing: a trigger token starts pipelines and cannot read them; name an access token with the scope \
             read_api too (api, to cancel and retry)",
        ),
        (None, None) => wrong("tokenSecret", "is missing: the name of the secret with an access token"),
    }
}

/// Typed as they are; null is not sent.
fn inputs(
    config: &Map<String, Value>,
    job_id_input: Option<&str>,
) -> Result<Map<String, Value>, ConfigError> {
    let given = map(config, "inputs")?;
    let sent =
        given.into_iter().filter(|(name, value)| !value.is_null() && Some(name.as_str()) != job_id_input);
    Ok(sent.collect())
}

/// GitLab hands every variable to the jobs as text; what is not a scalar goes as JSON. Null is not sent.
fn variables(
    config: &Map<String, Value>,
    job_id_variable: Option<&str>,
) -> Result<BTreeMap<String, String>, ConfigError> {
    let given = map(config, "variables")?;
    let sent =
        given.into_iter().filter(|(name, value)| !value.is_null() && Some(name.as_str()) != job_id_variable);
    Ok(sent.map(|(name, value)| (name, as_text(value))).collect())
}

fn map(config: &Map<String, Value>, field: &'static str) -> Result<Map<String, Value>, ConfigError> {
    match config.get(field) {
        None | Some(Value::Null) => Ok(Map::new()),
        Some(Value::Object(given)) => Ok(given.clone()),
        Some(_) => wrong(field, "must be a map"),
    }
}

/// A value as the text a form or a variable carries.
pub(super) fn as_text(value: Value) -> String {
    match value {
        Value::String(text) => text,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            value.to_string()
        }
    }
}

#[cfg(test)]
mod tests;
