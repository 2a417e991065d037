//! One use of the command line: where the API is, for which workspace, and how to print. Here the environment and the
//! user's files are read.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use domain::entity::Kind;
use domain::token::Slug;
use secrecy::SecretString;
use serde_json::Value;
use tokio::sync::OnceCell;

use super::api::Api;
use super::args::ClientArgs;
use super::config::{self, Contexts};
use super::failure::Failure;
use super::output::Format;
use super::place::{self, Key, Known, Variables};
use crate::dev::Context;

/// The longest page the API gives.
const PAGE: &str = "1000";
const PAGE_ITEMS: usize = 1_000;
/// A list with more is not for people any more.
const ITEMS_MAX: usize = 200_000;
/// Where `ctrlplane dev` says what runs.
const RUNNING: &str = ".ctrlplane/context.json";

/// What every command works with.
pub(super) struct Session {
    pub(super) api: Api,
    pub(super) format: Format,
    given: Option<Slug>,
    workspace: OnceCell<Slug>,
}

impl Session {
    /// Finds the API and the key for it. Calls nobody yet.
    pub(super) fn open(flags: &ClientArgs) -> Result<Self, Failure> {
        let known = Known {
            contexts: contexts()?,
            running: running()?.map(|context| (context.api_url, context.key_file)),
        };
        let variables = Variables {
            url: variable("CTRLPLANE_URL"),
            key: variable("CTRLPLANE_API_KEY"),
            workspace: variable("CTRLPLANE_WORKSPACE"),
        };
        let place = place::choose(flags, &variables, &known)?;
        let key = match place.key {
            Key::Given(key) => key,
            Key::File(file) => read_key(&file)?,
            Key::Command(command) => ask_for_key(&command)?,
        };
        let api = Api::new(&place.url, &place.said_by, key)?;
        Ok(Self { api, format: flags.output, given: place.workspace, workspace: OnceCell::new() })
    }

    /// The workspace that was asked for, if one was.
    pub(super) fn given_workspace(&self) -> Option<&Slug> {
        self.given.as_ref()
    }

    /// The workspace: the one asked for, or the only one the key sees.
    pub(super) async fn workspace(&self) -> Result<&Slug, Failure> {
        if let Some(given) = &self.given {
            return Ok(given);
        }
        self.workspace.get_or_try_init(|| self.only_workspace()).await
    }

    async fn only_workspace(&self) -> Result<Slug, Failure> {
        let answer = self.api.get(&["workspaces"], &[]).await?;
        let slugs: Vec<Slug> = answer["workspaces"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|workspace| workspace["slug"].as_str()?.parse().ok())
            .collect();
        match slugs.as_slice() {
            [only] => Ok(only.clone()),
            [] => Err(Failure::Refused("there is no workspace yet: `ctrlplane apply` one".to_owned())),
            several => {
                let names: Vec<&str> = several.iter().map(Slug::as_str).collect();
                Err(Failure::Usage(format!("which workspace? Give -w with one of {}", names.join(", "))))
            }
        }
    }

    /// GET below the workspace.
    pub(super) async fn get(&self, path: &[&str], query: &[(&str, &str)]) -> Result<Value, Failure> {
        let path = self.below(path).await?;
        Ok(self.api.get(&path, query).await?)
    }

    /// Every item of a list below the workspace, page by page.
    pub(super) async fn all(&self, path: &[&str], query: &[(&str, &str)]) -> Result<Vec<Value>, Failure> {
        let path = self.below(path).await?;
        let mut all: Vec<Value> = Vec::new();
        while all.len() < ITEMS_MAX {
            let offset = all.len().to_string();
            let mut query = query.to_vec();
            query.extend([("limit", PAGE), ("offset", offset.as_str())]);
            let mut answer = self.api.get(&path, &query).await?;
            let total = answer["total"].as_u64().unwrap_or(0);
            let Some(Value::Array(items)) = answer.get_mut("items").map(Value::take) else { break };
            let is_last = items.is_empty();
            all.extend(items);
            if is_last || all.len() as u64 >= total {
                break;
            }
        }
        Ok(all)
    }

