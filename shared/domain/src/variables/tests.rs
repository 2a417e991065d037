//! Who gives a variable its value, what references lead to, and what blocks.

use super::*;
use crate::catalog::Catalog;
use crate::entity::{CatalogKey, Kind};
use crate::id::{
    DeploymentId, EnvironmentId, RelationshipRuleId, ResourceId, SystemId, VariableSetId, VersionId,
};
use crate::target::release_id;
use crate::token::Slug;
use proptest::prelude::*;
use serde_json::{Value, json};
use uuid::Uuid;

fn acme() -> Slug {
    "acme".parse().unwrap()
}

/// An entity as the catalog gets it: key and value.
type Written = (CatalogKey, Value);

fn entity(kind: Kind, id: Uuid, name: &str, metadata: Value, spec: Value) -> Written {
    let value = json!({
        "kind": kind.name(),
        "meta": { "id": id, "workspace": "acme", "name": name, "metadata": metadata,
                  "createdAt": "2026-01-01T00:00:00Z", "updatedAt": "2026-01-01T00:00:00Z" },
        "spec": spec,
    });
    (CatalogKey { workspace: acme(), kind, id }, value)
}

fn resource(identifier: &str, metadata: Value, variables: Value) -> Written {
    let config = json!({ "region": format!("region of {identifier}"), "zones": ["a", "b"], "nothing": null });
    let spec = json!({ "identifier": identifier, "type": "thing", "config": config, "variables": variables });
    entity(Kind::Resource, ResourceId::of(&acme(), identifier).0, identifier, metadata, spec)
}

fn deployment(variables: Value) -> Written {
    let system = SystemId::of(&acme(), "shop").0;
    let spec = json!({ "slug": "web", "systems": [system], "variables": variables });
    entity(Kind::Deployment, DeploymentId::of(&acme(), "web").0, "web", json!({ "team": "a" }), spec)
}

fn set(name: &str, selector: &str, priority: i32, variables: Value) -> Written {
    let spec = json!({ "selector": selector, "priority": priority, "variables": variables });
    entity(Kind::VariableSet, VariableSetId::of(&acme(), name).0, name, json!({}), spec)
}

fn rule(name: &str, reference: &str, from: &str, to: &str, matcher: &str) -> Written {
    let spec = json!({ "reference": reference, "from": from, "to": to, "matcher": matcher });
    entity(Kind::RelationshipRule, RelationshipRuleId::of(&acme(), name).0, name, json!({}), spec)
}

/// Everything is related to what its metadata names.
fn next() -> Written {
    let matcher = "has(from.metadata.next) && from.metadata.next == to.identifier";
    rule("next", "next", "true", "true", matcher)
}

fn broken(kind: Kind, name: &str) -> Written {
    (CatalogKey { workspace: acme(), kind, id: crate::id::derive(&["broken", name]) }, json!("?"))
}

fn catalog(written: &[Written]) -> Catalog {
    let mut catalog = Catalog::default();
    let system = SystemId::of(&acme(), "shop").0;
    let environment = json!({ "systems": [system], "resourceSelector": "true" });
    let id = EnvironmentId::of(&acme(), "prod").0;
    let environment = entity(Kind::Environment, id, "prod", json!({ "tier": "1" }), environment);
    for (key, value) in written.iter().chain([&environment]) {
        let revision = catalog.revision() + 1;
        catalog.apply(&key.to_string(), Some(value.to_string().as_bytes()), revision);
    }
    catalog
}

fn target(resource: &str) -> TargetKey {
    TargetKey {
        deployment: DeploymentId::of(&acme(), "web"),
        environment: EnvironmentId::of(&acme(), "prod"),
        resource: ResourceId::of(&acme(), resource),
    }
}

fn resolved_on(on: &str, written: &[Written]) -> Result<Value, String> {
    let catalog = catalog(written);
    let variables = resolve(catalog.workspace(&acme()).unwrap(), &target(on));
    variables.map(|variables| json!(variables)).map_err(|error| error.to_string())
}

/// On the resource `r`.
fn resolved(written: &[Written]) -> Result<Value, String> {
    resolved_on("r", written)
}

