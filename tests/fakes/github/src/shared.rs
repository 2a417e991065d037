//! What handlers and tasks of the fake share, and its state.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use chrono::{DateTime, TimeDelta, Utc};
use jsonwebtoken::DecodingKey;
use tokio::sync::mpsc;

use crate::auth::{Call, Caller, Token};
use crate::hooks::{Delivery, Hook};
use crate::limits::Meter;
use crate::model::{Place, Run};
use crate::options::{Options, Webhook, Workflow};
use crate::reply::Reply;
use crate::script::Plan;
use crate::timers::Timer;
use misbehaviour::{Dice, Faults, HookFaults, Late, Stage, Timers};

/// How many calls and deliveries are remembered; older ones are forgotten.
pub(crate) const CALLS_KEPT: usize = 100_000;
pub(crate) const DELIVERIES_KEPT: usize = 20_000;
/// How many runs are kept; the oldest go first, as under GitHub's retention.
pub(crate) const RUNS_KEPT: usize = 200_000;

/// Everything handlers and tasks share.
pub(crate) struct Shared {
    pub(crate) stage: Stage<State>,
    /// Calls that were cut off and have their effect later.
    pub(crate) late: Late,
    /// Without a trailing slash.
    pub(crate) base_url: String,
    pub(crate) client: reqwest::Client,
    pub(crate) app_key: Option<DecodingKey>,
    pub(crate) options: Arc<Options>,
}

impl Shared {
    pub(crate) fn new(
        state: State,
        base_url: String,
        client: reqwest::Client,
        app_key: Option<DecodingKey>,
    ) -> Self {
        Self {
            options: Arc::clone(&state.options),
            stage: Stage::new(state),
            late: Late::default(),
            base_url,
            client,
            app_key,
        }
    }
}

/// What the fake remembers.
pub(crate) struct State {
    pub(crate) options: Arc<Options>,
    /// How far the fake's clock is ahead of the real one.
    pub(crate) ahead: TimeDelta,
    pub(crate) dice: Dice,
    /// By `owner/name` in lower case.
    pub(crate) repos: HashMap<String, RepoState>,
    pub(crate) runs: BTreeMap<u64, Record>,
    pub(crate) dispatches: u64,
    pub(crate) next_run_id: u64,
    pub(crate) next_job_id: u64,
    pub(crate) next_delivery_id: u64,
    pub(crate) tokens: HashMap<String, Token>,
    pub(crate) suspended: HashSet<u64>,
    pub(crate) meter: Meter,
    pub(crate) faults: Faults,
    pub(crate) hook_faults: HookFaults,
    pub(crate) calls: VecDeque<Call>,
    pub(crate) deliveries: VecDeque<Delivery>,
    pub(crate) timers: Timers<Timer>,
    pub(crate) webhook: Option<Arc<Webhook>>,
    pub(crate) lanes: Vec<mpsc::Sender<Hook>>,
    /// Deliveries that wait to be overtaken, by run.
    pub(crate) overtaken: HashMap<u64, Hook>,
}

/// A repository as it stands.
pub(crate) struct RepoState {
    pub(crate) owner: String,
    pub(crate) name: String,
    pub(crate) refs: Vec<String>,
    /// Commit a ref points to, where a push said so.
    pub(crate) heads: HashMap<String, String>,
    pub(crate) workflows: Vec<WorkflowState>,
}

/// A workflow as it stands.
pub(crate) struct WorkflowState {
    pub(crate) options: Workflow,
    pub(crate) place: Arc<Place>,
    pub(crate) runs: u64,
}

/// A run with what only the fake knows.
pub(crate) struct Record {
    pub(crate) run: Run,
    pub(crate) plan: Plan,
    /// Grows whenever pending timers of the run become void.
    pub(crate) epoch: u64,
    pub(crate) visible_at: Instant,
    /// Earlier attempts, oldest first.
    pub(crate) earlier: Vec<Run>,
}

