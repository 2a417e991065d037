//! How pipelines of a project go: delays and ending, by attempt. Scripts decide; `pipelines` and `timers` carry them out.

use std::time::Duration;

use serde_json::{Map, Value};

/// The plan of a project's pipelines; those with certain inputs, and attempts after the first, may go otherwise.
#[derive(Clone, Debug)]
pub struct Script {
    pub plan: Plan,
    /// By name and value of an input; the first that matches wins.
    pub by_input: Vec<(String, String, Plan)>,
    pub again: Option<Plan>,
}

impl Script {
    pub fn of(plan: Plan) -> Self {
        Self { plan, by_input: Vec::new(), again: None }
    }

    /// Succeeds at once.
    pub fn success() -> Self {
        Self::of(Plan::new(Ending::Finish("success".to_owned())))
    }

    /// Fails at once.
    pub fn failure() -> Self {
        Self::of(Plan::new(Ending::Finish("failed".to_owned())))
    }

    /// Starts at once, then runs until told.
    pub fn hold() -> Self {
        Self::of(Plan::new(Ending::Hold))
    }

    /// The same, but for retries.
    pub fn and_again(mut self, plan: Plan) -> Self {
        self.again = Some(plan);
        self
    }

    /// The same, but for pipelines with that input.
    pub fn when_input(mut self, name: &str, value: &str, plan: Plan) -> Self {
        self.by_input.push((name.to_owned(), value.to_owned(), plan));
        self
    }

    pub(crate) fn plan_for(&self, inputs: &Map<String, Value>, attempt: usize) -> Plan {
        if let Some(plan) = self.again.as_ref().filter(|_| attempt > 1) {
            return plan.clone();
        }
        let by_input =
            self.by_input.iter().find(|(name, value, _)| inputs.get(name).is_some_and(|it| it == value));
        by_input.map_or(&self.plan, |(_, _, plan)| plan).clone()
    }
}

/// How one attempt goes.
#[derive(Clone, Debug)]
pub struct Plan {
    /// From `pending` to `running`.
    pub queue: Duration,
    /// From `running` to its end.
    pub run: Duration,
    pub ending: Ending,
    /// Its jobs clean up for ever: only cancelling them by force ends it.
    pub ignores_cancel: bool,
}

impl Plan {
    pub fn new(ending: Ending) -> Self {
        Self { queue: Duration::ZERO, run: Duration::ZERO, ending, ignores_cancel: false }
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

/// What becomes of a pipeline that nobody touches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Ends with this status.
    Finish(String),
    /// Stays `running` until told.
    Hold,
    /// Stays `pending` until told.
    HoldQueued,
    /// Its first job is manual: goes to `manual`, and on to success when it is played.
    Manual,
}