#[track_caller]
fn blocked(written: &[Written], words: &[&str]) {
    let error = resolved(written).expect_err("blocked");
    for word in words {
        assert!(error.contains(word), "{word:?} is not in {error:?}");
    }
}

#[test]
fn the_precedence() {
    let value = |selector: Value, priority: i32, value: &str| {
        let mut entry = json!({ "priority": priority, "value": value });
        if !selector.is_null() {
            entry["selector"] = selector;
        }
        entry
    };
    let prod = || json!("environment.name == 'prod'");
    let other = || json!("environment.name == 'other'");
    let shared = || set("shared", "deployment.metadata.team == 'a'", 0, json!({ "x": "set" }));
    let (own, none) = (json!({ "x": "own" }), json!({}));
    for (case, variables, values, sets, default, expected) in [
        ("the resource before all", &own, vec![value(prod(), 9, "value")], vec![shared()], true, "own"),
        ("a value before a set", &none, vec![value(prod(), 0, "value")], vec![shared()], true, "value"),
        ("a value for all places", &none, vec![value(Value::Null, 0, "any")], vec![shared()], true, "any"),
        (
            "the highest of the values",
            &none,
            vec![value(prod(), 1, "low"), value(prod(), 2, "high")],
            vec![],
            true,
            "high",
        ),
        (
            "negative is lowest",
            &none,
            vec![value(prod(), -1, "low"), value(prod(), 0, "high")],
            vec![],
            true,
            "high",
        ),
        (
            "of equals the first",
            &none,
            vec![value(prod(), 1, "first"), value(prod(), 1, "second")],
            vec![],
            true,
            "first",
        ),
        (
            "only those that match",
            &none,
            vec![value(other(), 9, "other"), value(prod(), 1, "here")],
            vec![],
            true,
            "here",
        ),
        ("no value matches", &none, vec![value(other(), 9, "other")], vec![shared()], true, "set"),
        (
            "the highest of the sets",
            &none,
            vec![],
            vec![shared(), set("z", "true", 5, json!({ "x": "high" }))],
            true,
            "high",
        ),
        (
            "of equals the first by name",
            &none,
            vec![],
            vec![shared(), set("a", "true", 0, json!({ "x": "a" }))],
            true,
            "a",
        ),
        (
            "only sets that have the key",
            &none,
            vec![],
            vec![shared(), set("a", "true", 9, json!({ "y": "y" }))],
            true,
            "set",
        ),
        (
            "only sets that match",
            &none,
            vec![],
            vec![shared(), set("a", "false", 9, json!({ "x": "no" }))],
            true,
            "set",
        ),
        ("the default after all", &none, vec![value(other(), 9, "other")], vec![], true, "default"),
        (
            "what is given may be asked of the resource",
            &none,
            vec![value(json!("resource.type == 'thing'"), 0, "typed")],
            vec![],
            false,
            "typed",
        ),
    ] {
        let mut declared = json!({ "key": "x", "values": values });
        if default {
            declared["default"] = json!("default");
        }
        let mut written = sets;
        written.extend([deployment(json!([declared])), resource("r", json!({}), variables.clone())]);
        assert_eq!(resolved(&written), Ok(json!({ "x": expected })), "{case}");
    }
}

#[test]
fn without_declarations_the_resource_speaks_and_with_them_only_what_is_declared() {
    let own = json!({ "x": 1, "y": { "deep": [true, null] } });
    let shared = set("shared", "true", 0, json!({ "x": 2, "z": 3 }));
    let on = |declared: Value| {
        resolved(&[deployment(declared), resource("r", json!({}), own.clone()), shared.clone()])
    };
    assert_eq!(on(json!([])), Ok(own.clone()));
    assert_eq!(on(json!([{ "key": "x" }])), Ok(json!({ "x": 1 })));
    assert_eq!(on(json!([{ "key": "z" }, { "key": "y" }])), Ok(json!({ "y": own["y"], "z": 3 })));
}

