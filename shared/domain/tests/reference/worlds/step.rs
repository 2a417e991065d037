//! What may happen. Numbers are taken modulo how many there are, so that every step means something in every world.

use domain::entity::{RolloutAction, VersionStatus};
use domain::job::{Reason, TerminalStatus};

/// Deployment, environment, resource; or which of the targets.
pub(crate) type Nth = usize;

/// One thing that happens.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    /// A version of a deployment appears; perhaps one that depends on the other deployment's not being at `v1`, or of which
    /// nobody knows whose it is, or that is said to have been there for so many seconds.
    Version { deployment: Nth, depends: bool, maker: bool, backdated: Option<u32> },
    /// A person changes what a version brings.
    Edit { user: Nth, deployment: Nth, version: Nth },
    /// A version gets a status.
    Status { deployment: Nth, version: Nth, status: VersionStatus },
    /// A person says yes or no.
    Word { user: Nth, deployment: Nth, version: Nth, environment: Nth, yes: bool },
    /// A rule is skipped.
    Skip {
        policy: Nth,
        rule: Nth,
        indexed: bool,
        version: Nth,
        environment: Option<Nth>,
        resource: Option<Nth>,
        expires: Option<u32>,
    },
    /// It is frozen: so many seconds from now, for so many.
    Freeze { slot: Nth, selector: String, from: Option<u32>, lasts: Option<u32> },
    /// A freeze is thawed.
    Thaw { slot: Nth },
    /// A version is pinned.
    Pin { deployment: Nth, version: Nth, environment: Option<Nth>, resource: Option<Nth> },
    /// A pin is deleted.
    Unpin { nth: Nth },
    /// Once more.
    Redeploy { target: Nth, version: Option<Nth> },
    /// A rollout is paused or resumed.
    Control { deployment: Nth, version: Nth, environment: Nth, action: RolloutAction },
    /// A policy comes, or is written anew.
    Policy { nth: Nth, enabled: bool },
    /// A resource gets another variable.
    Vars { resource: Nth, value: u8 },
    /// A resource comes or goes.
    Resource { nth: Nth, within: [bool; 3] },
    /// Time passes.
    Pass { seconds: u32 },
    /// Time passes until the first instant at which a decision wants to be looked at.
    Wake,
    /// A target is decided on.
    Look { target: Nth },
    /// All targets are.
    LookAll,
    /// The n-th of the active jobs ends.
    End { job: Nth, status: TerminalStatus, reason: Option<Reason> },
    /// All active jobs end well.
    EndAll,
    /// The n-th of the jobs that ended badly last on its target runs again on its platform.
    Again { job: Nth },
}
