//! How runs of a workflow go: delays, ending and exceptions by ref, input or attempt.
//! Scripts decide; `runs` and `timers` carry them out.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::Conclusion;

/// The plan of a workflow's runs with its exceptions; the first exception that matches wins.
#[derive(Clone, Debug)]
pub struct Script {
    pub plan: Plan,
    pub exceptions: Vec<(When, Plan)>,
}

impl Script {
    pub fn of(plan: Plan) -> Self {
        Self { plan, exceptions: Vec::new() }
    }

    /// Succeeds at once.
    pub fn success() -> Self {
        Self::of(Plan::ends(Conclusion::Success))
    }

    /// Fails at once.
    pub fn failure() -> Self {
        Self::of(Plan::ends(Conclusion::Failure))
    }

    /// Starts at once, then runs until told.
    pub fn hold() -> Self {
        Self::of(Plan::new(Ending::Hold))
    }

    /// The same with these delays on the general plan.
    pub fn taking(mut self, queue: Duration, run: Duration) -> Self {
        self.plan = self.plan.taking(queue, run);
        self
    }

    /// The same with one more exception.
    pub fn when(mut self, when: When, plan: Plan) -> Self {
        self.exceptions.push((when, plan));
        self
    }

    pub(crate) fn plan_for(&self, git_ref: &str, inputs: &BTreeMap<String, String>, attempt: u32) -> Plan {
        let exception = self.exceptions.iter().find(|(when, _)| when.matches(git_ref, inputs, attempt));
        exception.map_or(&self.plan, |(_, plan)| plan).clone()
    }
}

/// Which runs an exception is for: every condition given must hold.
#[derive(Clone, Debug, Default)]
pub struct When {
    pub git_ref: Option<String>,
    /// Input name and value.
    pub input: Option<(String, String)>,
    /// `run_attempt`, from 1.
    pub attempt: Option<u32>,
}

impl When {
    pub fn git_ref(name: &str) -> Self {
        Self { git_ref: Some(name.to_owned()), ..Self::default() }
    }

    pub fn input(name: &str, value: &str) -> Self {
        Self { input: Some((name.to_owned(), value.to_owned())), ..Self::default() }
    }

    pub fn attempt(attempt: u32) -> Self {
        Self { attempt: Some(attempt), ..Self::default() }
    }

    fn matches(&self, git_ref: &str, inputs: &BTreeMap<String, String>, attempt: u32) -> bool {
        self.git_ref.as_deref().is_none_or(|r| r == git_ref)
            && self.input.as_ref().is_none_or(|(name, value)| inputs.get(name) == Some(value))
            && self.attempt.is_none_or(|n| n == attempt)
    }
}

/// How one run goes.
#[derive(Clone, Debug)]
pub struct Plan {
    /// From `queued` to `in_progress` (or `waiting`).
    pub queue: Duration,
    /// From `in_progress` to `completed`.
    pub run: Duration,
    pub ending: Ending,
    /// A plain cancel is accepted but has no effect; only force-cancel ends the run.
    pub ignores_cancel: bool,
}

impl Plan {
    pub fn new(ending: Ending) -> Self {
        Self { queue: Duration::ZERO, run: Duration::ZERO, ending, ignores_cancel: false }
    }

    pub fn ends(conclusion: Conclusion) -> Self {
        Self::new(Ending::Finish(conclusion))
    }

    pub fn taking(mut self, queue: Duration, run: Duration) -> Self {
        (self.queue, self.run) = (queue, run);
        self
    }

    pub fn ignoring_cancel(mut self) -> Self {
        self.ignores_cancel = true;
        self
    }
}

/// What becomes of a run that nobody touches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    Finish(Conclusion),
    /// Stays `in_progress` until told.
    Hold,
    /// Stays `queued` until told.
    HoldQueued,
    /// Goes to `waiting` with a pending deployment; `FakeGithub::approve` lets it run on to success.
    AwaitApproval,
}
