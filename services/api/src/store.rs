//! Writing intent: compare-and-set on the entity's revision, times kept, audited, and visible to the writer's next read.
//! A freeze is confirmed only once everybody who is about to start something can know of it.

use std::sync::Arc;
use std::time::Duration;

use bus::catalog::CatalogFold;
use bus::topology::CATALOG;
use bus::{Bucket, Bus, CasError, Freezes, clock, crash_point};
use domain::Timestamp;
use domain::audit::{Documents, Object};
use domain::entity::{CatalogKey, Entity, Freeze, Kind, Record};
use domain::freeze;
use domain::token::Slug;
use serde::Serialize;

use crate::audit::{self, Deed};
use crate::audited;
use crate::caller::Caller;
use crate::lookup::Lookup;
use crate::names::Names;
use crate::problem::Problem;
use crate::rest::etag::Precondition;

/// How often a write is tried against other writers.
const TRIES: u32 = 8;
/// How long an answer waits for our own fold to see the write.
const SEEN_WITHIN: Duration = Duration::from_secs(2);

/// The catalog, to write.
pub(crate) struct Store {
    bus: Bus,
    bucket: Bucket,
    freezes: Freezes,
    fold: Arc<CatalogFold>,
    pub(crate) names: Names,
}

/// What a write did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Action {
    /// It was not there.
    Created,
    /// It was different.
    Updated,
    /// It was as it should be: nothing was written.
    Unchanged,
}

/// Whether a write is only tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// For real.
    Write,
    /// For real, as a person's word: a skip that holds no more, because its policy was changed, begins anew by it.
    Say,
    /// Nothing is written.
    DryRun,
}

/// What became of a write.
#[derive(Debug, Clone)]
pub(crate) struct Written {
    pub(crate) action: Action,
    pub(crate) before: Option<Entity>,
    pub(crate) after: Entity,
    /// The revision that holds `after`; 0 for something a dry run would create.
    pub(crate) revision: u64,
}

impl Store {
    pub(crate) fn new(bus: Bus, fold: Arc<CatalogFold>) -> Self {
        let (bucket, freezes) = (bus.bucket(&CATALOG), Freezes::new(&bus));
        let names = Names::new(&bus, Arc::clone(&fold));
        Self { bus, bucket, freezes, fold, names }
    }

    /// The entity of the key as the bus has it now, and its revision.
    pub(crate) async fn read(&self, key: &CatalogKey) -> Result<Option<(Entity, u64)>, Problem> {
        Ok(self.bucket.get_json(&key.to_string()).await?)
    }

    /// Makes the entity of the key what `desire` makes of it. `desire` is asked again when somebody else was first.
    pub(crate) async fn write(
        &self,
        caller: &Caller,
        key: &CatalogKey,
        mode: Mode,
        desire: impl FnMut(Option<&Entity>) -> Result<Entity, Problem> + Send,
    ) -> Result<Written, Problem> {
        self.write_if(caller, key, mode, &Precondition::default(), desire).await
    }

    /// As [`Store::write`], as long as what is there is what the client expects.
    pub(crate) async fn write_if(
        &self,
        caller: &Caller,
        key: &CatalogKey,
        mode: Mode,
        precondition: &Precondition,
        mut desire: impl FnMut(Option<&Entity>) -> Result<Entity, Problem> + Send,
    ) -> Result<Written, Problem> {
        for _ in 0..TRIES {
            let (before, revision) = self.read(key).await?.unzip();
            precondition.check(revision)?;
            let now = clock::now();
            let mut after = desire(before.as_ref())?;
            self.date(before.as_ref(), &mut after);
            let is_over = before.as_ref().is_some_and(|before| self.is_over(before, mode, now));
            let action = settle_times(before.as_ref(), &mut after, now, is_over);
            if action == Action::Unchanged || mode == Mode::DryRun {
                if mode != Mode::DryRun {
                    // Whoever wrote it may have died before it could be noted.
                    self.note_freeze(&after, revision.unwrap_or(0)).await?;
                }
                return Ok(Written { action, before, after, revision: revision.unwrap_or(0) });
            }
            let held = self.names.hold(before.as_ref(), &after).await?;
            if held.as_ref().is_some_and(|held| !held.is_fresh()) {
                self.names.release(held).await;
                continue;
            }
            crash_point("api.catalog.before");
            let written = match revision {
                None => self.bucket.create_json(&key.to_string(), &after).await,
                Some(revision) => self.bucket.update_json(&key.to_string(), &after, revision).await,
            };
            crash_point("api.catalog.after");
            self.names.release(held).await;
            match written {
                Ok(new) => {
                    self.note_freeze(&after, new).await?;
                    let documents = changed(before.as_ref(), Some(&after));
                    self.audit(caller, action.verb(), &after, (revision, Some(new)), documents).await?;
                    return Ok(Written { action, before, after, revision: new });
                }
                Err(CasError::Conflict) => tracing::debug!(%key, "somebody else was first: looking again"),
                Err(CasError::Bus(error)) => return Err(error.into()),
            }
        }
        Err(CasError::Conflict.into())
    }

