//! Which targets this replica must look at again, and since when. It does not know why they changed.

use domain::id::DeploymentId;
use domain::target::TargetKey;
use domain::token::Slug;
use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant};

/// What is to be looked at again, by deployment.
#[derive(Debug, Default)]
pub(crate) struct Dirty {
    deployments: HashMap<DeploymentId, Marked>,
}

/// What is to be looked at again in one deployment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Marked {
    pub(crate) workspace: Slug,
    pub(crate) what: What,
    pub(crate) cause: String,
    overdue_at: Instant,
}

/// Which targets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum What {
    /// Those it has, and those it had.
    All,
    /// These.
    Targets(BTreeSet<TargetKey>),
}

impl What {
    fn join(&mut self, other: What) {
        match (self, other) {
            (What::All, _) => {}
            (what @ What::Targets(_), What::All) => *what = What::All,
            (What::Targets(mine), What::Targets(more)) => mine.extend(more),
        }
    }
}

impl Dirty {
    /// Marks targets. A hint is expected within `patience`; after that this replica looks by itself.
    pub(crate) fn mark(
        &mut self,
        (workspace, deployment): (&Slug, DeploymentId),
        what: What,
        cause: &str,
        now: Instant,
        patience: Duration,
    ) {
        let overdue_at = now + patience;
        match self.deployments.entry(deployment) {
            std::collections::hash_map::Entry::Occupied(mut marked) => {
                let marked = marked.get_mut();
                marked.what.join(what);
                if overdue_at < marked.overdue_at {
                    // What makes it be looked at is the cause.
                    marked.overdue_at = overdue_at;
                    marked.cause = cause.to_owned();
                }
            }
            std::collections::hash_map::Entry::Vacant(vacant) => {
                vacant.insert(Marked {
                    workspace: workspace.clone(),
                    what,
                    cause: cause.to_owned(),
                    overdue_at,
                });
            }
        }
    }

    /// Takes what is marked: whoever takes it looks at it, or marks it again.
    pub(crate) fn take(&mut self, deployment: DeploymentId) -> Option<Marked> {
        self.deployments.remove(&deployment)
    }

    /// Those for which no hint came in time.
    pub(crate) fn overdue(&self, now: Instant) -> Vec<(Slug, DeploymentId)> {
        let overdue = self.deployments.iter().filter(|(_, marked)| marked.overdue_at <= now);
        overdue.map(|(deployment, marked)| (marked.workspace.clone(), *deployment)).collect()
    }

    /// When the next becomes overdue.
    pub(crate) fn next_overdue(&self) -> Option<Instant> {
        self.deployments.values().map(|marked| marked.overdue_at).min()
    }

    pub(crate) fn len(&self) -> usize {
        self.deployments.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::id::{EnvironmentId, ResourceId, derive};

    fn target(name: &str) -> TargetKey {
        TargetKey {
            deployment: DeploymentId(derive(&["d"])),
            environment: EnvironmentId(derive(&["e"])),
            resource: ResourceId(derive(&[name])),
        }
    }

    #[test]
    fn marks_join_and_the_oldest_patience_counts() {
        let (mut dirty, start) = (Dirty::default(), Instant::now());
        let (workspace, deployment): (Slug, _) = ("acme".parse().unwrap(), target("a").deployment);
        let second = Duration::from_secs(1);
        for (name, at) in [("a", start), ("b", start + second)] {
            let what = What::Targets(BTreeSet::from([target(name)]));
            dirty.mark((&workspace, deployment), what, name, at, second);
        }
        assert_eq!(dirty.overdue(start), vec![]);
        assert_eq!(dirty.next_overdue(), Some(start + second));
        assert_eq!(dirty.overdue(start + second), vec![(workspace.clone(), deployment)]);
        let marked = dirty.take(deployment).unwrap();
        assert_eq!(marked.what, What::Targets(BTreeSet::from([target("a"), target("b")])));
        assert_eq!(marked.cause, "a");
        for (cause, patience) in [("some day", second), ("its time came", Duration::ZERO)] {
            let what = What::Targets(BTreeSet::from([target(cause)]));
            dirty.mark((&workspace, deployment), what, cause, start, patience);
        }
        assert_eq!(dirty.take(deployment).unwrap().cause, "its time came");
        assert_eq!((dirty.take(deployment), dirty.len()), (None, 0));
    }
}
