//! What a fake starts with: credentials, repositories, workflows, webhook target and manners.
//! Nothing here changes at run time except through the control methods of `FakeGithub`.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use crate::{Limits, Script};

/// How a fake behaves. The default is github.com of 2026 without credentials, repositories or limits.
///
/// Deliberately not `Debug`: it carries tokens and the webhook secret.
#[derive(Clone)]
pub struct Options {
    /// Where to listen; port 0 picks a free one.
    pub bind: SocketAddr,
    /// The GitHub App whose JWTs are accepted.
    pub app: Option<App>,
    /// Personal access tokens that are accepted; they may do everything on every repository.
    pub pats: Vec<String>,
    pub repos: Vec<Repo>,
    /// Where deliveries go; may also be set later, see `FakeGithub::set_webhook`.
    pub webhook: Option<Webhook>,
    /// `true`: `return_run_details` answers 200 with the run id, 25 inputs (github.com since 2026-02).
    /// `false`: always 204, the flag is a 422, 10 inputs (GHES up to 3.19).
    pub returns_run_details: bool,
    pub limits: Limits,
    /// Mint tokens as `ghs_<APPID>_<JWT>`, as github.com does since 2026-04.
    pub stateless_tokens: bool,
    /// A token answers 401 until this long after it was minted (replication lag).
    pub token_usable_after: Duration,
    /// Seeds webhook chaos and token text.
    pub seed: u64,
    /// A run appears in listings only this long after its dispatch.
    pub search_visible_after: Duration,
    /// From an accepted cancel to `completed/cancelled`.
    pub cancel_takes: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            bind: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            app: None,
            pats: Vec::new(),
            repos: Vec::new(),
            webhook: None,
            returns_run_details: true,
            limits: Limits::default(),
            stateless_tokens: false,
            token_usable_after: Duration::ZERO,
            seed: 1,
            search_visible_after: Duration::ZERO,
            cancel_takes: Duration::from_millis(20),
        }
    }
}

/// A GitHub App and where it is installed.
#[derive(Clone)]
pub struct App {
    /// App id or client id: what the JWT's `iss` must equal.
    pub id: String,
    /// SPKI or PKCS#1 PEM of the public half of the App's key.
    pub public_key_pem: String,
    pub installations: Vec<Installation>,
}

impl App {
    /// The sample App ([`crate::SAMPLE_APP_PRIVATE_KEY_PEM`]), installed on all repositories of `owner`.
    pub fn sample(id: &str, owner: &str) -> Self {
        Self {
            id: id.to_owned(),
            public_key_pem: crate::SAMPLE_APP_PUBLIC_KEY_PEM.to_owned(),
            installations: vec![Installation::of(52_000_001, owner)],
        }
    }
}

/// One installation of the App on an account.
#[derive(Clone)]
pub struct Installation {
    pub id: u64,
    /// Owner of the repositories.
    pub account: String,
    /// Repository names it may see; `None` is all of the account.
    pub repositories: Option<Vec<String>>,
    /// What it was granted, for example `actions: write`.
    pub permissions: BTreeMap<String, String>,
}

impl Installation {
    /// On every repository of `account`, with `actions: write`, `contents: read`, `metadata: read`.
    pub fn of(id: u64, account: &str) -> Self {
        let permissions = [("actions", "write"), ("contents", "read"), ("metadata", "read")];
        Self {
            id,
            account: account.to_owned(),
            repositories: None,
            permissions: permissions.map(|(k, v)| (k.to_owned(), v.to_owned())).into(),
        }
    }

    pub(crate) fn covers(&self, owner: &str, name: &str) -> bool {
        self.account.eq_ignore_ascii_case(owner)
            && self.repositories.as_ref().is_none_or(|only| only.iter().any(|r| r.eq_ignore_ascii_case(name)))
    }
}

/// A repository with its workflows.
#[derive(Clone)]
pub struct Repo {
    pub owner: String,
    pub name: String,
    pub workflows: Vec<Workflow>,
    /// Branches and tags that exist, by short name; empty accepts any ref.
    pub refs: Vec<String>,
}

impl Repo {
    /// A repository with one branch, `main`, and no workflow.
    pub fn new(owner: &str, name: &str) -> Self {
        Self {
            owner: owner.to_owned(),
            name: name.to_owned(),
            workflows: Vec::new(),
            refs: vec!["main".to_owned()],
        }
    }

    /// The same with one more workflow.
    pub fn workflow(mut self, workflow: Workflow) -> Self {
        self.workflows.push(workflow);
        self
    }
}

/// A workflow file with `on: workflow_dispatch`.
#[derive(Clone)]
pub struct Workflow {
    /// File name below `.github/workflows`, for example `deploy.yml`.
    pub file: String,
    /// Whether `run-name` shows the job id input, so that `display_title` carries it.
    pub run_name_has_job_id: bool,
    /// Name of the input that `run-name` shows.
    pub job_id_input: String,
    /// Inputs the workflow declares; any other is a 422.
    pub declared_inputs: Vec<String>,
    /// How its runs go.
    pub script: Script,
    /// `state: disabled_manually`; dispatching is a 422.
    pub disabled: bool,
}

impl Workflow {
    /// An enabled workflow that declares and shows `job_id` and whose runs succeed at once.
    pub fn new(file: &str) -> Self {
        Self {
            file: file.to_owned(),
            run_name_has_job_id: true,
            job_id_input: "job_id".to_owned(),
            declared_inputs: vec!["job_id".to_owned()],
            script: Script::success(),
            disabled: false,
        }
    }

    /// The same, also declaring these inputs.
    pub fn inputs(mut self, names: &[&str]) -> Self {
        self.declared_inputs.extend(names.iter().map(|n| (*n).to_owned()));
        self
    }

    /// The same with another script.
    pub fn script(mut self, script: Script) -> Self {
        self.script = script;
        self
    }
}

/// Where deliveries are sent and how they are signed.
#[derive(Clone)]
pub struct Webhook {
    pub url: String,
    pub secret: String,
    /// Events subscribed to besides those sent by hand (`push`, `send_event`).
    pub events: Vec<String>,
}

impl Webhook {
    /// Subscribed to `workflow_run` and `workflow_job`.
    pub fn new(url: &str, secret: &str) -> Self {
        Self {
            url: url.to_owned(),
            secret: secret.to_owned(),
            events: vec!["workflow_run".to_owned(), "workflow_job".to_owned()],
        }
    }
}
