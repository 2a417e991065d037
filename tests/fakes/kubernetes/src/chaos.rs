//! Misbehaviour on request: calls that fail as told, and calls that fail by seed.

use std::time::Duration;

/// The next `times` calls that match go wrong.
#[derive(Clone, Debug)]
pub struct Fault {
    /// E.g. `PATCH`; `None` is any.
    pub method: Option<String>,
    /// What the path and query contain; empty is any.
    pub path: String,
    /// What they must not contain; empty is nothing.
    pub but_not: String,
    /// How often.
    pub times: u32,
    /// How.
    pub kind: FaultKind,
}

/// How a call goes wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// It is answered by this `Status` and has no effect.
    Answer {
        /// The HTTP status.
        code: u16,
        /// For people.
        message: String,
        /// `Retry-After`, in seconds.
        retry_after: Option<u64>,
    },
    /// It has its effect, and the connection breaks before the answer.
    DropAfterEffect,
    /// The connection breaks, and nothing happens.
    DropBefore,
    /// It is answered late.
    Delay(Duration),
}

impl Fault {
    /// Every such call, until the faults are cleared.
    pub fn always(method: &str, path: &str, kind: FaultKind) -> Self {
        let method = (!method.is_empty()).then(|| method.to_owned());
        Self { method, path: path.to_owned(), but_not: String::new(), times: u32::MAX, kind }
    }

    /// One such call.
    pub fn once(method: &str, path: &str, kind: FaultKind) -> Self {
        Self { times: 1, ..Self::always(method, path, kind) }
    }

    /// One change that is not a dry run.
    pub fn once_in_earnest(path: &str, kind: FaultKind) -> Self {
        Self { but_not: "dryRun".to_owned(), ..Self::once("PATCH", path, kind) }
    }

    pub(crate) fn fits(&self, method: &str, target: &str) -> bool {
        self.times > 0
            && self.method.as_deref().is_none_or(|wanted| wanted == method)
            && target.contains(&self.path)
            && (self.but_not.is_empty() || !target.contains(&self.but_not))
    }
}

/// Chances, 0.0 to 1.0, that something goes wrong; drawn from the seed.
#[derive(Clone, Debug, Default)]
pub struct Chaos {
    /// The same seed and the same calls give the same faults.
    pub seed: u64,
    /// A call is answered 429.
    pub limited: f64,
    /// A call is answered 500 and has no effect.
    pub broken: f64,
    /// A call has its effect and its answer is lost.
    pub lost: f64,
    /// A watch ends after an event.
    pub cut: f64,
    /// A watch is told that its position is too old.
    pub expired: f64,
}