#[test]
fn a_variable_without_a_value_blocks_and_every_one_is_named() {
    let declared = json!([{ "key": "x" }, { "key": "y", "default": 1 }, { "key": "z",
        "values": [{ "selector": "false", "value": 1 }] }]);
    let words = ["variable `x` has no value here: neither", "variable `z` has no value here"];
    blocked(&[deployment(declared), resource("r", json!({}), json!({}))], &words);
    let twice = json!([{ "key": "x", "default": 1 }, { "key": "x", "default": 2 }]);
    blocked(&[deployment(twice), resource("r", json!({}), json!({}))], &["`x`", "twice"]);
    let many: Vec<Value> = (0..9).map(|n| json!({ "key": format!("v{n}") })).collect();
    blocked(&[deployment(json!(many)), resource("r", json!({}), json!({}))], &["`v4`", "and 4 more"]);
    blocked(&[deployment(json!([]))], &["the resource is not in the catalog"]);
    blocked(&[resource("r", json!({}), json!({}))], &["the deployment is not in the catalog"]);
}

#[test]
fn a_selector_that_cannot_be_evaluated_blocks_where_it_could_matter() {
    let value =
        |selector: &str, priority: i32| json!({ "selector": selector, "priority": priority, "value": 1 });
    let with = |variables: Value, values: Vec<Value>, sets: Vec<Written>| {
        let mut written = sets;
        let declared = json!([{ "key": "x", "default": 0, "values": values }]);
        written.extend([deployment(declared), resource("r", json!({}), variables)]);
        written
    };
    for selector in
        ["resource.metadata.zone == 'a'", "resource.name", "resorce.name == 'a'", "(", "version.tag == 'a'"]
    {
        blocked(
            &with(json!({}), vec![value(selector, 0)], vec![]),
            &["variable `x`", "the selector of a value"],
        );
        let shared = set("shared", selector, 0, json!({ "x": 1 }));
        blocked(&with(json!({}), vec![], vec![shared.clone()]), &["variable `x`", "variable set \"shared\""]);
        // Nobody asks it: something comes before.
        let before = |written: &[Written]| assert!(resolved(written).is_ok(), "{:?}", resolved(written));
        before(&with(json!({ "x": 2 }), vec![value(selector, 0)], vec![shared.clone()]));
        before(&with(json!({}), vec![value(selector, 0), value("true", 1)], vec![shared.clone()]));
        before(&with(json!({}), vec![], vec![shared, set("first", "true", 1, json!({ "x": 1 }))]));
    }
}

#[test]
fn what_cannot_be_read_blocks_where_it_could_matter() {
    let unreadable = broken(Kind::VariableSet, "set");
    let on = |declared: Value, own: Value| {
        vec![deployment(json!([declared])), resource("r", json!({}), own), unreadable.clone()]
    };
    let shared = set("shared", "true", 9, json!({ "x": 1 }));
    let with_default = || json!({ "key": "x", "default": 1 });
    blocked(&on(with_default(), json!({})), &["variable `x`", "the variable set", "cannot be read"]);
    blocked(&[on(with_default(), json!({})), vec![shared]].concat(), &["cannot be read"]);
    assert_eq!(resolved(&on(with_default(), json!({ "x": 2 }))), Ok(json!({ "x": 2 })));
    let valued = json!({ "key": "x", "values": [{ "value": 3 }] });
    assert_eq!(resolved(&on(valued, json!({}))), Ok(json!({ "x": 3 })));

    let reference = || resource("r", json!({ "next": "s" }), json!({ "x": refer("config.region") }));
    let world = vec![deployment(json!([])), reference(), resource("s", json!({}), json!({})), next()];
    assert!(resolved(&world).is_ok());
    for kind in [Kind::RelationshipRule, Kind::Resource] {
        let words = [kind.token(), "cannot be read"];
        blocked(&[world.clone(), vec![broken(kind, "one")]].concat(), &words);
    }
    let literal = vec![
        deployment(json!([])),
        resource("r", json!({}), json!({ "x": 1 })),
        broken(Kind::RelationshipRule, "one"),
    ];
    assert!(resolved(&literal).is_ok(), "nobody refers to anything");
}

fn refer(path: &str) -> Value {
    json!({ "reference": "next", "path": path })
}

