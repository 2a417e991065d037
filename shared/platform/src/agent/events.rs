//! Webhooks: what the platform tells of its own accord. A hint like any other look, judged by its order; never across the
//! border of a workspace.

use super::observe::nameable_run;
use super::runs::Owner;
use super::step::delta;
use super::{Agent, later};
use crate::platform::{Platform, PlatformEvent, RunKey, Signal};
use bus::{Base, BusError, Delivery, Failure, Known, Recorded, TriggerEvent};
use domain::job::{ExternalRef, Phase, Snapshot, SnapshotStatus};
use domain::token::Slug;
use std::time::Duration;

/// The first pause for a run that is not ours, or not yet.
const STRANGER_PAUSE: Duration = Duration::from_secs(2);

impl<P: Platform> Agent<P> {
    /// Takes in a webhook delivery.
    pub(super) async fn webhook(&self, event: &TriggerEvent, delivery: &Delivery) -> Result<(), Failure> {
        let attributes = &event.attributes;
        let payload = match event.payload(&self.bus).await {
            Ok(payload) => payload,
            Err(error @ BusError::Corrupt { .. }) => {
                self.drop_event(event, "unreadable", &error.to_string());
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        };
        let read = self.platform.read_event(&PlatformEvent {
            event_type: &attributes.event_type,
            source_kind: &attributes.sourcekind,
            data: &payload,
        });
        let signals = match read {
            Ok(signals) => signals,
            Err(not_readable) => {
                self.drop_event(event, "unreadable", &not_readable.reason);
                return Ok(());
            }
        };
        for signal in signals {
            self.signal(event, delivery, signal).await?;
        }
        Ok(())
    }

    async fn signal(&self, event: &TriggerEvent, delivery: &Delivery, signal: Signal) -> Result<(), Failure> {
        let workspace = &event.attributes.workspace;
        let owner = match signal.job {
            // The job is looked up in the workspace the delivery was let into: another one's jobs are not there.
            Some(job) => Some(Owner { workspace: workspace.clone(), job }),
            None => self.owner(&signal.run).await?,
        };
        let Some(owner) = owner else { return self.stranger(event, delivery) };
        if &owner.workspace != workspace {
            self.drop_event(event, "other_workspace", "the run belongs to another workspace");
            return Ok(());
        }
        let cached = self.seen.get(&owner.job).filter(|known| &known.state.job.workspace == workspace);
        let was_cached = cached.is_some();
        let known = match cached {
            Some(known) => Some(known),
            None => self.jobs.load(workspace, owner.job).await?,
        };
        let Some(known) = known else {
            self.drop_event(event, "unknown_job", "the workspace has no such job");
            return Ok(());
        };
        if !is_on(&known, &self.platform.name()) {
            self.drop_event(event, "other_platform", "the job does not run on this platform");
            return Ok(());
        }
        let cause = Some(format!("{} {}", event.attributes.source, event.attributes.id));
        let Some(snapshot) = signal.snapshot else {
            let known = if was_cached { self.reload(&known.state.job).await? } else { known };
            return self.something_changed(&known, delivery, cause).await;
        };
        let job = known.state.job.clone();
        let snapshot = self.mask(&known.state).snapshot(snapshot);
        match self.told(known, &signal.run, snapshot.clone(), cause.clone()).await? {
            Told::Refused if was_cached => {
                // What we remember may be old: before a refusal counts, look.
                self.seen.forget(&job.id);
                let known = self.reload(&job).await?;
                self.told(known, &signal.run, snapshot, cause).await?;
                Ok(())
            }
            Told::Refused | Told::Recorded => Ok(()),
        }
    }

    /// Records what a webhook says of a run.
    async fn told(
        &self,
        known: Known,
        run: &RunKey,
        snapshot: Snapshot<SnapshotStatus>,
        cause: Option<String>,
    ) -> Result<Told, Failure> {
        match &known.state.external {
            Some(ours) if !is_run(ours, run) => {
                tracing::debug!(job = %known.state.job.id, run = run.id, "a webhook names another run than the job's");
                Ok(Told::Refused)
            }
            Some(_) => self.tell(known, Snapshot { external: None, ..snapshot }, cause).await,
            None if known.state.is_finished() => Ok(Told::Refused),
            None => self.introduce(known, run, snapshot, cause).await,
        }
    }

    /// The webhook was faster than the answer to our call, or there was no answer.
    async fn introduce(
        &self,
        known: Known,
        run: &RunKey,
        snapshot: Snapshot<SnapshotStatus>,
        cause: Option<String>,
    ) -> Result<Told, Failure> {
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
            Recorded::Refused(..) => Ok(Told::Refused),
        }
    }

