//! Deleting: what belongs to an entity goes with it where that is asked for; what else names it keeps it there.

use std::collections::HashMap;

use domain::entity::{CatalogKey, Entity, Kind};
use domain::token::Slug;

use super::etag::Precondition;
use crate::caller::Caller;
use crate::context::App;
use crate::problem::{Fault, Problem};
use crate::references::{is_owned, references};

/// How many of those that still name an entity are told.
const REFERRERS_SHOWN: usize = 20;
/// References by which a thing needs another, and does not belong to it.
const NEEDS: &str = "spec.dependencies";

/// Who names whom in a workspace, read once.
pub(crate) struct Named {
    all: Vec<Entity>,
    /// By what is named: who names it, and whether it belongs to it.
    by: HashMap<CatalogKey, Vec<(usize, bool)>>,
}

impl Named {
    pub(crate) fn of(app: &App, workspace: &Slug) -> Self {
        let all = app.catalog.all(workspace);
        let mut by: HashMap<CatalogKey, Vec<(usize, bool)>> = HashMap::new();
        for (index, entity) in all.iter().enumerate() {
            for reference in references(entity, &app.catalog) {
                let belongs = is_owned(entity.kind()) && !reference.field.starts_with(NEEDS);
                by.entry(reference.to).or_default().push((index, belongs));
            }
        }
        Self { all, by }
    }

    /// What belongs to the entity (owners before what they own), and what else names it or what belongs to it.
    fn dependents(&self, entity: &Entity, cascade: bool) -> (Vec<&Entity>, Vec<&Entity>) {
        if entity.kind() == Kind::Workspace {
            return (Vec::new(), self.all.iter().filter(|other| other.kind() != Kind::Workspace).collect());
        }
        let (mut owned, mut referrers): (Vec<usize>, Vec<usize>) = (Vec::new(), Vec::new());
        let mut is_known = vec![false; self.all.len()];
        let (mut next, mut of) = (0, entity.key());
        loop {
            for (index, belongs) in self.by.get(&of).into_iter().flatten().copied() {
                let known = is_known.get_mut(index).filter(|known| !**known);
                let Some(known) = known else { continue };
                if cascade && belongs {
                    *known = true;
                    owned.push(index);
                } else {
                    referrers.push(index);
                }
            }
            let following = owned.get(next).and_then(|index| self.all.get(*index));
            let Some(following) = following else { break };
            of = following.key();
            next += 1;
        }
        // What names it and belongs to it as well goes with it.
        referrers.retain(|index| !owned.contains(index));
        referrers.sort_unstable();
        referrers.dedup();
        let entities =
            |indexes: Vec<usize>| indexes.into_iter().filter_map(|index| self.all.get(index)).collect();
        (entities(owned), entities(referrers))
    }

    /// Deletes the entity, and with `cascade` what belongs to it. Tells how many went, and the last revision.
    pub(crate) async fn remove(
        &self,
        app: &App,
        caller: &Caller,
        entity: &Entity,
        cascade: bool,
        precondition: &Precondition,
    ) -> Result<(usize, u64), Problem> {
        let (owned, referrers) = self.dependents(entity, cascade);
        precondition.check(app.store.read(&entity.key()).await?.map(|(_, revision)| revision))?;
        if !referrers.is_empty() {
            return Err(still_named(entity, &referrers));
        }
        let mut last = 0;
        // What belongs to another goes before it, so that nothing is ever left without its owner.
        for gone in owned.iter().rev().copied().chain([entity]) {
            // Gone meanwhile is as good.
            if let Some((stored, at)) = app.store.read(&gone.key()).await? {
                let revision = if gone.key() == entity.key() {
                    precondition.check(Some(at))?;
                    app.store.withdraw(caller, &stored, at).await?
                } else {
                    app.store.delete(caller, &stored, at).await?
                };
                last = last.max(revision);
            }
        }
        Ok((owned.len() + 1, last))
    }
}

/// Deletes the entity, and with `cascade` what belongs to it. Tells how many went.
pub(crate) async fn remove(
    app: &App,
    caller: &Caller,
    entity: &Entity,
    cascade: bool,
    precondition: &Precondition,
) -> Result<usize, Problem> {
    let named = Named::of(app, &entity.meta().workspace);
    let (count, revision) = named.remove(app, caller, entity, cascade, precondition).await?;
    app.store.seen(revision).await;
    Ok(count)
}

fn still_named(entity: &Entity, referrers: &[&Entity]) -> Problem {
    let count = referrers.len();
    let faults = referrers.iter().take(REFERRERS_SHOWN).map(|other| Fault {
        message: format!("{} {} ({})", other.kind().name(), other.meta().name, other.meta().id),
        ..Fault::default()
    });
    let (kind, name) = (entity.kind().name(), &entity.meta().name);
    let hint = if referrers.iter().all(|other| is_owned(other.kind())) {
        "; `cascade` deletes them too"
    } else {
        ""
    };
    Problem::conflict(format!("{kind} {name} is still named by {count}{hint}")).with(faults.collect())
}
