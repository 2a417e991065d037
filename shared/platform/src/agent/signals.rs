//! Signals: what a webhook or a watch says of one run. A hint like any other look, judged by its order; never across the
//! border of a workspace.

use super::observe::nameable_run;
use super::runs::Owner;
use super::{Agent, later};
use crate::config::of_workspace;
use crate::platform::{Platform, RunKey, Signal};
use bus::{Base, Failure, Known, Recorded};
use domain::job::{ExternalRef, Phase, Snapshot, SnapshotStatus};
use domain::token::Slug;
use std::time::Duration;

/// The first pause for a run that is not ours, or not yet.
const STRANGER_PAUSE: Duration = Duration::from_secs(2);

/// Where a signal comes from.
#[derive(Debug, Clone)]
pub(super) struct Told<'a> {
    /// The workspace it was let into: another one's jobs are not there.
    pub(super) workspace: &'a Slug,
    /// What the facts it leads to are caused by.
    pub(super) cause: Option<String>,
    /// How old it is, where it comes again when it is put off.
    pub(super) age: Option<Duration>,
}

/// What became of a signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Judged {
    /// It was recorded, or is no news.
    Applied,
    /// No job of ours is known to have this run: perhaps not yet.
    Stranger,
    /// It is not for this agent.
    Dropped {
        /// For metrics.
        why: &'static str,
        /// For people.
        detail: &'static str,
    },
}

impl<P: Platform> Agent<P> {
    /// Judges a signal, and records what is news.
    pub(super) async fn signal(&self, told: &Told<'_>, signal: Signal) -> Result<Judged, Failure> {
        let workspace = told.workspace;
        let owner = match signal.job {
            Some(job) => Some(Owner { workspace: workspace.clone(), job }),
            None => self.owner(&signal.run).await?,
        };
        let Some(owner) = owner else { return Ok(Judged::Stranger) };
        if &owner.workspace != workspace {
            let detail = "the run belongs to another workspace";
            return Ok(Judged::Dropped { why: "other_workspace", detail });
        }
        let cached = self.seen.get(&owner.job).filter(|known| &known.state.job.workspace == workspace);
        let was_cached = cached.is_some();
        let known = match cached {
            Some(known) => Some(known),
            None => self.jobs.load(workspace, owner.job).await?,
        };
        let Some(known) = known else {
            return Ok(Judged::Dropped { why: "unknown_job", detail: "the workspace has no such job" });
        };
        if !is_on(&known, &self.platform.name()) {
            let detail = "the job does not run on this platform";
            return Ok(Judged::Dropped { why: "other_platform", detail });
        }
        let cause = told.cause.clone();
        let Some(snapshot) = signal.snapshot else {
            let known = if was_cached { self.reload(&known.state.job).await? } else { known };
            self.something_changed(&known, told.age, cause).await?;
            return Ok(Judged::Applied);
        };
        let job = known.state.job.clone();
        let snapshot = self.mask(&known.state).snapshot(snapshot);
        let kept = match self.told(known, &signal.run, snapshot.clone(), cause.clone()).await? {
            Kept::Refused | Kept::Elsewhere if was_cached => {
                // What we remember may be old: before a refusal counts, look.
                self.seen.forget(&job.id);
                let known = self.reload(&job).await?;
                self.told(known, &signal.run, snapshot, cause).await?
            }
            kept @ (Kept::Refused | Kept::Elsewhere | Kept::Recorded) => kept,
        };
        Ok(match kept {
            Kept::Recorded | Kept::Refused => Judged::Applied,
            Kept::Elsewhere => {
                let detail = "a run that carries the job's id is not where the job's config says";
                Judged::Dropped { why: "other_place", detail }
            }
        })
    }

    /// Records what a signal says of a run.
    async fn told(
        &self,
        known: Known,
        run: &RunKey,
        snapshot: Snapshot<SnapshotStatus>,
        cause: Option<String>,
    ) -> Result<Kept, Failure> {
        match &known.state.external {
            Some(ours) if !is_run(ours, run) => {
                tracing::debug!(job = %known.state.job.id, run = run.id, "a signal names another run than the job's");
                Ok(Kept::Refused)
            }
            Some(_) => self.tell(known, Snapshot { external: None, ..snapshot }, cause).await,
            None if known.state.is_finished() => Ok(Kept::Refused),
            None => self.introduce(known, run, snapshot, cause).await,
        }
    }

