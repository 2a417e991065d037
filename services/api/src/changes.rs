//! What of an entity is ours and not the caller's: who created a version, from which event, and whose word an approval is.

use domain::entity::{Entity, Metadata};
use domain::id::ApprovalId;

use crate::caller::Caller;

/// Who created a version: the key's name, or what made it from an event. Rules read it (self approval).
pub(crate) const CREATED_BY: &str = "createdBy";
/// The delivery a version was born from.
pub(crate) const DELIVERY: &str = "ctrlplane/delivery";

/// The entity as the caller declares it, with what is ours as it was or as it is now. Nobody can approve in another's
/// name, or hide that a version is their own.
pub(crate) fn declared(caller: &Caller, before: Option<&Entity>, mut after: Entity) -> Entity {
    match &mut after {
        Entity::Version(version) => {
            let metadata = &mut version.meta.metadata;
            let was = before.map(|before| &before.meta().metadata);
            keep(metadata, was, DELIVERY);
            keep(metadata, was, CREATED_BY);
            if was.is_none() {
                metadata.insert(CREATED_BY.to_owned(), caller.name.clone());
            }
        }
        Entity::Approval(approval) => {
            let spec = &mut approval.spec;
            spec.user.clone_from(&caller.name);
            approval.meta.id = ApprovalId::of(spec.version, spec.environment, &spec.user).0;
            if let Some(Entity::Approval(before)) = before {
                let said = (&before.spec.user, before.spec.status, &before.spec.reason);
                if said == (&spec.user, spec.status, &spec.reason) {
                    spec.at = before.spec.at;
                }
            }
        }
        Entity::Workspace(_)
        | Entity::System(_)
        | Entity::Environment(_)
        | Entity::Resource(_)
        | Entity::JobAgent(_)
        | Entity::Deployment(_)
        | Entity::Policy(_)
        | Entity::TriggerSource(_)
        | Entity::Trigger(_)
        | Entity::Skip(_)
        | Entity::Freeze(_)
        | Entity::Pin(_)
        | Entity::Redeploy(_)
        | Entity::RolloutControl(_)
        | Entity::VariableSet(_)
        | Entity::RelationshipRule(_) => {}
    }
    after
}

fn keep(metadata: &mut Metadata, was: Option<&Metadata>, key: &str) {
    match was.and_then(|was| was.get(key)) {
        Some(value) => metadata.insert(key.to_owned(), value.clone()),
        None => metadata.remove(key),
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::Role;
    use domain::Timestamp;
    use domain::entity::{Approval, ApprovalStatus, Meta, Record, Version, VersionStatus};
    use domain::id::{DeploymentId, EnvironmentId, VersionId};
    use uuid::Uuid;

    fn caller(name: &str) -> Caller {
        Caller { name: name.into(), role: Role::Admin, workspace: None }
    }

    fn meta(metadata: &[(&str, &str)]) -> Meta {
        let at: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let metadata = metadata.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        Meta {
            id: Uuid::nil(),
            workspace: "acme".parse().unwrap(),
            name: "n".into(),
            metadata,
            created_at: at,
            updated_at: at,
        }
    }

    fn version(metadata: &[(&str, &str)]) -> Entity {
        let spec = Version {
            deployment: DeploymentId(Uuid::nil()),
            tag: "1".into(),
            status: VersionStatus::Ready,
            config: Default::default(),
            job_agent_config: Default::default(),
            dependencies: Default::default(),
        };
        Entity::Version(Record { meta: meta(metadata), spec })
    }

    fn approval(user: &str, at: &str) -> Entity {
        let spec = Approval {
            version: VersionId(Uuid::nil()),
            environment: EnvironmentId(Uuid::nil()),
            user: user.into(),
            status: ApprovalStatus::Approved,
            reason: None,
            at: at.parse().unwrap(),
        };
        Entity::Approval(Record { meta: meta(&[]), spec })
    }

    #[test]
    fn nobody_hides_that_a_version_is_their_own() {
        let claimed = [("createdBy", "somebody"), ("ctrlplane/delivery", "invented"), ("team", "web")];
        let fresh = declared(&caller("ann"), None, version(&claimed));
        assert_eq!(fresh, version(&[("createdBy", "ann"), ("team", "web")]));

        let born = version(&[("createdBy", "trigger"), ("ctrlplane/delivery", "d-1")]);
        let again = declared(&caller("bob"), Some(&born), version(&claimed));
        assert_eq!(
            again,
            version(&[("createdBy", "trigger"), ("ctrlplane/delivery", "d-1"), ("team", "web")])
        );
    }

    #[test]
    fn an_approval_is_the_word_of_the_key_and_saying_it_again_is_no_change() {
        let said = declared(&caller("ann"), None, approval("bob", "2026-01-01T00:00:00Z"));
        let Entity::Approval(record) = &said else { panic!("an approval stays one") };
        assert_eq!(record.spec.user, "ann");
        assert_eq!(record.meta.id, ApprovalId::of(record.spec.version, record.spec.environment, "ann").0);
        let again = declared(&caller("ann"), Some(&said), approval("ann", "2026-02-01T00:00:00Z"));
        assert_eq!(again, said);
    }
}
