//! What a job's rendered config says about GitHub: where, as whom, what to run. Parsed once per call, trusted after.
//! It knows names of secrets, never a secret.

use platform::config::{SecretName, base_url, below, required, secret_name, text, writes_per_minute, wrong};
use reqwest::Url;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

use platform::config::AllowedHosts;
pub use platform::config::ConfigError;
pub(super) use platform::config::host_of;

/// The API of github.com.
const BASE_URL: &str = "https://api.github.com";
/// The most inputs github.com takes (GHES up to 3.19 takes ten, and says so itself).
const INPUTS_MAX: usize = 25;
/// The most characters all inputs may have together, by GitHub's documentation of `workflow_dispatch`.
const INPUTS_CHARS_MAX: usize = 65_535;

/// A job's config, as far as GitHub is concerned. Keys it does not know are left alone: the config is merged from
/// several layers, and other parts of the system read theirs.
#[derive(Debug, Clone, PartialEq)]
pub struct GithubConfig {
    /// `baseUrl`: the root of the API, without a trailing slash in its path. Default `https://api.github.com`;
    /// GHES is `https://<host>/api/v3`.
    pub base: Url,
    /// The host of the API, with its port where that is not the usual one.
    pub host: String,
    /// `owner`: user or organisation.
    pub owner: String,
    /// `repo`: the repository's name.
    pub repo: String,
    /// `workflow`: the workflow's id or file name, e.g. `deploy.yml`.
    pub workflow: String,
    /// `ref`: branch or tag the workflow is taken from. Default `main`.
    pub git_ref: String,
    /// Who we are to GitHub.
    pub credential: Credential,
    /// `inputs`, as the text GitHub makes of them anyway.
    pub inputs: BTreeMap<String, String>,
    /// `jobIdInput`: the input that carries the job's id. Default `job_id`; null or empty sends none, and then a run
    /// whose start was not answered cannot be found again.
    pub job_id_input: Option<String>,
    /// `neutralIs`: what the conclusion `neutral` means. Default `successful`.
    pub neutral_is: Neutral,
    /// `rateLimit.writesPerMinute`: overrides the service's default for this credential; 0 is no pace of ours.
    pub writes_per_minute: Option<u32>,
}

/// Who we are to GitHub.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Credential {
    /// A GitHub App: `appId` (or `clientId`), `privateKeySecret` and, to save a look-up, `installationId`.
    App {
        /// What the JWT's `iss` says.
        id: String,
        /// The name of the secret that holds the PEM of the App's private key.
        key_secret: SecretName,
        /// The installation on the owner's account.
        installation: Option<u64>,
    },
    /// A personal access token: `tokenSecret`.
    Token {
        /// The name of the secret that holds it.
        secret: SecretName,
    },
}

/// What the conclusion `neutral` means.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Neutral {
    /// The run ended well.
    #[default]
    Successful,
    /// There was nothing to do.
    Skipped,
    /// The run ended badly.
    Failure,
}

impl GithubConfig {
    /// Reads a rendered config.
    ///
    /// # Errors
    /// The first field that does not fit, and why.
    pub fn parse(config: &Map<String, Value>, hosts: &AllowedHosts) -> Result<Self, ConfigError> {
        let (base, host) = base_url(config, BASE_URL, hosts)?;
        let job_id_input = match config.get("jobIdInput") {
            None => Some("job_id".to_owned()),
            Some(_) => text(config, "jobIdInput")?,
        };
        Ok(Self {
            base,
            host,
            owner: name(config, "owner")?,
            repo: name(config, "repo")?,
            workflow: workflow(config)?,
            git_ref: text(config, "ref")?.unwrap_or_else(|| "main".to_owned()),
            credential: credential(config)?,
            inputs: inputs(config, job_id_input.as_deref())?,
            job_id_input,
            neutral_is: neutral(config)?,
            writes_per_minute: writes_per_minute(config)?,
        })
    }

    /// Reads as much of an agent's own layer as it takes to look after its webhook: where, as whom, and for a token whose
    /// repository. There is nothing to run in it. `None`: the repository is not known here.
    ///
    /// # Errors
    /// The first field that does not fit, and why.
    pub(super) fn of_webhook(
        config: &Map<String, Value>,
        hosts: &AllowedHosts,
    ) -> Result<Option<Self>, ConfigError> {
        let (base, host) = base_url(config, BASE_URL, hosts)?;
        let credential = credential(config)?;
        let given = |field| Ok(text(config, field)?.is_some_and(|text| !text.contains("{{")));
        let has_repository = given("owner")? && given("repo")?;
        let (owner, repo) = match (&credential, has_repository) {
            (_, true) => (name(config, "owner")?, name(config, "repo")?),
            (Credential::App { .. }, false) => (String::new(), String::new()),
            (Credential::Token { .. }, false) => return Ok(None),
        };
        Ok(Some(Self {
            base,
            host,
            owner,
            repo,
            workflow: String::new(),
            git_ref: String::new(),
            credential,
            inputs: BTreeMap::new(),
            job_id_input: None,
            neutral_is: Neutral::default(),
            writes_per_minute: None,
        }))
    }