    async fn tell(
        &self,
        known: Known,
        snapshot: Snapshot<SnapshotStatus>,
        cause: Option<String>,
    ) -> Result<Told, Failure> {
        let job = known.state.job.clone();
        match self.snapshot(&job, snapshot, Base::Known(Box::new(known)), cause).await? {
            Recorded::Appended { .. } => {
                // Others may have recorded facts between what we knew and this one: look next time.
                self.seen.forget(&job.id);
                Ok(Told::Recorded)
            }
            Recorded::AlreadySo(known) => {
                self.seen.put(job.id, *known);
                Ok(Told::Recorded)
            }
            Recorded::Refused(..) => Ok(Told::Refused),
        }
    }

    /// The delivery says only that something changed: look. What is over may run again, and what is about to be recorded is
    /// waited for.
    async fn something_changed(
        &self,
        known: &Known,
        delivery: &Delivery,
        cause: Option<String>,
    ) -> Result<(), Failure> {
        let Some(config) = known.state.assigned.as_ref().map(|assigned| &assigned.dispatch.config) else {
            return Ok(());
        };
        let run = match &known.state.phase {
            Phase::Running { .. } | Phase::Cancelling(_) => nameable_run(&known.state),
            Phase::Finished { .. } => known.state.external.clone(),
            Phase::Triggering { .. } | Phase::Unknown { .. } => {
                let age = (self.clock.now() - delivery.published_at).to_std().unwrap_or_default();
                if age < self.settings.stranger_grace {
                    return Err(later(age.max(STRANGER_PAUSE), "the run may be recorded in a moment"));
                }
                None
            }
            Phase::Requested | Phase::Held { .. } | Phase::Dispatched => None,
        };
        match run {
            Some(run) => self.look_at(config, known, &run, cause).await,
            None => Ok(()),
        }
    }

    /// A run nobody knows: our own record of it may be on its way; else it is not ours.
    fn stranger(&self, event: &TriggerEvent, delivery: &Delivery) -> Result<(), Failure> {
        let age = self.clock.now() - delivery.published_at;
        if age >= delta(self.settings.stranger_grace) {
            self.drop_event(event, "stranger", "no job of ours has this run");
            return Ok(());
        }
        // Ever more slowly: most runs of a busy repository are not ours.
        Err(later(
            age.to_std().unwrap_or_default().max(STRANGER_PAUSE),
            "the run may be recorded in a moment",
        ))
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

    /// Nothing is lost by this: the delivery stays in `TRIGGERS` as it came.
    fn drop_event(&self, event: &TriggerEvent, why: &'static str, detail: &str) {
        let attributes = &event.attributes;
        metrics::counter!("platform_events_dropped_total", "platform" => self.platform.name().to_string(), "why" => why).increment(1);
        if why == "stranger" || why == "unknown_job" {
            tracing::debug!(delivery = attributes.id, event = attributes.event_type, "{detail}");
        } else {
            tracing::warn!(workspace = %attributes.workspace, delivery = attributes.id, event = attributes.event_type,
                "a webhook is not applied: {}", telemetry::redact(detail));
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    Recorded,
    Refused,
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
