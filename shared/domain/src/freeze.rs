//! Freezes: which are on, when that changes by time alone, and whether one holds a target. What cannot be told holds.

use crate::Timestamp;
use crate::catalog::{WorkspaceCatalog, deployment_context, environment_context, resource_context};
use crate::entity::{Freeze, Kind, Record};
use crate::id::FreezeId;
use crate::job::{JobRef, Purpose};
use crate::selector::{Scope, value_of};
use crate::target::TargetKey;
use chrono::TimeDelta;

/// Variables a freeze's selector sees.
pub const SELECTOR_VARIABLES: &[&str] = &["deployment", "environment", "resource"];

/// So long after its end a freeze still says since when a rollout may go.
pub const REMEMBERED: TimeDelta = TimeDelta::days(30);

/// The freeze that holds a target: of those that are on, the one that ends last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frozen {
    /// Which.
    pub freeze: FreezeId,
    /// Its name.
    pub name: String,
    /// Why.
    pub reason: String,
    /// When it thaws by itself, if it does.
    pub until: Option<Timestamp>,
}

/// From when it is on, for people.
pub fn from(freeze: &Record<Freeze>) -> Timestamp {
    freeze.spec.from.unwrap_or(freeze.meta.created_at)
}

/// Whether it is on: from its beginning, and no longer at its end. One that names no beginning is on as soon as it is known,
/// and one that was thawed is over as soon as that is known, whatever the clocks of those who know it say.
pub fn is_on(freeze: &Record<Freeze>, now: Timestamp) -> bool {
    freeze.spec.from.is_none_or(|from| from <= now) && !is_over(freeze, now)
}

/// Whether it is over: by itself, or thawed.
pub fn is_over(freeze: &Record<Freeze>, now: Timestamp) -> bool {
    freeze.spec.thawed_by.is_some() || freeze.spec.until.is_some_and(|until| until <= now)
}

/// Whether it was over so long ago that nothing goes by its end any more.
pub fn is_forgotten(freeze: &Record<Freeze>, now: Timestamp) -> bool {
    let lately = now.checked_sub_signed(REMEMBERED).unwrap_or(Timestamp::MIN_UTC);
    freeze.spec.until.is_some_and(|until| until <= lately)
}

/// The freeze as it is when somebody thaws it now: over, with an end. `None`: it is not on, and leaves none.
pub fn thawed(freeze: &Record<Freeze>, by: &str, now: Timestamp) -> Option<Record<Freeze>> {
    if !is_on(freeze, now) {
        return None;
    }
    let mut thawed = freeze.clone();
    // Another replica's clock may have declared it a moment ahead of ours.
    thawed.spec.until = Some(now.max(from(freeze)));
    thawed.spec.thawed_by = Some(by.to_owned());
    thawed.meta.updated_at = now;
    Some(thawed)
}

/// The next instant after `now` at which a freeze of the workspace begins or ends by time alone.
pub fn next_change(workspace: &WorkspaceCatalog, now: Timestamp) -> Option<Timestamp> {
    let ends = workspace.freezes().filter(|freeze| is_on(freeze, now)).filter_map(|freeze| freeze.spec.until);
    ends.chain(next_begin(workspace, now)).min()
}

/// The next instant after `now` at which a freeze of the workspace begins by time alone.
pub fn next_begin(workspace: &WorkspaceCatalog, now: Timestamp) -> Option<Timestamp> {
    let begins = |freeze: &Record<Freeze>| {
        let begins = freeze.spec.from.filter(|_| freeze.spec.thawed_by.is_none())?;
        (begins > now && freeze.spec.until.is_none_or(|until| begins < until)).then_some(begins)
    };
    workspace.freezes().filter_map(begins).min()
}