#[test]
fn a_reference_leads_to_what_selectors_see() {
    let related = resource(
        "s",
        json!({ "zone": "z", "example.com/dotted": "d" }),
        json!({ "v": { "deep": [1] }, "db": { "secretRef": "db" } }),
    );
    for (path, expected) in [
        ("config.region", json!("region of s")),
        ("config.zones.1", json!("b")),
        ("config", json!({ "region": "region of s", "zones": ["a", "b"], "nothing": null })),
        ("config.nothing", json!(null)),
        ("metadata.zone", json!("z")),
        ("metadata.example.com/dotted", json!("d")),
        ("identifier", json!("s")),
        ("name", json!("s")),
        ("type", json!("thing")),
        ("kind", json!("thing")),
        ("id", json!(ResourceId::of(&acme(), "s"))),
        ("variables.v", json!({ "deep": [1] })),
        ("variables.v.deep.0", json!(1)),
        ("variables.db", json!({ "secretRef": "db" })),
    ] {
        let from = resource("r", json!({ "next": "s" }), json!({ "x": refer(path) }));
        let world = [from, related.clone(), next(), deployment(json!([]))];
        assert_eq!(resolved(&world), Ok(json!({ "x": expected })), "{path}");
        // Whoever gives the value, it is the target's resource that is related.
        for declared in [
            json!({ "key": "x", "values": [{ "value": refer(path) }] }),
            json!({ "key": "x", "default": refer(path) }),
        ] {
            let from = resource("r", json!({ "next": "s" }), json!({}));
            let world = [from, related.clone(), next(), deployment(json!([declared]))];
            assert_eq!(resolved(&world), Ok(json!({ "x": expected })), "{path}");
        }
    }
    for path in [
        "",
        "config.nowhere",
        "config.region.deeper",
        "config.zones.9",
        "config.zones.b",
        "nothing",
        ".",
        "variables.",
        "variables.nowhere",
        "variables.v.nowhere",
    ] {
        let from = resource("r", json!({ "next": "s" }), json!({ "x": refer(path) }));
        blocked(
            &[from, related.clone(), next(), deployment(json!([]))],
            &["variable `x`", "\"s\" has nothing there"],
        );
    }
    for (path, why) in [("variables", "one variable"), ("variables.db.secretRef", "a secret has no parts")] {
        let from = resource("r", json!({ "next": "s" }), json!({ "x": refer(path) }));
        blocked(&[from, related.clone(), next(), deployment(json!([]))], &["variable `x`", why]);
    }
}

#[test]
fn a_reference_means_one_resource_or_says_which_it_could_mean() {
    let from =
        || resource("r", json!({ "group": "g" }), json!({ "x": { "reference": "peer", "path": "name" } }));
    let in_group = |name: &str| resource(name, json!({ "group": "g" }), json!({}));
    let outside = || resource("alone", json!({ "group": "h" }), json!({}));
    let peers = || {
        rule(
            "peers",
            "peer",
            "resource.name == 'r'",
            "resource.name != 'r'",
            "from.metadata.group == to.metadata.group",
        )
    };
    let world = |more: Vec<Written>| [vec![deployment(json!([])), from(), outside()], more].concat();

    assert_eq!(resolved(&world(vec![peers(), in_group("s")])), Ok(json!({ "x": "s" })));
    blocked(&world(vec![peers()]), &["variable `x`", "no resource is related to \"r\" by `peer`"]);
    blocked(
        &world(vec![peers(), in_group("t"), in_group("s")]),
        &["2 resources are related to \"r\" by `peer`", "s, t"],
    );
    blocked(&world(vec![in_group("s")]), &["there is no relation `peer`"]);
    blocked(
        &world(vec![in_group("s"), rule("p", "peers", "true", "true", "true")]),
        &["did you mean `peers`?"],
    );
    // `from` decides whose relation it is.
    let of_others = rule("peers", "peer", "resource.name == 's'", "true", "true");
    blocked(&world(vec![of_others, in_group("s")]), &["no resource is related"]);
    // Several rules of one name are one relation; what both find is found once.
    let again = rule("again", "peer", "true", "resource.name == 's'", "true");
    assert_eq!(resolved(&world(vec![peers(), again.clone(), in_group("s")])), Ok(json!({ "x": "s" })));
    blocked(&world(vec![peers(), again, in_group("s"), in_group("t")]), &["s, t"]);
    let names: Vec<Written> = (0..9).map(|n| in_group(&format!("s{n}"))).collect();
    blocked(&world([vec![peers()], names].concat()), &["9 resources", "s0, s1, s2, s3, s4, …"]);
}

