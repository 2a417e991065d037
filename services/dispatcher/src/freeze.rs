//! What a freeze does to a job: it is not dispatched, holds no slot, and is looked at again whenever a freeze comes, goes,
//! begins or ends. A freeze that was confirmed before a job is looked at is known here when it is.

use crate::frozen::Noted;
use crate::handler::{Dispatcher, note};
use bus::{Base, BusError, Failure, Recorded, crash_point};
use domain::Timestamp;
use domain::catalog::WorkspaceCatalog;
use domain::freeze;
use domain::id::JobId;
use domain::job::{HeldWhy, JobFact, JobRef, Phase};
use domain::token::Slug;
use futures::StreamExt as _;
use std::collections::BTreeSet;
use tracing::{error, info, warn};

/// So many frozen jobs are looked at at once: each look is a few round trips.
const LOOKS_AT_ONCE: usize = 32;

/// How much of the freezes a dispatch has seen.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Seen {
    /// The last change of a freeze, as a revision of the catalog.
    pub(crate) changed_at: u64,
    /// When the next one begins by time alone.
    pub(crate) begins_at: Option<Timestamp>,
}

/// What freezes say of a job at one instant: one that begins is either on or to come, and never neither.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Look {
    /// Why it is held, if a freeze holds it.
    pub(crate) held: Option<HeldWhy>,
    /// When the next one begins by time alone.
    pub(crate) begins_at: Option<Timestamp>,
}

/// Looks at the freezes now. What cannot be told holds the job, too. Verifications start nothing.
pub(crate) fn look(workspace: &WorkspaceCatalog, job: &JobRef, now: Timestamp) -> Look {
    Look { held: holds(workspace, job, now), begins_at: freeze::next_begin(workspace, now) }
}