/// The freeze that holds the target now.
///
/// # Errors
/// When it cannot be told: a freeze cannot be read, its selector cannot be evaluated, or the target is not in the catalog.
/// Then nothing may start.
pub fn of_target(
    workspace: &WorkspaceCatalog,
    target: &TargetKey,
    now: Timestamp,
) -> Result<Option<Frozen>, String> {
    readable(workspace)?;
    let mut on = workspace.freezes().filter(|freeze| is_on(freeze, now)).peekable();
    if on.peek().is_none() {
        return Ok(None);
    }
    let scope = scope(workspace, target)?;
    let mut last: Option<&Record<Freeze>> = None;
    for freeze in on {
        let matches = workspace
            .compiled()
            .selector(&freeze.spec.selector, SELECTOR_VARIABLES)
            .and_then(|selector| selector.matches(&scope))
            .map_err(|why| format!("the selector of freeze {}: {why}", freeze.meta.name))?;
        if matches && last.is_none_or(|last| outlasts(freeze, last)) {
            last = Some(freeze);
        }
    }
    Ok(last.map(frozen))
}

/// The freeze that holds the job now. A workflow's job has no target: it is held by a freeze whose selector speaks of none,
/// as `true` does, for that one stops everything. One that speaks of deployments, environments or resources is about
/// what is brought there.
///
/// # Errors
/// As [`of_target`].
pub fn of_job(workspace: &WorkspaceCatalog, job: &JobRef, now: Timestamp) -> Result<Option<Frozen>, String> {
    match job.purpose {
        Purpose::Deploy => of_target(workspace, &job.target, now),
        Purpose::Verify { .. } => Ok(None),
        Purpose::Workflow { .. } => of_everything(workspace, now),
    }
}

fn of_everything(workspace: &WorkspaceCatalog, now: Timestamp) -> Result<Option<Frozen>, String> {
    readable(workspace)?;
    let mut last: Option<&Record<Freeze>> = None;
    for freeze in workspace.freezes().filter(|freeze| is_on(freeze, now)) {
        let failed = |why| format!("the selector of freeze {}: {why}", freeze.meta.name);
        let selector =
            workspace.compiled().selector(&freeze.spec.selector, SELECTOR_VARIABLES).map_err(failed)?;
        let speaks_of_targets = SELECTOR_VARIABLES.iter().any(|variable| selector.uses(variable));
        let holds = !speaks_of_targets && selector.matches(&Scope::default()).map_err(failed)?;
        if holds && last.is_none_or(|last| outlasts(freeze, last)) {
            last = Some(freeze);
        }
    }
    Ok(last.map(frozen))
}

fn readable(workspace: &WorkspaceCatalog) -> Result<(), String> {
    match workspace.broken(Kind::Freeze).next() {
        None => Ok(()),
        Some((id, why)) => Err(format!("freeze {id} cannot be read: {why}")),
    }
}

fn frozen(freeze: &Record<Freeze>) -> Frozen {
    Frozen {
        freeze: FreezeId(freeze.meta.id),
        name: freeze.meta.name.clone(),
        reason: freeze.spec.reason.clone(),
        until: freeze.spec.until,
    }
}

/// Whether it ends later; one without an end never does.
fn outlasts(freeze: &Record<Freeze>, other: &Record<Freeze>) -> bool {
    match (freeze.spec.until, other.spec.until) {
        (_, None) => false,
        (None, Some(_)) => true,
        (Some(until), Some(other)) => until > other,
    }
}