    /// The repository as run keys name it: GitHub ignores case.
    pub fn scope(&self) -> String {
        format!("{}/{}", self.owner, self.repo).to_ascii_lowercase()
    }

    /// What GitHub counts our calls by: an App's installation is one per owner. Holds no secret.
    pub fn counted_as(&self) -> String {
        match &self.credential {
            Credential::App { id, .. } => format!("app {id} on {}", self.owner.to_ascii_lowercase()),
            Credential::Token { secret } => format!("token {secret}"),
        }
    }

    /// A URL of the API, each segment escaped.
    pub fn url<'a>(&self, segments: impl IntoIterator<Item = &'a str>) -> Url {
        below(self.base.clone(), segments)
    }

    /// A URL below the repository.
    pub fn repo_url<'a>(&self, segments: impl IntoIterator<Item = &'a str>) -> Url {
        below(self.url(["repos", &self.owner, &self.repo]), segments)
    }
}

/// A name as GitHub allows for accounts and repositories.
fn name(config: &Map<String, Value>, field: &'static str) -> Result<String, ConfigError> {
    let name = required(config, field)?;
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if name.chars().all(legal) && name != "." && name != ".." && name.len() <= 100 {
        Ok(name)
    } else {
        wrong(field, format!("is {name:?}, which is not a name on GitHub"))
    }
}

fn workflow(config: &Map<String, Value>) -> Result<String, ConfigError> {
    let text = required(config, "workflow")?;
    let file = text.strip_prefix(".github/workflows/").unwrap_or(&text);
    if file.contains('/') || file.chars().any(char::is_control) || file == "." || file == ".." {
        return wrong("workflow", format!("is {text:?}; it must be an id or a file of .github/workflows"));
    }
    Ok(file.to_owned())
}

fn credential(config: &Map<String, Value>) -> Result<Credential, ConfigError> {
    let app = match text(config, "appId")? {
        Some(id) => Some(id),
        None => text(config, "clientId")?,
    };
    let installation = match text(config, "installationId")? {
        None => None,
        Some(id) => match id.parse() {
            Ok(id) => Some(id),
            Err(_) => return wrong("installationId", "must be a number"),
        },
    };
    match (app, secret_name(config, "tokenSecret")?) {
        (Some(_), Some(_)) => wrong("tokenSecret", "and `appId` are both given; which one is meant?"),
        (Some(id), None) => match secret_name(config, "privateKeySecret")? {
            Some(key_secret) => Ok(Credential::App { id, key_secret, installation }),
            None => wrong("privateKeySecret", "is missing"),
        },
        (None, Some(secret)) => Ok(Credential::Token { secret }),
        (None, None) => wrong("appId", "is missing, and so is `tokenSecret`: one of them must be given"),
    }
}

/// GitHub hands every input to the workflow as text, so text is what is sent: what is not a scalar goes as JSON, for
/// `fromJSON` to read.
fn inputs(
    config: &Map<String, Value>,
    job_id_input: Option<&str>,
) -> Result<BTreeMap<String, String>, ConfigError> {
    let given = match config.get("inputs") {
        None | Some(Value::Null) => return Ok(BTreeMap::new()),
        Some(Value::Object(given)) => given,
        Some(_) => return wrong("inputs", "must be a map"),
    };
    let mut inputs = BTreeMap::new();
    for (name, value) in given {
        let text = match value {
            Value::Null => continue,
            Value::String(text) => text.clone(),
            Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => value.to_string(),
        };
        if Some(name.as_str()) != job_id_input {
            inputs.insert(name.clone(), text);
        }
    }
    let count = inputs.len() + usize::from(job_id_input.is_some());
    if count > INPUTS_MAX {
        return wrong("inputs", format!("has {count} with the job's id; GitHub takes {INPUTS_MAX}"));
    }
    if inputs.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>() > INPUTS_CHARS_MAX {
        return wrong("inputs", format!("is longer than the {INPUTS_CHARS_MAX} characters GitHub takes"));
    }
    Ok(inputs)
}

fn neutral(config: &Map<String, Value>) -> Result<Neutral, ConfigError> {
    match text(config, "neutralIs")?.as_deref() {
        None | Some("successful") => Ok(Neutral::Successful),
        Some("skipped") => Ok(Neutral::Skipped),
        Some("failure") => Ok(Neutral::Failure),
        Some(other) => wrong("neutralIs", format!("is {other:?}; it may be successful, skipped or failure")),
    }
}

#[cfg(test)]
mod tests;