    /// Every item of a list as it would stand in a file.
    pub(super) async fn manifests(&self, path: &[&str], query: &[(&str, &str)]) -> Result<String, Failure> {
        let path = self.below(path).await?;
        let total =
            self.api.get(&path, &[query, &[("limit", "1")]].concat()).await?["total"].as_u64().unwrap_or(0);
        let mut text = String::new();
        for offset in (0..total.min(ITEMS_MAX as u64)).step_by(PAGE_ITEMS) {
            let offset = offset.to_string();
            let page = [("limit", PAGE), ("offset", offset.as_str()), ("format", "manifest")];
            let part = self.api.text(&path, &[query, &page].concat()).await?;
            if !text.is_empty() && !part.starts_with("---") {
                text.push_str("---\n");
            }
            text.push_str(&part);
        }
        Ok(text)
    }

    /// One entity as it would stand in a file.
    pub(super) async fn manifest(&self, kind: Kind, name: &str) -> Result<String, Failure> {
        let path = self.below(&["catalog", kind.token(), name]).await?;
        Ok(self.api.text(&path, &[("format", "manifest")]).await?)
    }

    /// The path below the workspace.
    pub(super) async fn below<'a>(&'a self, path: &[&'a str]) -> Result<Vec<&'a str>, Failure> {
        let mut whole = vec!["workspaces", self.workspace().await?.as_str()];
        whole.extend(path);
        Ok(whole)
    }
}

/// What a `ctrlplane dev` of this directory says of itself.
pub(super) fn running() -> Result<Option<Context>, Failure> {
    let Some(text) = read_if_there(Path::new(RUNNING))? else { return Ok(None) };
    serde_json::from_str(&text).map(Some).map_err(|error| Failure::Usage(format!("{RUNNING}: {error}")))
}

fn contexts() -> Result<Option<(Contexts, PathBuf)>, Failure> {
    let Some(file) = config_file() else { return Ok(None) };
    Ok(config::read(&file)?.map(|contexts| (contexts, file)))
}

/// Where the user's contexts are.
pub(super) fn config_file() -> Option<PathBuf> {
    let dir = variable("XDG_CONFIG_HOME")
        .map(PathBuf::from)
        .or_else(|| variable("HOME").map(|home| PathBuf::from(home).join(".config")))?;
    Some(dir.join("ctrlplane").join("config.yaml"))
}

fn read_if_there(path: &Path) -> Result<Option<String>, Failure> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Failure::Usage(format!("{}: {error}", path.display()))),
    }
}

fn read_key(file: &Path) -> Result<SecretString, Failure> {
    let text = std::fs::read_to_string(file)
        .map_err(|error| Failure::Usage(format!("the API key in {}: {error}", file.display())))?;
    match text.trim() {
        "" => Err(Failure::Usage(format!("the API key in {}: the file is empty", file.display()))),
        key => Ok(key.into()),
    }
}

/// What the command of a context prints. It may ask the person at the terminal for something.
fn ask_for_key(command: &str) -> Result<SecretString, Failure> {
    let wrong = |why: String| Failure::Usage(format!("the API key from `{command}`: {why}"));
    let output = std::process::Command::new("sh")
        .args(["-c", command])
        .stdin(Stdio::inherit())
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| wrong(error.to_string()))?;
    if !output.status.success() {
        return Err(wrong(output.status.to_string()));
    }
    let text = String::from_utf8(output.stdout).map_err(|_| wrong("it printed no text".to_owned()))?;
    match text.trim() {
        "" => Err(wrong("it printed nothing".to_owned())),
        key => Ok(key.into()),
    }
}

/// A variable of the environment; an empty one counts as unset.
#[allow(clippy::disallowed_methods, reason = "the command line is a shell: its flags have variables")]
pub(super) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}
