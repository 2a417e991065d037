//! Versions in time: which rules a version is older than is told by the order in which both came into the catalog, whoever's
//! clock wrote them.

use super::WorkspaceCatalog;
use crate::entity::{Record, Version};

impl WorkspaceCatalog {
    /// A version that comes or changes while a policy is there is not older than it, though the policy's instant be of a
    /// clock that is ahead.
    pub fn date(&self, before: Option<&Record<Version>>, version: &mut Record<Version>) {
        let Some(ruled) = self.policies().map(|policy| policy.meta.created_at).max() else { return };
        match before {
            None if version.known_since() < ruled => version.spec.known_since = Some(ruled),
            Some(before) if version.spec.content_since != before.spec.content_since => {
                version.spec.content_since = version.spec.content_since.max(Some(ruled));
            }
            None | Some(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::Timestamp;
    use crate::catalog::{Catalog, WorkspaceCatalog};
    use crate::entity::{Entity, Record, Version};
    use serde_json::{Value, json};

    fn at(second: u32) -> Timestamp {
        format!("2026-01-01T00:00:{second:02}Z").parse().unwrap()
    }

    fn entity(kind: &str, created: u32, spec: Value) -> Entity {
        let id = crate::id::derive(&[kind]);
        let meta = json!({ "id": id, "workspace": "acme", "name": kind, "createdAt": at(created), "updatedAt": at(created) });
        serde_json::from_value(json!({ "kind": kind, "meta": meta, "spec": spec })).unwrap()
    }

    fn version(created: u32, content_since: Option<u32>) -> Record<Version> {
        let spec = json!({ "deployment": crate::id::derive(&["d"]), "tag": "v1", "contentSince": content_since.map(at) });
        let Entity::Version(version) = entity("Version", created, spec) else { panic!("a version") };
        version
    }

    fn ruled_at(created: u32) -> Catalog {
        let mut catalog = Catalog::default();
        let policy = entity("Policy", created, json!({ "selector": "true", "rules": [] }));
        catalog.apply(&policy.key().to_string(), Some(&serde_json::to_vec(&policy).unwrap()), 1);
        catalog
    }

    fn workspace(catalog: &Catalog) -> &WorkspaceCatalog {
        catalog.workspace(&"acme".parse().unwrap()).expect("it has a policy")
    }

    #[test]
    fn what_comes_after_a_policy_is_not_older_than_it_whosever_clock_is_ahead() {
        for (policy, created, known) in [(20, 10, 20), (20, 30, 30), (20, 20, 20)] {
            let mut fresh = version(created, None);
            workspace(&ruled_at(policy)).date(None, &mut fresh);
            assert_eq!((fresh.known_since(), fresh.meta.created_at), (at(known), at(created)));
        }
    }

    #[test]
    fn a_change_is_dated_as_a_creation_is_and_what_is_not_changed_stays() {
        let before = version(1, None);
        for (changed, since) in [(Some(10), Some(20)), (Some(30), Some(30)), (None, None)] {
            let mut after = version(1, changed);
            workspace(&ruled_at(20)).date(Some(&before), &mut after);
            assert_eq!(after.spec.content_since, since.map(at));
            assert_eq!(after.known_since(), at(1));
        }
    }
}
