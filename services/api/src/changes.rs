//! What of an entity is ours and not the caller's: who created a version, from which event, and whose word it is that an
//! approval, a skip, a pin, a redeployment or a pause of a rollout is.

use domain::Timestamp;
use domain::entity::{
    Approval, Entity, Metadata, Pin, Record, Redeploy, RolloutAction, RolloutControl, Skip,
};
use domain::id::{ApprovalId, PinId, RedeployId, RolloutControlId, SkipId};

use crate::caller::Caller;

/// Who created a version: the key's name, or what made it from an event. Rules read it (self approval).
pub(crate) const CREATED_BY: &str = "createdBy";
/// The delivery a version was born from.
pub(crate) const DELIVERY: &str = "ctrlplane/delivery";
/// Why somebody rejected a version.
pub(crate) const REASON: &str = "ctrlplane/reason";

/// The entity as the caller declares it, with what is ours as it was or as it is now. Nobody can approve in another's
/// name or at another time, or hide that a version is their own.
pub(crate) fn declared(
    caller: &Caller,
    before: Option<&Entity>,
    mut after: Entity,
    now: Timestamp,
) -> Entity {
    match &mut after {
        Entity::Version(version) => {
            let metadata = &mut version.meta.metadata;
            let was = before.map(|before| &before.meta().metadata);
            keep(metadata, was, DELIVERY);
            keep(metadata, was, CREATED_BY);
            if was.is_none() {
                metadata.insert(CREATED_BY.to_owned(), caller.name.clone());
            }
            if let Some(Entity::Version(before)) = before {
                version.spec.known_since = before.spec.known_since;
                version.spec.content_since = before.spec.content_since;
                version.spec.edited_by.clone_from(&before.spec.edited_by);
                if !version.has_content_of(before) {
                    version.spec.content_since = Some(now);
                    version.spec.edited_by.insert(caller.name.clone());
                }
            } else {
                version.spec.known_since = Some(now).filter(|now| *now != version.meta.created_at);
                version.spec.content_since = None;
                version.spec.edited_by.clear();
            }
        }
        Entity::Approval(approval) => {
            let spec = &mut approval.spec;
            spec.user.clone_from(&caller.name);
            spec.role = caller.grants.role_in(&approval.meta.workspace);
            spec.at = now;
            approval.meta.id = ApprovalId::of(spec.version, spec.environment, &spec.user).0;
        }
        Entity::Skip(skip) => {
            skip.meta.id = SkipId::of(&skip.spec).0;
            skip.spec.created_by.clone_from(&caller.name);
            if let Some(Entity::Skip(before)) = before {
                let by = before.spec.created_by.clone();
                if before.spec == (Skip { created_by: by.clone(), ..skip.spec.clone() }) {
                    skip.spec.created_by = by;
                }
            }
        }
        Entity::Pin(pin) => {
            pin.meta.id = PinId::of(pin.spec.deployment, pin.spec.environment, pin.spec.resource).0;
            pin.spec.created_by.clone_from(&caller.name);
            if let Some(Entity::Pin(before)) = before {
                let by = before.spec.created_by.clone();
                if before.spec == (Pin { created_by: by.clone(), ..pin.spec.clone() }) {
                    pin.spec.created_by = by;
                }
            }
        }
        Entity::Redeploy(redeploy) => {
            redeploy.meta.id = RedeployId::of(&redeploy.spec.target).0;
            redeploy.spec.by.clone_from(&caller.name);
        }
        Entity::RolloutControl(control) => {
            control.meta.id = RolloutControlId::of(control.spec.version, control.spec.environment).0;
            control.spec.by.clone_from(&caller.name);
            let before = match before {
                Some(Entity::RolloutControl(before)) => Some(&before.spec),
                _ => None,
            };
            control.spec = control.spec.clone().following(before);
        }
        Entity::Freeze(freeze) => freeze.spec.thawed_by = None,
        Entity::Workspace(_)
        | Entity::System(_)
        | Entity::Environment(_)
        | Entity::Resource(_)
        | Entity::JobAgent(_)
        | Entity::Deployment(_)
        | Entity::Policy(_)
        | Entity::TriggerSource(_)
        | Entity::Trigger(_)
        | Entity::VariableSet(_)
        | Entity::RelationshipRule(_)
        | Entity::ResourceProvider(_)
        | Entity::Workflow(_)
        | Entity::WorkflowRun(_) => {}
    }
    after
}

