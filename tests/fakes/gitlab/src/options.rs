//! What a fake starts with: tokens, projects, hook and manners.
//! Nothing here changes at run time except through the control methods of `FakeGitlab`.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use crate::{Limits, Script};

/// How a fake behaves. The default is a GitLab 19 without tokens, projects or limits.
///
/// Deliberately not `Debug`: it carries tokens and secrets.
#[derive(Clone)]
pub struct Options {
    /// Where to listen; port 0 picks a free one.
    pub bind: SocketAddr,
    pub tokens: Vec<Token>,
    pub projects: Vec<Project>,
    /// Where deliveries go; may also be set later, see `FakeGitlab::set_hook`.
    pub hook: Option<Hook>,
    pub limits: Limits,
    /// Seeds webhook chaos.
    pub seed: u64,
    /// A pipeline appears in listings only this long after its start.
    pub search_visible_after: Duration,
    /// From `canceling` to `canceled`.
    pub cancel_takes: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            bind: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            tokens: Vec::new(),
            projects: Vec::new(),
            hook: None,
            limits: Limits::default(),
            seed: 1,
            search_visible_after: Duration::ZERO,
            cancel_takes: Duration::from_millis(20),
        }
    }
}

/// An access token.
#[derive(Clone)]
pub struct Token {
    pub text: String,
    /// `api`, else `read_api`.
    pub may_write: bool,
    pub is_maintainer: bool,
    /// Paths of the projects it sees; `None` is all.
    pub projects: Option<Vec<String>>,
}

impl Token {
    /// A maintainer's, with the scope `api`.
    pub fn new(text: &str) -> Self {
        Self { text: text.to_owned(), may_write: true, is_maintainer: true, projects: None }
    }
}

/// A project with a `.gitlab-ci.yml`.
#[derive(Clone)]
pub struct Project {
    /// `group/project`.
    pub path: String,
    /// Pipeline trigger tokens.
    pub trigger_tokens: Vec<String>,
    /// Branches and tags that exist; empty accepts any.
    pub refs: Vec<String>,
    /// `spec:inputs`; any other is a 400.
    pub inputs: Vec<String>,
    /// `workflow:name` shows the job's id, from this input or variable.
    pub named_after: Option<String>,
    /// Whether pipeline variables may be set.
    pub takes_variables: bool,
    /// Its jobs, in the order of their stages.
    pub jobs: Vec<JobSpec>,
    /// How its pipelines go.
    pub script: Script,
}

impl Project {
    /// One job `deploy`; the name shows the variable `JOB_ID`; pipelines succeed at once.
    pub fn new(path: &str) -> Self {
        Self {
            path: path.to_owned(),
            trigger_tokens: Vec::new(),
            refs: vec!["main".to_owned()],
            inputs: Vec::new(),
            named_after: Some("JOB_ID".to_owned()),
            takes_variables: true,
            jobs: vec![JobSpec::new("deploy")],
            script: Script::success(),
        }
    }

    /// The same with another script.
    pub fn script(mut self, script: Script) -> Self {
        self.script = script;
        self
    }

    /// The same with these jobs.
    pub fn jobs(mut self, jobs: Vec<JobSpec>) -> Self {
        self.jobs = jobs;
        self
    }
}

/// A job of `.gitlab-ci.yml`.
#[derive(Clone)]
pub struct JobSpec {
    pub name: String,
    pub allow_failure: bool,
    /// Starts a child pipeline with jobs of these names.
    pub child: Option<Vec<String>>,
}

impl JobSpec {
    pub fn new(name: &str) -> Self {
        Self { name: name.to_owned(), allow_failure: false, child: None }
    }

    /// A bridge to a child pipeline with these jobs.
    pub fn bridge(name: &str, child: &[&str]) -> Self {
        let child = child.iter().map(|job| (*job).to_owned()).collect();
        Self { child: Some(child), ..Self::new(name) }
    }
}

/// Where deliveries are sent and how they are proved.
#[derive(Clone)]
pub struct Hook {
    pub url: String,
    /// `whsec_…`: signed by Standard Webhooks, as since GitLab 19.
    pub signing_token: Option<String>,
    /// Repeated in `X-Gitlab-Token`.
    pub token: Option<String>,
    pub pipeline_events: bool,
    pub job_events: bool,
}

impl Hook {
    /// Signed; told of pipelines.
    pub fn signed(url: &str, signing_token: &str) -> Self {
        Self {
            url: url.to_owned(),
            signing_token: Some(signing_token.to_owned()),
            token: None,
            pipeline_events: true,
            job_events: false,
        }
    }

    /// With a token; told of pipelines.
    pub fn with_token(url: &str, token: &str) -> Self {
        Self { signing_token: None, token: Some(token.to_owned()), ..Self::signed(url, "") }
    }

    /// The same, told of jobs too.
    pub fn and_jobs(mut self) -> Self {
        self.job_events = true;
        self
    }
}