fn scope(workspace: &WorkspaceCatalog, target: &TargetKey) -> Result<Scope, String> {
    let gone = |what: &str| format!("the {what} is not in the catalog");
    let deployment = workspace.deployment(target.deployment).ok_or_else(|| gone("deployment"))?;
    let environment = workspace.environment(target.environment).ok_or_else(|| gone("environment"))?;
    let resource = workspace.resource(target.resource).ok_or_else(|| gone("resource"))?;
    let value = |context| value_of(&context).map_err(|why| why.to_string());
    Ok(Scope::default()
        .with("deployment", value(deployment_context(deployment))?)
        .with("environment", value(environment_context(environment))?)
        .with("resource", value(resource_context(resource))?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::Catalog;
    use crate::entity::CatalogKey;
    use crate::id::{DeploymentId, EnvironmentId, ResourceId};
    use crate::token::Slug;
    use serde_json::{Value, json};
    use uuid::Uuid;

    fn acme() -> Slug {
        "acme".parse().unwrap()
    }

    /// Minutes after noon, when everything here was declared.
    fn at(minutes: i64) -> Timestamp {
        "2026-03-01T12:00:00Z".parse::<Timestamp>().unwrap() + TimeDelta::minutes(minutes)
    }

    fn target() -> TargetKey {
        TargetKey {
            deployment: DeploymentId::of(&acme(), "web"),
            environment: EnvironmentId::of(&acme(), "production"),
            resource: ResourceId::of(&acme(), "eu-1"),
        }
    }

    fn put(catalog: &mut Catalog, kind: Kind, name: &str, id: Uuid, spec: &Value) {
        let entity = json!({ "kind": kind.name(), "spec": spec,
            "meta": { "id": id, "workspace": "acme", "name": name, "createdAt": at(0), "updatedAt": at(0) } });
        let key = CatalogKey { workspace: acme(), kind, id };
        let revision = catalog.revision() + 1;
        let applied = catalog.apply(&key.to_string(), Some(entity.to_string().as_bytes()), revision);
        assert_eq!(applied.broken, None);
    }

    /// A shop with freezes: each a name, a selector, from and until in minutes.
    fn frozen_by(freezes: &[(&str, &str, Option<i64>, Option<i64>)]) -> Catalog {
        let mut catalog = Catalog::default();
        let key = target();
        put(
            &mut catalog,
            Kind::Deployment,
            "web",
            key.deployment.0,
            &json!({ "slug": "web", "systems": [] }),
        );
        let spec = json!({ "systems": [], "resourceSelector": "true" });
        put(&mut catalog, Kind::Environment, "production", key.environment.0, &spec);
        put(&mut catalog, Kind::Resource, "eu-1", key.resource.0, &json!({ "identifier": "eu-1" }));
        for (name, selector, from, until) in freezes {
            let spec = json!({ "selector": selector, "reason": format!("{name}!"), "owner": "ann",
                "from": from.map(at), "until": until.map(at) });
            put(&mut catalog, Kind::Freeze, name, FreezeId::of(&acme(), name).0, &spec);
        }
        catalog
    }

    fn holds(
        freezes: &[(&str, &str, Option<i64>, Option<i64>)],
        minutes: i64,
    ) -> Result<Option<String>, String> {
        let catalog = frozen_by(freezes);
        let found = of_target(catalog.workspace(&acme()).unwrap(), &target(), at(minutes))?;
        Ok(found.map(|frozen| frozen.name))
    }

    #[test]
    fn a_freeze_is_on_from_its_beginning_to_right_before_its_end() {
        let times = |from, until| {
            let freezes = [("a", "true", from, until)];
            [-1, 0, 1, 2, 3].map(|minutes| holds(&freezes, minutes).unwrap().is_some())
        };
        assert_eq!(times(None, None), [true; 5], "as soon as it is known");
        assert_eq!(times(Some(-10), None), [true; 5]);
        assert_eq!(times(Some(1), Some(2)), [false, false, true, false, false]);
        assert_eq!(times(None, Some(3)), [true, true, true, true, false]);
        assert_eq!(times(Some(2), Some(1)), [false; 5], "it ends before it begins");
    }

    #[test]
    fn one_that_is_thawed_is_over_for_every_clock_and_keeps_its_end_for_thirty_days() {
        let catalog = frozen_by(&[
            ("on", "true", None, None),
            ("planned", "true", Some(5), None),
            ("over", "true", None, Some(2)),
        ]);
        let workspace = catalog.workspace(&acme()).unwrap();
        let named = |name: &str| workspace.freeze(FreezeId::of(&acme(), name)).unwrap();
        for name in ["planned", "over"] {
            assert_eq!(thawed(named(name), "bob", at(3)), None, "{name} leaves no end");
        }
        let gone = thawed(named("on"), "bob", at(3)).unwrap();
        assert_eq!((gone.spec.until, gone.spec.thawed_by.as_deref()), (Some(at(3)), Some("bob")));
        for minutes in [1, 2, 3, 4] {
            assert!(!is_on(&gone, at(minutes)) && is_over(&gone, at(minutes)), "{minutes}");
        }
        assert_eq!(thawed(&gone, "cid", at(4)), None, "it is over already");
        let days = at(3) + REMEMBERED;
        assert!(!is_forgotten(&gone, days - TimeDelta::seconds(1)) && is_forgotten(&gone, days));
        let early = thawed(named("on"), "bob", at(-1)).unwrap();
        assert_eq!(early.spec.until, Some(at(0)), "by a clock that is behind");
    }

    #[test]
    fn only_what_the_selector_matches_is_frozen_and_the_last_end_counts() {
        let production =
            "environment.name == 'production' && deployment.slug == 'web' && resource.name == 'eu-1'";
        assert_eq!(holds(&[("a", production, None, None)], 1), Ok(Some("a".into())));
        assert_eq!(holds(&[("a", "environment.name == 'staging'", None, None)], 1), Ok(None));
        let several =
            [("a", "true", None, Some(5)), ("b", "true", None, Some(9)), ("c", "true", None, Some(7))];
        assert_eq!(holds(&several, 1), Ok(Some("b".into())));
        let endless = [("a", "true", None, None), ("b", "true", None, Some(9))];
        assert_eq!(holds(&endless, 1), Ok(Some("a".into())));
    }

    #[test]
    fn what_cannot_be_told_is_an_error_as_long_as_it_is_on() {
        let broken = [("a", "resource.metadata.zone == 'x'", None, Some(5))];
        let why = holds(&broken, 1).unwrap_err();
        assert!(why.contains("freeze a") && why.contains("zone"), "{why}");
        assert_eq!(holds(&broken, 5), Ok(None), "it is over");
        assert!(holds(&[("a", "version.tag == '1'", None, None)], 1).is_err(), "it does not see versions");
        assert!(holds(&[("z", "true", None, None), ("a", "nothing", None, None)], 1).is_err());

        let mut catalog = frozen_by(&[]);
        let key = CatalogKey { workspace: acme(), kind: Kind::Freeze, id: Uuid::nil() };
        catalog.apply(&key.to_string(), Some(b"{}"), 99);
        let why = of_target(catalog.workspace(&acme()).unwrap(), &target(), at(1)).unwrap_err();
        assert!(why.contains("cannot be read"), "{why}");

        let empty = WorkspaceCatalog::new(acme());
        assert_eq!(of_target(&empty, &target(), at(1)), Ok(None), "no freeze asks for the target");
        let catalog = frozen_by(&[("a", "true", None, None)]);
        let elsewhere = TargetKey { resource: ResourceId::of(&acme(), "gone"), ..target() };
        let why = of_target(catalog.workspace(&acme()).unwrap(), &elsewhere, at(1)).unwrap_err();
        assert_eq!(why, "the resource is not in the catalog");
    }

    #[test]
    fn the_next_beginning_or_end_is_told() {
        let catalog = frozen_by(&[
            ("now", "true", None, Some(8)),
            ("later", "true", Some(4), Some(6)),
            ("never", "true", Some(3), Some(2)),
            ("endless", "true", Some(-5), None),
        ]);
        let workspace = catalog.workspace(&acme()).unwrap();
        let next = |minutes| next_change(workspace, at(minutes));
        assert_eq!([0, 4, 5, 6, 8].map(next), [Some(at(4)), Some(at(6)), Some(at(6)), Some(at(8)), None]);
        assert_eq!([0, 4].map(|minutes| next_begin(workspace, at(minutes))), [Some(at(4)), None]);
    }
}
