//! What a freeze does to a job: it is not dispatched, holds no slot, and is looked at again whenever a freeze comes, goes,
//! begins or ends. A freeze that was confirmed before a job is looked at is known here when it is.

use crate::handler::{Dispatcher, note};
use bus::{Base, Failure, Recorded, clock, crash_point};
use domain::Timestamp;
use domain::catalog::WorkspaceCatalog;
use domain::freeze;
use domain::id::JobId;
use domain::job::{HeldWhy, JobFact, JobRef, Phase};
use domain::token::Slug;
use std::collections::BTreeSet;
use tracing::{info, warn};

/// How much of the freezes a dispatch has seen.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Seen {
    /// The last change of a freeze, as a revision of the catalog.
    pub(crate) changed_at: u64,
    /// When the next one begins by time alone.
    pub(crate) begins_at: Option<Timestamp>,
}

/// Why the job is held, if a freeze holds it. What cannot be told holds it, too. Verifications start nothing.
pub(crate) fn holds(workspace: &WorkspaceCatalog, job: &JobRef) -> Option<HeldWhy> {
    if !job.purpose.is_deploy() {
        return None;
    }
    match freeze::of_target(workspace, &job.target, clock::now()) {
        Ok(None) => None,
        Ok(Some(frozen)) => {
            let reason = format!("{} ({})", frozen.reason, frozen.name);
            Some(HeldWhy::Freeze { freeze: Some(frozen.freeze), reason, until: frozen.until })
        }
        Err(reason) => Some(HeldWhy::Freeze { freeze: None, reason, until: None }),
    }
}

impl Dispatcher {
    /// Waits until this replica knows every freeze that was confirmed so far, and tells how far that is.
    pub(crate) async fn see_freezes(&self, job: &JobRef) -> Result<u64, Failure> {
        if !job.purpose.is_deploy() {
            return Ok(0);
        }
        let changed_at = self.freezes.changed_at(&job.workspace).await?;
        self.see_catalog(changed_at).await?;
        Ok(changed_at)
    }

    /// Holds a job. It is noted before the fact, so that no thaw can miss it. Answers who got a slot by that, and the job
    /// itself where it thawed meanwhile.
    pub(crate) async fn freeze(&self, job: &JobRef, base: Base, why: HeldWhy) -> Result<Vec<JobId>, Failure> {
        self.queue.freeze(&job.workspace, job.id, held_since(&base, &why)).await?;
        crash_point("dispatcher.frozen.before");
        let recorded = self.bus.jobs().record(job, JobFact::Held { why }, base, None).await?;
        crash_point("dispatcher.frozen.after");
        note(job, "held: frozen", &recorded);
        match recorded {
            Recorded::Appended { .. } | Recorded::AlreadySo(_) => {
                let mut got = self.release(job).await?;
                // A thaw that came between the look and the fact found nothing held.
                if self.is_thawed(job) {
                    got.push(job.id);
                }
                Ok(got)
            }
            Recorded::Refused(..) => self.give_back(job).await,
        }
    }

    /// Looks again at every job of the workspace that a freeze holds. Jobs that no freeze can hold any more leave the list.
    pub(crate) async fn look_at_frozen(&self, workspace: &Slug) -> Result<(), Failure> {
        let (mut over, mut failed) = (Vec::new(), None);
        for noted in self.queue.frozen(workspace).await?.jobs {
            match self.look_again(workspace, noted.job).await {
                Ok(true) => {}
                Ok(false) => over.push(noted),
                // The others are looked at all the same.
                Err(failure) => {
                    warn!(job = %noted.job, %failure, "a frozen job could not be looked at");
                    failed = Some(failure);
                }
            }
        }
        if !over.is_empty() {
            self.queue.thaw(workspace, &over).await?;
        }
        failed.map_or(Ok(()), Err)
    }

    /// Whether a freeze may hold it yet.
    async fn look_again(&self, workspace: &Slug, id: JobId) -> Result<bool, Failure> {
        let Some(known) = self.bus.jobs().load(workspace, id).await? else { return Ok(false) };
        match &known.state.phase {
            Phase::Requested | Phase::Held { .. } | Phase::Dispatched => {}
            Phase::Triggering { .. }
            | Phase::Unknown { .. }
            | Phase::Running { .. }
            | Phase::Cancelling(_)
            | Phase::Finished { .. } => return Ok(false),
        }
        let got = self.dispatch_known(known).await?;
        self.see_to_all(workspace, got).await?;
        Ok(true)
    }

    /// The workspaces in which a freeze began or ended by time alone after `then` and until `now`; and when that happens next.
    pub(crate) fn passed(&self, then: Timestamp, now: Timestamp) -> (BTreeSet<Slug>, Option<Timestamp>) {
        let catalog = self.catalog.read();
        let changed = |workspace: &&WorkspaceCatalog| {
            freeze::next_change(workspace, then).is_some_and(|change| change <= now)
        };
        let passed = catalog.workspaces().filter(changed).map(|workspace| workspace.slug().clone()).collect();
        let next = catalog.workspaces().filter_map(|workspace| freeze::next_change(workspace, now)).min();
        (passed, next)
    }

    fn is_thawed(&self, job: &JobRef) -> bool {
        let catalog = self.catalog.read();
        let thawed =
            catalog.workspace(&job.workspace).is_none_or(|workspace| holds(workspace, job).is_none());
        if thawed {
            info!(job = %job.id, "thawed meanwhile");
        }
        thawed
    }
}

/// As of when a job is noted: now, unless its history says the same already.
fn held_since(base: &Base, why: &HeldWhy) -> Timestamp {
    match base {
        Base::Known(known) => match &known.state.phase {
            Phase::Held { why: known_why } if known_why == why => known.state.phase_since,
            Phase::Requested
            | Phase::Held { .. }
            | Phase::Dispatched
            | Phase::Triggering { .. }
            | Phase::Unknown { .. }
            | Phase::Running { .. }
            | Phase::Cancelling(_)
            | Phase::Finished { .. } => clock::now(),
        },
        Base::New | Base::After(_) | Base::Look => clock::now(),
    }
}