impl State {
    pub(crate) fn new(options: Arc<Options>, lanes: Vec<mpsc::Sender<Hook>>, now: DateTime<Utc>) -> Self {
        // Ids continue over restarts of the fake: whoever remembers an old run never meets its id again.
        let base = u64::try_from(now.timestamp_millis()).unwrap_or(1);
        Self {
            ahead: TimeDelta::zero(),
            dice: Dice::new(options.seed),
            repos: repos(&options),
            runs: BTreeMap::new(),
            dispatches: 0,
            next_run_id: base,
            next_job_id: base.saturating_mul(10),
            next_delivery_id: base,
            tokens: HashMap::new(),
            suspended: HashSet::new(),
            meter: Meter::of(options.limits.clone()),
            faults: Faults::default(),
            hook_faults: HookFaults::default(),
            calls: VecDeque::new(),
            deliveries: VecDeque::new(),
            timers: Timers::default(),
            webhook: options.webhook.clone().map(Arc::new),
            lanes,
            overtaken: HashMap::new(),
            options,
        }
    }

    /// The fake's clock.
    pub(crate) fn now(&self) -> DateTime<Utc> {
        Utc::now() + self.ahead
    }

    /// The repository if it exists and the caller may see it; GitHub answers 404 in both other cases.
    pub(crate) fn repo(&mut self, caller: &Caller, owner: &str, name: &str) -> Result<&mut RepoState, Reply> {
        if !self.may_see(caller, owner, name) {
            return Err(Reply::not_found());
        }
        self.repos.get_mut(&key(owner, name)).ok_or_else(Reply::not_found)
    }

    fn may_see(&self, caller: &Caller, owner: &str, name: &str) -> bool {
        match caller {
            Caller::App | Caller::Pat(_) => true,
            Caller::Anonymous => false,
            Caller::Installation { id, repositories, .. } => {
                let app = self.options.app.as_ref();
                let installation = app.and_then(|app| app.installations.iter().find(|i| i.id == *id));
                installation.is_some_and(|i| i.covers(owner, name))
                    && repositories
                        .as_ref()
                        .is_none_or(|only| only.iter().any(|r| r.eq_ignore_ascii_case(name)))
            }
        }
    }
}

impl RepoState {
    /// By numeric id or file name.
    pub(crate) fn workflow(&mut self, id_or_file: &str) -> Result<&mut WorkflowState, Reply> {
        let id: Option<u64> = id_or_file.parse().ok();
        let found = |w: &&mut WorkflowState| id == Some(w.place.workflow_id) || w.options.file == id_or_file;
        self.workflows.iter_mut().find(found).ok_or_else(Reply::not_found)
    }

    pub(crate) fn head(&self, git_ref: &str) -> String {
        let told = self.heads.get(git_ref).cloned();
        told.unwrap_or_else(|| {
            crate::payload::made_up_sha(&format!("{}/{}@{git_ref}", self.owner, self.name))
        })
    }
}

/// How repositories are found: GitHub ignores case.
pub(crate) fn key(owner: &str, name: &str) -> String {
    format!("{owner}/{name}").to_ascii_lowercase()
}

fn repos(options: &Options) -> HashMap<String, RepoState> {
    let mut workflow_id = 160_000_000;
    let installations = || options.app.iter().flat_map(|app| app.installations.iter());
    let mut all = HashMap::new();
    for (repo, repo_id) in options.repos.iter().zip(800_000_001_u64..) {
        let installation_id = installations().find(|i| i.covers(&repo.owner, &repo.name)).map(|i| i.id);
        let workflow = |w: &Workflow| {
            workflow_id += 1;
            let place = Place {
                repo_id,
                owner: repo.owner.clone(),
                name: repo.name.clone(),
                workflow_id,
                workflow_file: w.file.clone(),
                workflow_name: w.file.split('.').next().unwrap_or(&w.file).to_owned(),
                workflow_state: if w.disabled { "disabled_manually" } else { "active" },
                installation_id,
            };
            WorkflowState { options: w.clone(), place: Arc::new(place), runs: 0 }
        };
        let state = RepoState {
            owner: repo.owner.clone(),
            name: repo.name.clone(),
            refs: repo.refs.clone(),
            heads: HashMap::new(),
            workflows: repo.workflows.iter().map(workflow).collect(),
        };
        all.insert(key(&repo.owner, &repo.name), state);
    }
    all
}

/// Remembers `item`, forgetting the oldest beyond `kept`.
pub(crate) fn remember<T>(items: &mut VecDeque<T>, item: T, kept: usize) {
    if items.len() >= kept {
        items.pop_front();
    }
    items.push_back(item);
}