    fn date(&self, before: Option<&Entity>, after: &mut Entity) {
        let Entity::Version(after) = after else { return };
        let before = match before {
            Some(Entity::Version(before)) => Some(before),
            _ => None,
        };
        if let Some(workspace) = self.fold.read().workspace(&after.meta.workspace) {
            workspace.date(before, after);
        }
    }

    /// Whether it is a skip that holds no more, or a freeze that was thawed.
    fn is_over(&self, before: &Entity, mode: Mode, now: Timestamp) -> bool {
        if let Entity::Freeze(freeze) = before {
            return freeze.spec.thawed_by.is_some();
        }
        let Entity::Skip(skip) = before else { return false };
        if skip.spec.expires_at.is_some_and(|expires_at| expires_at <= now) {
            return true;
        }
        let catalog = self.fold.read();
        let policy = catalog.workspace(&skip.meta.workspace).and_then(|ws| ws.policy(skip.spec.policy));
        mode == Mode::Say && policy.is_some_and(|policy| skip.meta.created_at < policy.meta.updated_at)
    }

    /// Takes one entity back: deletes it, but for a freeze that has begun. That ends now, and its end is remembered for a
    /// while, because rollouts go from there.
    pub(crate) async fn withdraw(
        &self,
        caller: &Caller,
        entity: &Entity,
        revision: u64,
    ) -> Result<u64, Problem> {
        let Entity::Freeze(record) = entity else { return self.delete(caller, entity, revision).await };
        self.forget_thawed(&record.meta.workspace).await;
        let Some(thawed) = freeze::thawed(record, &caller.name, clock::now()) else {
            return self.delete(caller, entity, revision).await;
        };
        let thawed = Entity::Freeze(thawed);
        crash_point("api.catalog.before");
        let written = self.bucket.update_json(&entity.key().to_string(), &thawed, revision).await;
        crash_point("api.catalog.after");
        let after = written?;
        self.note_freeze(&thawed, after).await?;
        let documents = changed(Some(entity), Some(&thawed));
        self.audit(caller, "delete", entity, (Some(revision), Some(after)), documents).await?;
        Ok(after)
    }

    /// Deletes the freezes of the workspace that were thawed so long ago that no rollout asks for them. What stays this
    /// time goes the next.
    async fn forget_thawed(&self, workspace: &Slug) {
        let now = clock::now();
        let old: Vec<CatalogKey> = {
            let catalog = self.fold.read();
            let freezes = catalog.workspace(workspace).into_iter().flat_map(|ws| ws.freezes());
            let old =
                freezes.filter(|freeze| freeze.spec.thawed_by.is_some() && freeze::is_forgotten(freeze, now));
            old.map(key_of).collect()
        };
        for key in old {
            if let Err(problem) = self.forget(&key, now).await {
                tracing::warn!(%key, ?problem, "a freeze that was thawed long ago stays");
            }
        }
    }

    /// It may have been declared anew since our fold saw it.
    async fn forget(&self, key: &CatalogKey, now: Timestamp) -> Result<(), Problem> {
        let Some((Entity::Freeze(freeze), revision)) = self.read(key).await? else { return Ok(()) };
        if freeze.spec.thawed_by.is_some() && freeze::is_forgotten(&freeze, now) {
            self.bucket.delete_at(&key.to_string(), revision).await?;
            tracing::info!(%key, "forgot a freeze that was thawed long ago");
        }
        Ok(())
    }

    /// Deletes the entity of the key, if it is still of that revision.
    pub(crate) async fn delete(
        &self,
        caller: &Caller,
        entity: &Entity,
        revision: u64,
    ) -> Result<u64, Problem> {
        crash_point("api.catalog.before");
        let deleted = self.bucket.delete_at(&entity.key().to_string(), revision).await;
        crash_point("api.catalog.after");
        let after = deleted?;
        self.note_freeze(entity, after).await?;
        let documents = changed(Some(entity), None);
        self.audit(caller, "delete", entity, (Some(revision), Some(after)), documents).await?;
        Ok(after)
    }

    /// Waits until the caller's next read sees the revision.
    pub(crate) async fn seen(&self, revision: u64) {
        if revision > 0 && !self.fold.wait_for(revision, SEEN_WITHIN).await {
            tracing::warn!(revision, "the fold of the catalog lags behind our own write");
        }
    }