/// A yes or no that its person says again is the one of before and keeps its instant, unless that has expired: then it is
/// another one.
pub(crate) fn same_word(
    before: Option<&Entity>,
    mut after: Entity,
    has_expired: impl FnOnce(&Record<Approval>) -> bool,
) -> Entity {
    if let (Some(Entity::Approval(before)), Entity::Approval(after)) = (before, &mut after) {
        // One of before that was kept stays as it is.
        let of_content = before.spec.of_content.and(after.spec.of_content);
        let again = Approval { at: before.spec.at, of_content, ..after.spec.clone() };
        if again == before.spec && !has_expired(before) {
            after.spec = again;
        }
    }
    after
}

/// A file that does not say when, applied again: it is the wish of before, not another one.
pub(crate) fn same_wish(before: Option<&Entity>, mut after: Entity) -> Entity {
    if let (Some(Entity::Redeploy(before)), Entity::Redeploy(after)) = (before, &mut after) {
        let again = Redeploy { at: before.spec.at, by: before.spec.by.clone(), ..after.spec.clone() };
        if again == before.spec {
            after.spec = again;
        }
    }
    if let (Some(Entity::RolloutControl(before)), Entity::RolloutControl(after)) = (before, &mut after) {
        let (at, by, pauses) = (before.spec.at, before.spec.by.clone(), before.spec.pauses.clone());
        let again = RolloutControl { at, by, pauses, ..after.spec.clone() };
        if again == before.spec {
            after.spec = again;
        }
    }
    after
}