#[test]
fn a_rule_that_cannot_be_evaluated_blocks() {
    for (from, to, matcher, word) in [
        ("resource.metadata.zone == 'a'", "true", "true", "`from`"),
        ("resource.", "true", "true", "`from`"),
        ("true", "resource.metadata.zone == 'a'", "true", "`to` of \""),
        ("true", "resorce.name == 'a'", "true", "`to`"),
        ("true", "true", "from.metadata.zone == to.identifier", "`matcher` of \""),
        ("true", "true", "from.name", "`matcher`"),
        ("true", "true", "resource.name == 'a'", "`matcher`"),
    ] {
        let world = [
            deployment(json!([])),
            resource("r", json!({}), json!({ "x": refer("name") })),
            resource("s", json!({}), json!({})),
            rule("odd", "next", from, to, matcher),
        ];
        blocked(&world, &["variable `x`", "relation \"odd\"", word]);
    }
}

/// Resources `r`, `s0`, `s1`, …, each with a variable `x` that refers to the next one's.
fn chain(references: usize, last: Value) -> Vec<Written> {
    let name = |n: usize| if n == 0 { "r".to_owned() } else { format!("s{n}") };
    let mut world = vec![deployment(json!([])), next()];
    for n in 0..references {
        world.push(resource(&name(n), json!({ "next": name(n + 1) }), json!({ "x": refer("variables.x") })));
    }
    world.push(resource(&name(references), json!({}), json!({ "x": last })));
    world
}

#[test]
fn references_are_followed_from_one_to_the_next_within_a_bound() {
    for references in 1..=4 {
        assert_eq!(resolved(&chain(references, json!("end"))), Ok(json!({ "x": "end" })), "{references}");
        let secret = json!({ "secretRef": "db" });
        assert_eq!(resolved(&chain(references, secret.clone())), Ok(json!({ "x": secret })));
    }
    blocked(&chain(5, json!("end")), &["variable `x`", "more than 4 references"]);
    blocked(&chain(40, json!("end")), &["more than 4 references"]);
    // The bound is the same whoever gives the first.
    let mut declared = chain(3, json!("end"));
    declared.push(deployment(json!([{ "key": "y", "default": refer("variables.x") }])));
    assert_eq!(resolved(&declared), Ok(json!({ "y": "end" })));
}

#[test]
fn a_circle_of_references_is_an_error() {
    for length in 1..=3 {
        let name = |n: usize| if n.is_multiple_of(length) { "r".to_owned() } else { format!("s{n}") };
        let mut world = vec![deployment(json!([])), next()];
        for n in 0..length {
            world.push(resource(
                &name(n),
                json!({ "next": name(n + 1) }),
                json!({ "x": refer("variables.x") }),
            ));
        }
        blocked(&world, &["variable `x`", "it comes back to `x` of \"r\""]);
        // Also one that the first variable is not part of.
        world.push(deployment(json!([{ "key": "y", "default": refer("variables.x") }])));
        blocked(&world, &["variable `y`", "it comes back to `x`"]);
    }
}

#[test]
fn what_only_looks_like_a_secret_does_not_become_one() {
    let lookalike = json!({ "secretRef": "db" });
    // In the config of a related resource, and inside a value of one.
    let mut related = resource("s", json!({}), json!({ "v": { "inner": lookalike } }));
    related.1["spec"]["config"] = json!({ "token": lookalike, "list": [lookalike] });
    for path in ["config.token", "config.list.0", "variables.v.inner"] {
        let from = resource("r", json!({ "next": "s" }), json!({ "x": refer(path) }));
        blocked(&[from, related.clone(), next(), deployment(json!([]))], &["only a variable as a whole"]);
    }
    for name in ["", "../admin-key", "a/b", "a.b", "ü"] {
        let from = resource("r", json!({}), json!({ "x": { "secretRef": name } }));
        blocked(&[from, deployment(json!([]))], &["variable `x`", "a secret's name"]);
    }
    // A part of a value is a part of a value.
    let whole = json!({ "user": "u", "password": lookalike });
    let from = resource("r", json!({}), json!({ "x": whole }));
    assert_eq!(resolved(&[from, deployment(json!([]))]), Ok(json!({ "x": whole })));
    assert_eq!(secret_of(&whole), None);
}

