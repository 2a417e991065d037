//! What a fake starts with: namespaces, templates, tokens, and how workflows go by themselves.

use crate::NewsChaos;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

/// How a fake behaves. The default is a server of 2026 with an archive, a namespace `ci`, and nothing in it.
#[derive(Clone)]
pub struct Options {
    pub bind: SocketAddr,
    /// Tokens that may do everything.
    pub tokens: Vec<String>,
    /// Tokens that may only read.
    pub readers: Vec<String>,
    pub namespaces: Vec<String>,
    pub templates: Vec<Template>,
    /// Whether workflows are archived when they are over.
    pub archives: bool,
    /// Whether reading a workflow falls back to the archive, as servers since 3.5 do.
    pub reads_archive: bool,
    /// From the request to end a workflow until it ends.
    pub ending_takes: Duration,
    /// What goes wrong with news, by seed.
    pub chaos: NewsChaos,
    pub seed: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            bind: (Ipv4Addr::LOCALHOST, 0).into(),
            tokens: Vec::new(),
            readers: Vec::new(),
            namespaces: vec!["ci".to_owned()],
            templates: Vec::new(),
            archives: true,
            reads_archive: true,
            ending_takes: Duration::from_millis(20),
            chaos: NewsChaos::default(),
            seed: 1,
        }
    }
}

/// A template that workflows are made of: one step, which goes by the plan.
#[derive(Clone)]
pub struct Template {
    /// `None`: a `ClusterWorkflowTemplate`.
    pub namespace: Option<String>,
    pub name: String,
    /// Parameters with their defaults; without one, a value must be given.
    pub parameters: Vec<(String, Option<String>)>,
    pub plan: Plan,
}

impl Template {
    /// A template of the namespace, without parameters, whose workflows succeed at once.
    pub fn new(namespace: &str, name: &str) -> Self {
        let plan = Plan { queued: Duration::ZERO, runs: Duration::ZERO, ending: Ending::Succeeds };
        Self { namespace: Some(namespace.to_owned()), name: name.to_owned(), parameters: Vec::new(), plan }
    }

    /// A template of the cluster.
    pub fn of_cluster(name: &str) -> Self {
        Self { namespace: None, ..Self::new("", name) }
    }

    /// The same with a parameter; without a default, it must be given.
    pub fn parameter(mut self, name: &str, default: Option<&str>) -> Self {
        self.parameters.push((name.to_owned(), default.map(str::to_owned)));
        self
    }

    /// The same with another plan.
    pub fn plan(mut self, plan: Plan) -> Self {
        self.plan = plan;
        self
    }
}

/// How a workflow goes by itself.
#[derive(Clone, Debug)]
pub struct Plan {
    pub queued: Duration,
    pub runs: Duration,
    pub ending: Ending,
}

impl Plan {
    /// Nothing happens by itself.
    pub fn hold() -> Self {
        Self { queued: Duration::ZERO, runs: Duration::ZERO, ending: Ending::Holds }
    }

    /// Starts at once, and ends so at once.
    pub fn at_once(ending: Ending) -> Self {
        Self { queued: Duration::ZERO, runs: Duration::ZERO, ending }
    }
}

/// How a workflow ends by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    Succeeds,
    /// Its step fails with this message.
    Fails(String),
    /// A template goes wrong before anything ran.
    Errors(String),
    /// It waits at a step until somebody resumes it, and succeeds then.
    Suspends,
    /// It starts and goes on until told otherwise.
    Runs,
    /// It does not even start until told otherwise.
    Holds,
}
