//! What handlers and tasks of the fake share, and its state.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::mpsc;

use crate::gate::{Call, Caller};
use crate::hooks::{Delivery, Hook as Outgoing};
use crate::limits::Meter;
use crate::model::Pipeline;
use crate::options::{Hook, Options, Project};
use crate::reply::Reply;
use crate::script::Plan;
use crate::timers::Timer;
use misbehaviour::{Dice, Faults, HookFaults, Late, Stage, Timers};

/// How many calls and deliveries are remembered; older ones are forgotten.
pub(crate) const CALLS_KEPT: usize = 100_000;
pub(crate) const DELIVERIES_KEPT: usize = 20_000;
/// The id of the first project; the others follow.
const FIRST_PROJECT: u64 = 101;

/// Everything handlers and tasks share.
pub(crate) struct Shared {
    pub(crate) stage: Stage<State>,
    /// Calls that were cut off and have their effect later.
    pub(crate) late: Late,
    /// Without a trailing slash.
    pub(crate) base_url: String,
    pub(crate) client: reqwest::Client,
    pub(crate) options: Arc<Options>,
}

impl Shared {
    pub(crate) fn new(state: State, base_url: String, client: reqwest::Client) -> Self {
        Self {
            options: Arc::clone(&state.options),
            stage: Stage::new(state),
            late: Late::default(),
            base_url,
            client,
        }
    }
}

/// What the fake remembers.
pub(crate) struct State {
    pub(crate) options: Arc<Options>,
    /// Without a trailing slash.
    pub(crate) base_url: String,
    /// How far the fake's clock is ahead of the real one.
    pub(crate) ahead: TimeDelta,
    pub(crate) dice: Dice,
    /// By id.
    pub(crate) projects: BTreeMap<u64, Project>,
    pub(crate) pipelines: BTreeMap<u64, Record>,
    pub(crate) starts: u64,
    pub(crate) next_id: u64,
    pub(crate) meter: Meter,
    pub(crate) faults: Faults,
    pub(crate) hook_faults: HookFaults,
    pub(crate) calls: VecDeque<Call>,
    pub(crate) deliveries: VecDeque<Delivery>,
    /// When the last deliveries were asked for again.
    pub(crate) resends: VecDeque<DateTime<Utc>>,
    pub(crate) timers: Timers<Timer>,
    pub(crate) hook: Option<Arc<Hook>>,
    pub(crate) lanes: Vec<mpsc::Sender<Outgoing>>,
    /// Deliveries that wait to be overtaken, by pipeline.
    pub(crate) overtaken: HashMap<u64, Outgoing>,
}

/// A pipeline with what only the fake knows.
pub(crate) struct Record {
    pub(crate) pipeline: Pipeline,
    pub(crate) plan: Plan,
    /// Grows whenever pending timers of the pipeline become void.
    pub(crate) epoch: u64,
    pub(crate) visible_at: Instant,
}

impl State {
    pub(crate) fn new(
        options: Arc<Options>,
        base_url: String,
        lanes: Vec<mpsc::Sender<Outgoing>>,
        now: DateTime<Utc>,
    ) -> Self {
        Self {
            base_url,
            ahead: TimeDelta::zero(),
            dice: Dice::new(options.seed),
            projects: (FIRST_PROJECT..).zip(options.projects.iter().cloned()).collect(),
            pipelines: BTreeMap::new(),
            starts: 0,
            // Ids continue over restarts of the fake: whoever remembers an old pipeline never meets its id again.
            next_id: u64::try_from(now.timestamp_millis()).unwrap_or(1),
            meter: Meter::of(options.limits.clone()),
            faults: Faults::default(),
            hook_faults: HookFaults::default(),
            calls: VecDeque::new(),
            deliveries: VecDeque::new(),
            resends: VecDeque::new(),
            timers: Timers::default(),
            hook: options.hook.clone().map(Arc::new),
            lanes,
            overtaken: HashMap::new(),
            options,
        }
    }

    /// The fake's clock.
    pub(crate) fn now(&self) -> DateTime<Utc> {
        Utc::now() + self.ahead
    }

    pub(crate) fn id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    /// The project of that id or path, if the caller may see it; GitLab answers 404 in both other cases.
    pub(crate) fn project(&self, caller: &Caller, id_or_path: &str) -> Result<(u64, &Project), Reply> {
        let id: Option<u64> = id_or_path.parse().ok();
        let found = self
            .projects
            .iter()
            .find(|(project, spec)| Some(**project) == id || spec.path.eq_ignore_ascii_case(id_or_path));
        let sees = |spec: &Project| {
            let only = caller.0.as_ref().and_then(|token| token.projects.as_ref());
            only.is_none_or(|paths| paths.iter().any(|path| path.eq_ignore_ascii_case(&spec.path)))
        };
        found.filter(|(_, spec)| sees(spec)).map(|(id, spec)| (*id, spec)).ok_or_else(Reply::no_project)
    }

    /// The pipeline of that project, if the caller may see it.
    pub(crate) fn pipeline(&self, caller: &Caller, project: &str, id: u64) -> Result<&Record, Reply> {
        let (project, _) = self.project(caller, project)?;
        let of_project = |record: &&Record| record.pipeline.project_id == project;
        self.pipelines.get(&id).filter(of_project).ok_or_else(Reply::not_found)
    }
}

/// Remembers `item`, forgetting the oldest beyond `kept`.
pub(crate) fn remember<T>(items: &mut VecDeque<T>, item: T, kept: usize) {
    if items.len() >= kept {
        items.pop_front();
    }
    items.push_back(item);
}