#[test]
fn the_release_is_made_of_what_was_resolved_and_of_names_of_secrets() {
    let release = |world: &[Written]| {
        let catalog = catalog(world);
        let variables = resolve(catalog.workspace(&acme()).unwrap(), &target("r")).unwrap();
        release_id(&target("r"), VersionId(Uuid::nil()), &variables)
    };
    let world = |region: Value, secret: &str| {
        let secret = json!({ "secretRef": secret });
        let from =
            resource("r", json!({ "next": "s" }), json!({ "x": refer("variables.region"), "y": secret }));
        vec![deployment(json!([])), from, resource("s", json!({}), json!({ "region": region })), next()]
    };
    let first = release(&world(json!("eu"), "db"));
    assert_eq!(first, release(&world(json!("eu"), "db")));
    assert_ne!(first, release(&world(json!("us"), "db")), "what it refers to changed");
    assert_ne!(first, release(&world(json!("eu"), "db-2")), "another secret");
    // The same value by another way is the same release.
    let literal = vec![
        deployment(json!([])),
        resource("r", json!({}), json!({ "x": "eu", "y": { "secretRef": "db" } })),
    ];
    assert_eq!(first, release(&literal));
}

#[test]
fn one_resolver_answers_for_every_target_as_a_new_one_would() {
    let declared = json!([{ "key": "x", "values": [{ "selector": "resource.name == 'r'", "value": refer("name") }], "default": 0 },
                          { "key": "y", "default": refer("config.region") }]);
    let world = [
        deployment(declared),
        next(),
        resource("r", json!({ "next": "s" }), json!({})),
        resource("s", json!({ "next": "t" }), json!({})),
        resource("t", json!({}), json!({})),
    ];
    let catalog = catalog(&world);
    let ws = catalog.workspace(&acme()).unwrap();
    let resolver = Resolver::of(ws, DeploymentId::of(&acme(), "web"));
    for on in ["r", "s", "r", "r", "t", "s", "t", "nowhere"] {
        assert_eq!(resolver.resolve(&target(on)), resolve(ws, &target(on)), "{on}");
    }
    assert_eq!(resolved_on("s", &world), Ok(json!({ "x": 0, "y": "region of t" })));
}

/// A world with everything that has an order: values, sets of one priority, rules of one name, resources, mistakes.
fn world() -> Vec<Written> {
    let declared = json!([
        { "key": "a", "values": [{ "selector": "resource.metadata.next == 's'", "value": "first" }, { "value": "second" }] },
        { "key": "b", "default": 1 },
        { "key": "c" },
        { "key": "d", "default": refer("variables.x") },
        { "key": "e", "default": { "reference": "any", "path": "name" } },
    ]);
    vec![
        deployment(declared),
        next(),
        rule("any-1", "any", "true", "true", "to.name == 'u'"),
        rule("any-2", "any", "true", "true", "has(to.metadata.next) && to.metadata.next == 'r'"),
        set("one", "true", 1, json!({ "b": "one", "c": 1 })),
        set("two", "true", 1, json!({ "b": "two" })),
        set("three", "resource.metadata.nothing == ''", 1, json!({ "c": 3 })),
        resource("r", json!({ "next": "s" }), json!({})),
        resource("s", json!({ "next": "t" }), json!({ "x": refer("variables.y") })),
        resource("t", json!({ "next": "s" }), json!({ "y": { "secretRef": "db" } })),
        resource("u", json!({ "next": "r" }), json!({})),
    ]
}

proptest! {
    #[test]
    fn the_order_in_which_things_became_known_does_not_matter(
        order in Just(world()).prop_shuffle(),
        without in proptest::collection::btree_set(1..11_usize, 0..4),
    ) {
        let sorted = world();
        let gone: Vec<CatalogKey> = without.iter().map(|n| sorted[*n].0.clone()).collect();
        let left = |world: Vec<Written>| -> Vec<Written> {
            world.into_iter().filter(|(key, _)| !gone.contains(key)).collect()
        };
        prop_assert_eq!(resolved(&left(order)), resolved(&left(sorted)));
    }
}