    /// Notes a change of a freeze where it is looked for before anything starts.
    async fn note_freeze(&self, entity: &Entity, revision: u64) -> Result<(), Problem> {
        if entity.kind() != Kind::Freeze {
            return Ok(());
        }
        crash_point("api.freeze.before");
        let noted = self.freezes.note(&entity.meta().workspace, revision).await;
        crash_point("api.freeze.after");
        Ok(noted?)
    }

    async fn audit(
        &self,
        caller: &Caller,
        action: &str,
        entity: &Entity,
        (before, after): (Option<u64>, Option<u64>),
        documents: Documents,
    ) -> Result<(), Problem> {
        let meta = entity.meta();
        let object = Object {
            kind: entity.kind().name().to_owned(),
            id: meta.id.to_string(),
            name: audited::called(&Lookup::new(Arc::clone(&self.fold)), entity),
        };
        let deed = Deed { action, workspace: &meta.workspace, object, before, after, documents };
        audit::note(&self.bus, caller, deed).await
    }
}

fn key_of(freeze: &Record<Freeze>) -> CatalogKey {
    CatalogKey { workspace: freeze.meta.workspace.clone(), kind: Kind::Freeze, id: freeze.meta.id }
}

/// What is different between the two states, but for times, which are ours.
fn changed(before: Option<&Entity>, after: Option<&Entity>) -> Documents {
    let state = |entity: &Entity| {
        let mut state = serde_json::to_value(entity).unwrap_or_default();
        if let Some(serde_json::Value::Object(meta)) = state.get_mut("meta") {
            meta.remove("createdAt");
            meta.remove("updatedAt");
        }
        state
    };
    Documents::between(before.map(state), after.map(state))
}

impl Action {
    fn verb(self) -> &'static str {
        match self {
            Action::Created => "create",
            Action::Updated => "update",
            Action::Unchanged => "keep",
        }
    }
}

/// Keeps the time of creation, and all times when nothing else changed. A skip that is over begins anew, since when its
/// rule counts as satisfied is its creation; so does a freeze that was thawed.
fn settle_times(before: Option<&Entity>, after: &mut Entity, now: Timestamp, is_over: bool) -> Action {
    let Some(before) = before else {
        after.meta_mut().updated_at = now;
        return Action::Created;
    };
    let times = before.meta();
    let meta = after.meta_mut();
    (meta.created_at, meta.updated_at) = (times.created_at, times.updated_at);
    if before == after && !is_over {
        return Action::Unchanged;
    }
    let meta = after.meta_mut();
    meta.updated_at = now;
    if is_over {
        meta.created_at = now;
    }
    Action::Updated
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeDelta;
    use domain::entity::{Meta, Record, Skip, System};
    use domain::id::{PolicyId, VersionId};
    use std::collections::BTreeMap;

    fn system(at: Timestamp, description: &str) -> Entity {
        let meta = Meta {
            id: uuid::Uuid::nil(),
            workspace: "acme".parse().unwrap(),
            name: "shop".into(),
            metadata: BTreeMap::new(),
            created_at: at,
            updated_at: at,
        };
        Entity::System(Record { meta, spec: System { description: Some(description.into()) } })
    }

    #[test]
    fn times_alone_are_no_change_and_creation_is_kept() {
        let born: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let now = born + TimeDelta::days(1);
        let before = system(born, "one");

        let mut same = system(now, "one");
        assert_eq!(settle_times(Some(&before), &mut same, now, false), Action::Unchanged);
        assert_eq!(same, before);

        let mut other = system(now, "two");
        assert_eq!(settle_times(Some(&before), &mut other, now, false), Action::Updated);
        assert_eq!((other.meta().created_at, other.meta().updated_at), (born, now));

        let mut fresh = system(born, "one");
        assert_eq!(settle_times(None, &mut fresh, now, false), Action::Created);
        assert_eq!((fresh.meta().created_at, fresh.meta().updated_at), (born, now));
    }

    #[test]
    fn a_skip_that_is_over_begins_anew() {
        let born: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let skip = |at: Timestamp, expires_at: Timestamp| {
            let Entity::System(Record { meta, .. }) = system(at, "") else { panic!("a system") };
            let spec = Skip {
                policy: PolicyId(meta.id),
                rule: "anyApproval".into(),
                rule_index: None,
                version: VersionId(meta.id),
                environment: None,
                resource: None,
                expires_at: Some(expires_at),
                reason: "hotfix".into(),
                created_by: "ann".into(),
            };
            Entity::Skip(Record { meta, spec })
        };
        let hour = TimeDelta::hours(1);
        for (now, began) in [(born + hour / 2, born), (born + hour, born + hour)] {
            let mut longer = skip(now, now + hour);
            let is_over = began == now;
            let action = settle_times(Some(&skip(born, born + hour)), &mut longer, now, is_over);
            assert_eq!(action, Action::Updated);
            assert_eq!((longer.meta().created_at, longer.meta().updated_at), (began, now));
        }
    }
}
