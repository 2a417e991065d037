//! `deploymentDependency` and the dependencies of a version: something else must run on the same resource first.

use super::ruling::Ruling;
use crate::Timestamp;
use crate::decision::{RuleInputs, Running};

/// What runs of one other deployment on the resource.
pub(super) struct Found {
    pub(super) running: Running,
    /// Since when it runs.
    pub(super) since: Option<Timestamp>,
    /// Why the expression says nothing of it.
    pub(super) error: Option<String>,
}

/// What runs on the resource, with what the expression says of each. One that will do is enough, since the first of them runs.
pub(super) fn judge(expression: &str, what: &str, found: Vec<Found>) -> Ruling {
    let error = found.iter().find_map(|it| Some((it.running.name.clone(), it.error.clone()?)));
    let since = found.iter().filter(|it| it.running.matches).filter_map(|it| it.since).min();
    let found: Vec<Running> = found.into_iter().map(|it| it.running).collect();
    let met = found.iter().find(|running| running.matches);
    let ruling = match (met, error) {
        (Some(met), _) => {
            let tag = met.tag.as_deref().unwrap_or("nothing");
            Ruling::allow(format!("{} runs {tag} on this resource", met.name), since)
        }
        (None, Some((name, error))) => {
            Ruling::error(format!("`{expression}` cannot be evaluated for {name}: {error}"))
        }
        (None, None) if found.is_empty() => Ruling::wait(format!("{what}; nothing runs here"), None),
        (None, None) => {
            let each = found.iter().map(|running| match &running.tag {
                Some(tag) => format!("{} {tag}", running.name),
                None => format!("no {}", running.name),
            });
            Ruling::wait(format!("{what}; here is {}", each.collect::<Vec<_>>().join(", ")), None)
        }
    };
    ruling.on(RuleInputs::Dependency { expression: expression.to_owned(), found })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decision::Verdict;
    use crate::id::{DeploymentId, derive};

    fn running(name: &str, tag: Option<&str>, matches: bool) -> Running {
        let deployment = DeploymentId(derive(&[name]));
        Running { deployment, name: name.to_owned(), tag: tag.map(str::to_owned), matches }
    }

    #[test]
    fn one_that_matches_is_enough_and_an_error_of_all_is_a_no() {
        let (db, cache) = (running("db", Some("v1"), true), running("cache", None, false));
        let check = |found: Vec<(Running, Option<String>)>, verdict, reason: &str| {
            let found = found.into_iter().map(|(running, error)| Found { running, since: None, error });
            let ruling = judge("x", "needs x", found.collect());
            assert_eq!((ruling.verdict, ruling.reason.as_str()), (verdict, reason));
        };
        let wait = Verdict::Wait { until: None };
        check(vec![], wait.clone(), "needs x; nothing runs here");
        check(vec![(cache.clone(), None)], wait, "needs x; here is no cache");
        let both = vec![(cache.clone(), Some("no such key".into())), (db, None)];
        check(both, Verdict::Allow, "db runs v1 on this resource");
        let broken = vec![(cache, Some("no such key".into()))];
        check(broken, Verdict::Deny, "`x` cannot be evaluated for cache: no such key");
    }
}