/// A request that is sent again: what it wishes stands already. A wish to redeploy is the same until its job is over
/// (`is_open` tells). A pause is a state. A resume is not: failures from before it count no more, so each has its instant.
pub(crate) fn same_request(
    before: Option<&Entity>,
    after: Entity,
    is_open: impl FnOnce(&Redeploy) -> bool,
) -> Entity {
    match (before, &after) {
        (Some(Entity::Redeploy(wish)), Entity::Redeploy(again))
            if wish.spec.by == again.spec.by && is_open(&wish.spec) =>
        {
            same_wish(before, after)
        }
        (Some(Entity::RolloutControl(_)), Entity::RolloutControl(again))
            if again.spec.action == RolloutAction::Pause =>
        {
            same_wish(before, after)
        }
        _ => after,
    }
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
    use domain::entity::{ApprovalStatus, Meta, Version, VersionStatus};
    use domain::id::{DeploymentId, EnvironmentId, PolicyId, ResourceId, VersionId};
    use domain::target::TargetKey;
    use uuid::Uuid;

    fn caller(name: &str) -> Caller {
        crate::caller::test_caller(name, Role::Admin)
    }

    fn now() -> Timestamp {
        "2026-03-01T00:00:00Z".parse().unwrap()
    }

    /// As [`super::declared`], now.
    fn declared(caller: &Caller, before: Option<&Entity>, after: Entity) -> Entity {
        super::declared(caller, before, after, now())
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
            known_since: None,
            content_since: None,
            edited_by: Default::default(),
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
            role: None,
            at: at.parse().unwrap(),
            of_content: None,
        };
        Entity::Approval(Record { meta: meta(&[]), spec })
    }

    #[test]
    fn nobody_hides_that_a_version_is_their_own() {
        let claimed = [("createdBy", "somebody"), ("ctrlplane/delivery", "invented"), ("team", "web")];
        let mut fresh = declared(&caller("ann"), None, version(&claimed));
        if let Entity::Version(fresh) = &mut fresh {
            assert!(fresh.spec.known_since.take().is_some(), "its creation is said to be another instant");
        }
        assert_eq!(fresh, version(&[("createdBy", "ann"), ("team", "web")]));

        let born = version(&[("createdBy", "trigger"), ("ctrlplane/delivery", "d-1"), ("team", "web")]);
        let again = declared(&caller("bob"), Some(&born), version(&claimed));
        assert_eq!(
            again,
            version(&[("createdBy", "trigger"), ("ctrlplane/delivery", "d-1"), ("team", "web")])
        );
    }

    #[test]
    fn who_changes_what_a_version_brings_is_told_and_since_when_and_nobody_else() {
        let born = declared(&caller("ann"), None, version(&[("image", "web:1")]));
        let made = |entity: &Entity| {
            let Entity::Version(version) = entity else { panic!("a version stays one") };
            let by: Vec<_> = version.spec.edited_by.iter().cloned().collect();
            (version.spec.content_since, by)
        };
        let edit = |before: &Entity, edit: &dyn Fn(&mut Record<Version>)| {
            let Entity::Version(mut version) = before.clone() else { panic!("a version") };
            edit(&mut version);
            declared(&caller("bob"), Some(before), Entity::Version(version))
        };
        assert_eq!(made(&born), (None, vec![]));
        let needs = || {
            serde_json::from_value(
                serde_json::json!({ "deployment": Uuid::nil(), "versionSelector": "true" }),
            )
        };
        type Edit<'a> = &'a dyn Fn(&mut Record<Version>);
        let changes: [Edit<'_>; 5] = [
            &|v| _ = v.spec.config.insert("image".into(), "web:2".into()),
            &|v| _ = v.spec.job_agent_config.insert("ref".into(), "main".into()),
            &|v| v.spec.dependencies.push(needs().unwrap()),
            &|v| _ = v.meta.metadata.insert("image".into(), "web:2".into()),
            &|v| v.meta.name = "another".into(),
        ];
        for (n, change) in changes.into_iter().enumerate() {
            let changed = edit(&born, change);
            assert_eq!(made(&changed), (Some(now()), vec!["bob".to_owned()]), "{n}");
            assert_eq!(made(&declared(&caller("cid"), Some(&changed), changed.clone())), made(&changed));
        }
        let others: [Edit<'_>; 3] = [
            &|v| v.spec.status = VersionStatus::Rejected,
            &|v| _ = v.meta.metadata.insert("ctrlplane/links".into(), "{}".into()),
            // Nobody says it of themselves, or of another.
            &|v| (v.spec.content_since, v.spec.edited_by) = (Some(now()), ["cid".to_owned()].into()),
        ];
        for (n, other) in others.into_iter().enumerate() {
            assert_eq!(made(&edit(&born, other)), (None, vec![]), "{n}");
        }
        let Entity::Version(mut invented) = born else { panic!("a version") };
        invented.spec.edited_by.insert("cid".into());
        invented.spec.content_since = Some(now());
        assert_eq!(made(&declared(&caller("ann"), None, Entity::Version(invented))), (None, vec![]));
    }

    fn skip(by: &str, reason: &str) -> Entity {
        let spec = Skip {
            policy: PolicyId(Uuid::nil()),
            rule: "anyApproval".into(),
            rule_index: None,
            version: VersionId(Uuid::nil()),
            environment: None,
            resource: None,
            expires_at: None,
            reason: reason.into(),
            created_by: by.into(),
        };
        Entity::Skip(Record { meta: meta(&[]), spec })
    }

    fn pin(by: &str, reason: &str) -> Entity {
        let spec = Pin {
            deployment: DeploymentId(Uuid::nil()),
            environment: None,
            resource: None,
            version: VersionId(Uuid::nil()),
            reason: reason.into(),
            created_by: by.into(),
        };
        Entity::Pin(Record { meta: meta(&[]), spec })
    }

    fn redeploy(by: &str, at: &str) -> Entity {
        let (deployment, environment, resource) =
            (DeploymentId(Uuid::nil()), EnvironmentId(Uuid::nil()), ResourceId(Uuid::nil()));
        let spec = Redeploy {
            target: TargetKey { deployment, environment, resource },
            version: None,
            at: at.parse().unwrap(),
            reason: None,
            by: by.into(),
        };
        Entity::Redeploy(Record { meta: meta(&[]), spec })
    }

    fn control(by: &str, action: RolloutAction, at: &str) -> Entity {
        let spec = RolloutControl {
            version: VersionId(Uuid::nil()),
            environment: EnvironmentId(Uuid::nil()),
            action,
            at: at.parse().unwrap(),
            reason: None,
            by: by.into(),
            pauses: Vec::new(),
        };
        Entity::RolloutControl(Record { meta: meta(&[]), spec })
    }

    /// Whose word it is, and its id.
    fn word(entity: &Entity) -> (String, Uuid) {
        let json = serde_json::to_value(entity).unwrap();
        let by = json["spec"]["createdBy"].as_str().or(json["spec"]["by"].as_str());
        (by.expect("somebody's word").to_owned(), entity.meta().id)
    }

    #[test]
    fn nobody_speaks_in_anothers_name_and_ids_are_those_of_what_is_said() {
        let at = "2026-01-01T00:00:00Z";
        for (said, id) in [
            (skip("bob", "x"), {
                let Entity::Skip(skip) = skip("bob", "x") else { panic!() };
                SkipId::of(&skip.spec).0
            }),
            (pin("bob", "x"), PinId::of(DeploymentId(Uuid::nil()), None, None).0),
            (redeploy("bob", at), {
                let Entity::Redeploy(redeploy) = redeploy("bob", at) else { panic!() };
                RedeployId::of(&redeploy.spec.target).0
            }),
            (
                control("bob", RolloutAction::Pause, at),
                RolloutControlId::of(VersionId(Uuid::nil()), EnvironmentId(Uuid::nil())).0,
            ),
        ] {
            let declared = declared(&caller("ann"), None, said);
            assert_eq!(word(&declared), ("ann".to_owned(), id));
        }
    }

    #[test]
    fn a_skip_or_pin_said_again_by_another_stays_whose_it_was_until_it_changes() {
        for of in [skip, pin] {
            let first = declared(&caller("ann"), None, of("", "incident"));
            assert_eq!(declared(&caller("bob"), Some(&first), of("", "incident")), first);
            let changed = declared(&caller("bob"), Some(&first), of("ann", "other"));
            assert_eq!(word(&changed).0, "bob");
        }
    }

    #[test]
    fn a_file_without_a_time_applied_again_is_no_second_wish() {
        let (early, late) = ("2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z");
        for (first, again, other) in [
            (redeploy("ann", early), redeploy("bob", late), None),
            (
                control("ann", RolloutAction::Pause, early),
                control("bob", RolloutAction::Pause, late),
                Some(control("bob", RolloutAction::Resume, late)),
            ),
        ] {
            assert_eq!(same_wish(Some(&first), again.clone()), first);
            assert_eq!(same_wish(None, again.clone()), again);
            if let Some(other) = other {
                assert_eq!(same_wish(Some(&first), other.clone()), other);
            }
            // Said by itself, and not by a file, it is another wish.
            assert_eq!(
                declared(&caller("bob"), Some(&first), again.clone()).meta().id,
                declared(&caller("bob"), None, first.clone()).meta().id
            );
            assert_ne!(declared(&caller("ann"), Some(&first), again), first);
        }
    }

    #[test]
    fn an_approval_is_the_word_of_the_key_at_the_time_it_is_said() {
        let said = declared(&caller("ann"), None, approval("bob", "2026-01-01T00:00:00Z"));
        let Entity::Approval(record) = &said else { panic!("an approval stays one") };
        assert_eq!((record.spec.user.as_str(), record.spec.at), ("ann", now()));
        assert_eq!(record.spec.role, Some(Role::Admin));
        assert_eq!(record.meta.id, ApprovalId::of(record.spec.version, record.spec.environment, "ann").0);
    }

    #[test]
    fn a_word_said_again_keeps_its_instant_until_it_has_expired() {
        let (first, again) =
            (approval("ann", "2026-01-01T00:00:00Z"), approval("ann", "2026-02-01T00:00:00Z"));
        assert_eq!(same_word(Some(&first), again.clone(), |_| false), first);
        assert_eq!(same_word(Some(&first), again.clone(), |_| true), again);
        assert_eq!(same_word(None, again.clone(), |_| panic!("nothing was said")), again);
        let Entity::Approval(mut no) = again else { panic!("an approval") };
        no.spec.status = ApprovalStatus::Rejected;
        let no = Entity::Approval(no);
        assert_eq!(same_word(Some(&first), no.clone(), |_| panic!("it is another word")), no);
    }

    #[test]
    fn a_request_sent_again_is_no_second_wish_while_the_first_is_open() {
        let (early, late) = ("2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z");
        let (wish, again) = (redeploy("ann", early), redeploy("ann", late));
        assert_eq!(same_request(Some(&wish), again.clone(), |_| true), wish);
        assert_eq!(same_request(Some(&wish), again.clone(), |_| false), again);
        let others = redeploy("bob", late);
        assert_eq!(same_request(Some(&wish), others.clone(), |_| true), others);

        let of = |action, at| control("ann", action, at);
        for (first, again, same) in [
            (RolloutAction::Pause, RolloutAction::Pause, true),
            (RolloutAction::Resume, RolloutAction::Pause, false),
            (RolloutAction::Pause, RolloutAction::Resume, false),
            (RolloutAction::Resume, RolloutAction::Resume, false),
        ] {
            let (first, again) = (of(first, early), of(again, late));
            let settled = same_request(Some(&first), again.clone(), |_| panic!("no redeployment"));
            assert_eq!(settled, if same { first } else { again });
        }
    }
}