fn holds(workspace: &WorkspaceCatalog, job: &JobRef, now: Timestamp) -> Option<HeldWhy> {
    match freeze::of_job(workspace, job, now) {
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
        if !job.purpose.may_be_frozen() {
            return Ok(0);
        }
        let changed_at = self.freezes.changed_at(&job.workspace).await?;
        self.see_catalog(changed_at).await?;
        Ok(changed_at)
    }

    /// Holds a job. It is noted before the fact, so that no thaw can miss it. Answers who got a slot by that, and the job
    /// itself where it thawed meanwhile.
    pub(crate) async fn freeze(
        &self,
        job: &JobRef,
        base: Base,
        why: HeldWhy,
        now: Timestamp,
    ) -> Result<Vec<JobId>, Failure> {
        if is_held_so(&base, &why) {
            self.frozen.keep(&job.workspace, job.id, now).await?;
        } else {
            self.frozen.put(&job.workspace, job.id, now).await?;
        }
        crash_point("dispatcher.frozen.before");
        let recorded = self.bus.jobs().record(job, JobFact::Held { why }, base, None).await?;
        crash_point("dispatcher.frozen.after");
        note(job, "held: frozen", &recorded);
        match recorded {
            Recorded::Appended { .. } | Recorded::AlreadySo(_) => {
                let mut got = self.release(job).await?;
                // A thaw that came between the look and the fact found nothing held. So this is another look.
                if self.is_thawed(job, self.clock.now()) {
                    got.push(job.id);
                }
                Ok(got)
            }
            Recorded::Refused(..) => self.give_back(job).await,
        }
    }

    /// Looks again at every job of the workspace that a freeze holds, several at once. Jobs that no freeze can hold any more
    /// leave the list. One that cannot be looked at keeps no other from it; the failure is told in the end, if trying
    /// again may help. A history that cannot be read is another matter: what is wrong with it is a dead letter, and the job
    /// stays in the list until somebody mends it.
    pub(crate) async fn look_at_frozen(&self, workspace: &Slug) -> Result<(), Failure> {
        let mut failed = None;
        let looks = futures::stream::iter(self.frozen.of(workspace).await?)
            .map(|noted| async move { (noted.job, self.look_or_forget(workspace, noted).await) });
        let mut looks = std::pin::pin!(looks.buffer_unordered(LOOKS_AT_ONCE));
        while let Some((job, looked)) = looks.next().await {
            match looked {
                Ok(()) => {}
                Err(failure @ (Failure::Retry(_) | Failure::Later { .. })) => {
                    warn!(%job, %failure, "a frozen job could not be looked at");
                    failed = Some(failure);
                }
                Err(failure @ Failure::Reject(_)) => {
                    metrics::counter!("dispatcher_frozen_jobs_unreadable_total").increment(1);
                    error!(%job, %failure, "a frozen job cannot be looked at until somebody mends it");
                }
            }
        }
        failed.map_or(Ok(()), Err)
    }

    async fn look_or_forget(&self, workspace: &Slug, noted: Noted) -> Result<(), Failure> {
        if !self.look_again(workspace, noted.job).await? {
            self.frozen.forget(workspace, noted).await?;
        }
        Ok(())
    }

    /// Whether a freeze may hold it yet.
    async fn look_again(&self, workspace: &Slug, id: JobId) -> Result<bool, Failure> {
        let known = self.bus.jobs().load(workspace, id).await.map_err(sorted)?;
        let Some(known) = known else { return Ok(false) };
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

    fn is_thawed(&self, job: &JobRef, now: Timestamp) -> bool {
        let catalog = self.catalog.read();
        let thawed =
            catalog.workspace(&job.workspace).is_none_or(|workspace| holds(workspace, job, now).is_none());
        if thawed {
            info!(job = %job.id, "thawed meanwhile");
        }
        thawed
    }
}

/// Trying again helps only where it may pass.
fn sorted(error: BusError) -> Failure {
    if error.is_transient() { error.into() } else { Failure::Reject(error.to_string()) }
}

/// Whether its history says the same already.
fn is_held_so(base: &Base, why: &HeldWhy) -> bool {
    match base {
        Base::Known(known) => {
            matches!(&known.state.phase, Phase::Held { why: known_why } if known_why == why)
        }
        Base::New | Base::Only | Base::After(_) | Base::Look => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeDelta;
    use domain::catalog::Catalog;
    use domain::entity::{CatalogKey, Kind};
    use domain::id::{DeploymentId, EnvironmentId, FreezeId, JobId, ReleaseId, ResourceId, VersionId};
    use domain::target::TargetKey;
    use serde_json::{Value, json};
    use uuid::Uuid;

    fn acme() -> Slug {
        "acme".parse().unwrap()
    }

    fn put(catalog: &mut Catalog, kind: Kind, id: Uuid, spec: &Value) {
        let at = "2026-03-01T12:00:00Z";
        let meta = json!({ "id": id, "workspace": "acme", "name": "n", "createdAt": at, "updatedAt": at });
        let entity = json!({ "kind": kind.name(), "spec": spec, "meta": meta });
        let key = CatalogKey { workspace: acme(), kind, id }.to_string();
        let revision = catalog.revision() + 1;
        assert_eq!(catalog.apply(&key, Some(entity.to_string().as_bytes()), revision).broken, None);
    }

    #[test]
    fn a_freeze_that_begins_is_on_or_to_come_at_every_instant() {
        let begins: Timestamp = "2026-03-01T13:00:00Z".parse().unwrap();
        let (deployment, environment, resource) = (
            DeploymentId::of(&acme(), "web"),
            EnvironmentId::of(&acme(), "production"),
            ResourceId::of(&acme(), "eu-1"),
        );
        let mut catalog = Catalog::default();
        put(&mut catalog, Kind::Deployment, deployment.0, &json!({ "slug": "web", "systems": [] }));
        let selects = json!({ "systems": [], "resourceSelector": "true" });
        put(&mut catalog, Kind::Environment, environment.0, &selects);
        put(&mut catalog, Kind::Resource, resource.0, &json!({ "identifier": "eu-1" }));
        let freeze = json!({ "selector": "true", "reason": "night", "owner": "ann", "from": begins });
        put(&mut catalog, Kind::Freeze, FreezeId::of(&acme(), "night").0, &freeze);
        let job = JobRef {
            workspace: acme(),
            id: JobId(Uuid::nil()),
            target: TargetKey { deployment, environment, resource },
            version: VersionId(Uuid::nil()),
            tag: "v1".into(),
            release: ReleaseId(Uuid::nil()),
            attempt: 1,
            deployment: "web".parse().unwrap(),
            environment: "production".parse().unwrap(),
            purpose: Default::default(),
            content: None,
        };
        let workspace = catalog.workspace(&acme()).unwrap();
        let nanosecond = TimeDelta::nanoseconds(1);
        for (now, on) in [(begins - nanosecond, false), (begins, true), (begins + nanosecond, true)] {
            let Look { held, begins_at } = look(workspace, &job, now);
            assert_eq!((held.is_some(), begins_at), (on, (!on).then_some(begins)), "{now}");
        }
    }
}
