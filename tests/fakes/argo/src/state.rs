//! What the fake remembers: objects as the Kubernetes API would keep them, the archive, and what was asked.

use crate::faults::Faults;
use crate::news::History;
use crate::options::{Options, Plan};
use serde_json::{Value, json};
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How many calls are remembered.
const CALLS_KEPT: usize = 10_000;

/// Namespace and name.
pub(crate) type Key = (String, String);

/// A call that came in.
#[derive(Clone, Debug)]
pub struct Call {
    pub method: String,
    pub path: String,
    /// `None`: no answer was given.
    pub status: Option<u16>,
}

/// A workflow as it stands.
#[derive(Clone, Debug)]
pub struct Workflow {
    /// The object.
    pub object: Value,
    pub(crate) plan: Plan,
    /// Grows whenever what was to happen by itself becomes void.
    pub(crate) epoch: u64,
}

impl Workflow {
    pub fn name(&self) -> &str {
        self.object["metadata"]["name"].as_str().unwrap_or_default()
    }

    pub fn phase(&self) -> &str {
        self.object["status"]["phase"].as_str().unwrap_or_default()
    }

    /// A parameter it was given.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        let given = self.object["spec"]["arguments"]["parameters"].as_array()?;
        given.iter().find(|it| it["name"] == name)?["value"].as_str()
    }

    pub fn label(&self, name: &str) -> Option<&str> {
        self.object["metadata"]["labels"][name].as_str()
    }

    pub(crate) fn is_over(&self) -> bool {
        matches!(self.phase(), "Succeeded" | "Failed" | "Error")
    }
}

/// Everything, shared by handlers and timers.
pub(crate) struct Shared {
    state: Mutex<State>,
    pub(crate) options: Arc<Options>,
    /// The newest version: streams wait for it to grow.
    pub(crate) version: watch::Sender<u64>,
    /// Grows when all streams are to end.
    pub(crate) cuts: watch::Sender<u64>,
    pub(crate) stop: CancellationToken,
    pub(crate) tasks: TaskTracker,
}

pub(crate) struct State {
    pub(crate) version: u64,
    pub(crate) workflows: BTreeMap<Key, Workflow>,
    /// By uid.
    pub(crate) archive: BTreeMap<String, Value>,
    pub(crate) archives: bool,
    pub(crate) history: History,
    pub(crate) faults: Faults,
    pub(crate) calls: VecDeque<Call>,
    /// Workflows that were ever submitted, retries not counted.
    pub(crate) submitted: usize,
}

impl Shared {
    pub(crate) fn new(options: Options) -> Self {
        let state = State {
            version: 1_000,
            workflows: BTreeMap::new(),
            archive: BTreeMap::new(),
            archives: options.archives,
            history: History::new(options.chaos, options.seed),
            faults: Faults::default(),
            calls: VecDeque::new(),
            submitted: 0,
        };
        Self {
            state: Mutex::new(state),
            options: Arc::new(options),
            version: watch::Sender::new(1_000),
            cuts: watch::Sender::new(0),
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
        }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes what is remembered; whoever follows is told.
    pub(crate) fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let (made, version) = {
            let mut state = self.lock();
            (change(&mut state), state.version)
        };
        self.version.send_if_modified(|known| std::mem::replace(known, version) != version);
        made
    }
}

impl State {
    pub(crate) fn note(&mut self, call: Call) {
        self.calls.push_back(call);
        if self.calls.len() > CALLS_KEPT {
            self.calls.pop_front();
        }
    }

    /// Makes a change to an object, as one write of the controller. `None` where there is no such object.
    pub(crate) fn edit(&mut self, key: &Key, edit: impl FnOnce(&mut Value)) -> Option<Value> {
        let workflow = self.workflows.get_mut(key)?;
        edit(&mut workflow.object);
        self.version += 1;
        workflow.object["metadata"]["resourceVersion"] = json!(self.version.to_string());
        let object = workflow.object.clone();
        if workflow.is_over() && self.archives {
            let uid = object["metadata"]["uid"].as_str().unwrap_or_default().to_owned();
            self.archive.insert(uid, object.clone());
        }
        self.history.push(self.version, "MODIFIED", object.clone());
        Some(object)
    }

    pub(crate) fn insert(&mut self, key: Key, mut workflow: Workflow) -> Value {
        self.version += 1;
        workflow.object["metadata"]["resourceVersion"] = json!(self.version.to_string());
        let object = workflow.object.clone();
        self.history.push(self.version, "ADDED", object.clone());
        self.workflows.insert(key, workflow);
        object
    }

    pub(crate) fn remove(&mut self, key: &Key) -> bool {
        let Some(workflow) = self.workflows.remove(key) else { return false };
        self.version += 1;
        let mut object = workflow.object;
        object["metadata"]["resourceVersion"] = json!(self.version.to_string());
        self.history.push(self.version, "DELETED", object);
        true
    }
}
