//! What happened in one workspace, in the order in which it was stored.

use super::reading::Limits;
use super::remembered;
use super::report::{Cut, Unreadable};
use crate::Timestamp;
use crate::decision::TargetDecision;
use crate::entity::{CatalogKey, Entity};
use crate::job::JobEvent;
use crate::target::TargetKey;
use std::collections::BTreeMap;

/// One change of the catalog.
#[derive(Debug, Clone, PartialEq)]
pub struct CatalogMoment {
    /// When it was stored.
    pub at: Timestamp,
    /// Its revision.
    pub revision: u64,
    /// Its key.
    pub key: String,
    /// Its value; `None`: it was deleted.
    pub value: Option<Vec<u8>>,
}

/// One fact of a job.
#[derive(Debug, Clone, PartialEq)]
pub struct JobMoment {
    /// When it was stored.
    pub at: Timestamp,
    /// Its sequence.
    pub sequence: u64,
    /// What happened.
    pub event: JobEvent,
}

/// Everything that is known to have happened.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Past {
    moments: Vec<(Timestamp, Moment)>,
    /// What ran before the oldest fact that is kept.
    remembered: BTreeMap<TargetKey, TargetDecision>,
    pub(super) extent: Extent,
}

/// How much of what happened it is.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Extent {
    /// When the oldest fact that is kept was stored.
    pub(super) oldest_fact: Option<Timestamp>,
    /// How many facts are left out because a later one of the job says what they said.
    pub(super) folded: u64,
    pub(super) unreadable: Unreadable,
    pub(super) cut: Option<Cut>,
    pub(super) limits: Limits,
}

/// One thing that happened.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Moment {
    Catalog { revision: u64, key: String, value: Option<Vec<u8>> },
    Job(Box<JobEvent>),
}

impl Past {
    /// From what is kept of catalog and facts, each in its own order. Of one instant the catalog comes first.
    ///
    /// Of a key that was written `revisions_kept` times or more the first ones are lost: its oldest kept value is taken
    /// to have been there since its creation.
    pub fn of(catalog: Vec<CatalogMoment>, jobs: Vec<JobMoment>, revisions_kept: usize) -> Self {
        let begins = beginnings(&catalog, revisions_kept);
        let oldest_fact = jobs.iter().map(|fact| fact.at).min();
        let changes = catalog.into_iter().map(|change| {
            let CatalogMoment { at, revision, key, value } = change;
            let at = begins.get(&revision).map_or(at, |created| at.min(*created));
            (at, 0, revision, Moment::Catalog { revision, key, value })
        });
        let facts =
            jobs.into_iter().map(|fact| (fact.at, 1, fact.sequence, Moment::Job(Box::new(fact.event))));
        let mut all: Vec<_> = changes.chain(facts).collect();
        all.sort_by_key(|(at, source, sequence, _)| (*at, *source, *sequence));
        let moments = all.into_iter().map(|(at, _, _, moment)| (at, moment)).collect();
        Self { moments, remembered: BTreeMap::new(), extent: Extent { oldest_fact, ..Extent::default() } }
    }

    /// The same, beginning with what the decisions of today remember of what ran before the oldest fact. Without facts there is
    /// nothing to be judged.
    #[must_use]
    pub fn remembering<'d>(self, decisions: impl IntoIterator<Item = &'d TargetDecision>) -> Self {
        let Some(begin) = self.extent.oldest_fact else { return self };
        Self { remembered: remembered::before(begin, decisions), ..self }
    }

    /// The past up to where it is cut, and what is to be told of it.
    pub(super) fn within(mut self, extent: Extent) -> Self {
        if let Some(cut) = &extent.cut {
            self.moments.retain(|(at, _)| *at < cut.at);
        }
        Self { extent, ..self }
    }

    /// The creation of the entity as its kept values tell it, at the earliest.
    pub(super) fn created_at(&self, key: &CatalogKey) -> Option<Timestamp> {
        let key = key.to_string();
        let values = self.moments.iter().filter_map(|(_, moment)| match moment {
            Moment::Catalog { key: of, value, .. } if *of == key => value.as_deref(),
            Moment::Catalog { .. } | Moment::Job(_) => None,
        });
        values.filter_map(created).min()
    }

    pub(super) fn into_parts(
        self,
    ) -> (Vec<(Timestamp, Moment)>, BTreeMap<TargetKey, TargetDecision>, Extent) {
        (self.moments, self.remembered, self.extent)
    }
}

/// The oldest kept revisions of keys whose beginning is lost, with the creation of what they hold.
fn beginnings(catalog: &[CatalogMoment], revisions_kept: usize) -> BTreeMap<u64, Timestamp> {
    let mut kept: BTreeMap<&str, (usize, &CatalogMoment)> = BTreeMap::new();
    for change in catalog {
        let (count, first) = kept.entry(&change.key).or_insert((0, change));
        *count += 1;
        if change.revision < first.revision {
            *first = change;
        }
    }
    let lost = kept.into_values().filter(|(count, _)| *count >= revisions_kept);
    lost.filter_map(|(_, first)| Some((first.revision, created(first.value.as_deref()?)?))).collect()
}

fn created(value: &[u8]) -> Option<Timestamp> {
    // What cannot be read is told by the fold of the catalog.
    serde_json::from_slice::<Entity>(value).ok().map(|entity| entity.meta().created_at)
}