    /// The signal was faster than the answer to our call, or there was no answer.
    async fn introduce(
        &self,
        known: Known,
        run: &RunKey,
        snapshot: Snapshot<SnapshotStatus>,
        cause: Option<String>,
    ) -> Result<Kept, Failure> {
        let config = known.state.assigned.as_ref().map(|assigned| &assigned.dispatch.config);
        if !config.is_some_and(|config| self.platform.runs_there(config, run)) {
            return Ok(Kept::Elsewhere);
        }
        let job = known.state.job.clone();
        let external = self.named(run, &snapshot);
        let links = snapshot.links.clone();
        let unnamed = Snapshot { external: None, ..snapshot };
        let base = Base::Known(Box::new(known));
        match self.triggered(&job, external.clone(), links, base, cause.clone()).await? {
            Recorded::Appended { .. } | Recorded::AlreadySo(_) => {
                let known = self.reload(&job).await?;
                self.tell(known, unnamed, cause).await
            }
            // Accepted without a name: the first look that knows the run names it.
            Recorded::Refused(_, Some(known)) if known.state.external.is_none() => {
                self.tell(*known, Snapshot { external: Some(external), ..unnamed }, cause).await
            }
            Recorded::Refused(..) => Ok(Kept::Refused),
        }
    }

    async fn tell(
        &self,
        known: Known,
        snapshot: Snapshot<SnapshotStatus>,
        cause: Option<String>,
    ) -> Result<Kept, Failure> {
        let job = known.state.job.clone();
        match self.snapshot(&job, snapshot, Base::Known(Box::new(known)), cause).await? {
            Recorded::Appended { .. } => {
                // Others may have recorded facts between what we knew and this one: look next time.
                self.seen.forget(&job.id);
                Ok(Kept::Recorded)
            }
            Recorded::AlreadySo(known) => {
                self.seen.put(job.id, *known);
                Ok(Kept::Recorded)
            }
            Recorded::Refused(..) => Ok(Kept::Refused),
        }
    }

    /// The signal says only that something changed: look. What is over may run again, and what is about to be recorded is
    /// waited for.
    async fn something_changed(
        &self,
        known: &Known,
        age: Option<Duration>,
        cause: Option<String>,
    ) -> Result<(), Failure> {
        let Some(assigned) = &known.state.assigned else { return Ok(()) };
        let config = of_workspace(assigned.dispatch.config.clone(), &known.state.job.workspace);
        let run = match &known.state.phase {
            Phase::Running { .. } | Phase::Cancelling(_) => nameable_run(&known.state),
            Phase::Finished { .. } => known.state.external.clone(),
            Phase::Triggering { .. } | Phase::Unknown { .. } => match age {
                Some(age) if age < self.settings.stranger_grace => return Err(not_yet(age)),
                _ => None,
            },
            Phase::Requested | Phase::Held { .. } | Phase::Dispatched => None,
        };
        match run {
            Some(run) => self.look_at(&config, known, &run, cause).await,
            None => Ok(()),
        }
    }

    fn named(&self, run: &RunKey, snapshot: &Snapshot<SnapshotStatus>) -> ExternalRef {
        snapshot.external.clone().unwrap_or_else(|| ExternalRef {
            platform: self.platform.name(),
            host: run.host.clone(),
            scope: run.scope.clone(),
            id: run.id.clone(),
            attempt: snapshot.order.map_or(1, |order| order.attempt),
            url: snapshot.links.get("run").cloned(),
        })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kept {
    Recorded,
    Refused,
    /// The run is not where the job's config says.
    Elsewhere,
}

/// Ever more slowly: most runs of a busy repository are not ours.
pub(super) fn not_yet(age: Duration) -> Failure {
    later(age.max(STRANGER_PAUSE), "the run may be recorded in a moment")
}

fn is_on(known: &Known, platform: &Slug) -> bool {
    known.state.assigned.as_ref().is_some_and(|assigned| &assigned.dispatch.platform == platform)
}

/// Whether both name one run. Webhooks and answers may spell the scope differently.
fn is_run(external: &ExternalRef, run: &RunKey) -> bool {
    external.host.eq_ignore_ascii_case(&run.host)
        && external.scope.to_lowercase() == run.scope.to_lowercase()
        && external.id == run.id
}
