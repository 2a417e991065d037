//! The catalog from files: all or nothing at the gate, twice is once, and a dry run leaves no trace.

use crate::harness::{SHOP, World};
use bus::topology::{AUDIT, StreamSpec};
use reqwest::{Method, StatusCode};
use serde_json::json;

/// How many messages the catalog and the audit have ever had.
async fn traces(world: &World) -> (u64, u64) {
    let stream = world.bus.jetstream().get_stream("KV_catalog").await.expect("there");
    let audit: &StreamSpec = &AUDIT;
    (stream.cached_info().state.last_sequence, world.bus.last_sequence(audit).await.expect("there"))
}

#[tokio::test(flavor = "multi_thread")]
async fn applying_twice_is_applying_once_and_a_dry_run_leaves_no_trace() {
    let world = World::start().await;
    let dry = world.apply("vera", SHOP, true).await;
    assert_eq!((dry.status, &dry.json["dryRun"]), (StatusCode::OK, &json!(true)), "{dry:?}");
    assert_eq!(dry.actions(), ["created"; 8]);
    assert_eq!(traces(&world).await, (0, 0), "a dry run writes nothing");

    let first = world.apply("adam", SHOP, false).await;
    assert_eq!(first.actions(), ["created"; 8], "{first:?}");
    assert_eq!(first.json["results"][0]["kind"], "Workspace", "what is named comes before what names it");
    assert_eq!(traces(&world).await, (8, 8), "one write and one audit each");

    let second = world.apply("adam", SHOP, false).await;
    assert_eq!(second.actions(), ["unchanged"; 8], "{second:?}");
    assert_eq!(traces(&world).await, (8, 8), "nothing was written");

    let changed = SHOP.replace("Everything customers see", "What customers see");
    let dry = world.apply("adam", &changed, true).await;
    let system =
        dry.json["results"].as_array().unwrap().iter().find(|result| result["kind"] == "System").unwrap();
    let diff = system["diff"].as_str().expect("a diff");
    assert!(diff.contains("-  description: Everything customers see\n"), "{diff}");
    assert!(diff.contains("+  description: What customers see\n"), "{diff}");
    assert_eq!(dry.actions().iter().filter(|action| **action == "updated").count(), 1);
    assert_eq!(traces(&world).await, (8, 8));
    let third = world.apply("adam", &changed, false).await;
    assert_eq!(third.actions().iter().filter(|action| **action == "updated").count(), 1);
    assert_eq!(traces(&world).await, (9, 9));
    let read = world.get("vera", "/api/v1/workspaces/acme/catalog/systems/shop").await;
    assert_eq!(read.json["spec"]["description"], "What customers see", "the writer reads its write");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_wrong_document_stops_all_and_says_where() {
    let world = World::start().await;
    let wrong = format!(
        "{SHOP}---\nkind: Environment\nmetadata: {{ name: moon, workspace: acme }}\nspec:\n  systems: [shop]\n  \
         resourceSelecter: \"true\"\n---\nkind: Deployment\nmetadata: {{ name: lost, workspace: acme }}\nspec:\n  \
         systems: [nowhere]\n"
    );
    let refused = world.apply("adam", &wrong, false).await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{refused:?}");
    let line = wrong.lines().position(|line| line.contains("resourceSelecter")).unwrap() + 1;
    let errors = refused.json["errors"].as_array().expect("errors");
    let misspelt = errors.iter().find(|fault| fault["field"] == "spec.resourceSelecter");
    let misspelt = misspelt.unwrap_or_else(|| panic!("the misspelt field is not named: {refused:?}"));
    assert_eq!(
        (&misspelt["file"], &misspelt["document"], &misspelt["line"]),
        (&json!("shop.yaml"), &json!(9), &json!(line))
    );
    assert_eq!(traces(&world).await, (0, 0));

    let naming = "kind: Workspace\nmetadata: { name: acme }\nspec: {}\n---\nkind: Deployment\n\
                  metadata: { name: lost, workspace: acme }\nspec:\n  systems: [nowhere]\n";
    let refused = world.apply("adam", naming, false).await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{refused:?}");
    assert_eq!(refused.json["errors"][0]["field"], "spec.systems[0]", "{refused:?}");
    let homeless =
        world.apply("adam", "kind: System\nmetadata: { name: s, workspace: gone }\nspec: {}\n", false).await;
    assert_eq!(homeless.status, StatusCode::BAD_REQUEST, "{homeless:?}");
    let twice = "kind: Workspace\nmetadata: { name: acme }\nspec: {}\n---\nkind: Workspace\nmetadata: { name: acme }\n\
                 spec: { displayName: Acme }\n";
    assert_eq!(world.apply("adam", twice, false).await.status, StatusCode::BAD_REQUEST);
    let weak = world.apply("otto", SHOP, false).await;
    assert_eq!(weak.status, StatusCode::FORBIDDEN, "{weak:?}");
    assert_eq!(traces(&world).await, (0, 0));
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_others_name_cannot_be_deleted() {
    let world = World::with_shop().await;
    let catalog = "/api/v1/workspaces/acme/catalog";
    let refused = world.ask("adam", Method::DELETE, &format!("{catalog}/system/shop"), None).await;
    assert_eq!(refused.status, StatusCode::CONFLICT, "{refused:?}");
    let named: Vec<&str> = refused.json["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|fault| fault["message"].as_str().unwrap())
        .collect();
    assert!(named.iter().any(|name| name.starts_with("Deployment web ")), "{named:?}");

    let versions = "/api/v1/workspaces/acme/deployments/web/versions";
    world.post("adam", versions, json!({ "tag": "1" })).await;
    let owned = world.ask("adam", Method::DELETE, &format!("{catalog}/deployment/web"), None).await;
    assert_eq!(owned.status, StatusCode::CONFLICT, "{owned:?}");
    let gone =
        world.ask("adam", Method::DELETE, &format!("{catalog}/deployment/web?cascade=true"), None).await;
    assert_eq!((gone.status, &gone.json["deleted"]), (StatusCode::OK, &json!(2)), "{gone:?}");
    for path in ["deployment/web", "version/web:1"] {
        let read = world.get("vera", &format!("{catalog}/{path}")).await;
        assert_eq!(read.status, StatusCode::NOT_FOUND, "{read:?}");
    }
    assert_eq!(
        world
            .apply("adam", SHOP, false)
            .await
            .actions()
            .iter()
            .filter(|action| **action == "created")
            .count(),
        1
    );
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_are_narrowed_shown_in_pages_and_as_existing_clients_expect() {
    let world = World::with_shop().await;
    let at = |path: &str| format!("/api/v1/workspaces/acme/{path}");
    let page = world.get("vera", &at("catalog/environments?limit=1&offset=1")).await;
    assert_eq!((&page.json["total"], &page.json["items"][0]["meta"]["name"]), (&json!(2), &json!("staging")));
    let narrowed =
        world.get("vera", &at("catalog/environments?cel=environment.name%20==%20'production'")).await;
    assert_eq!(
        (&narrowed.json["total"], &narrowed.json["items"][0]["kind"]),
        (&json!(1), &json!("Environment"))
    );
    assert_eq!(
        world.get("vera", &at("catalog/environments?cel=environment.")).await.status,
        StatusCode::BAD_REQUEST
    );
    assert_eq!(world.get("vera", &at("catalog/pods")).await.status, StatusCode::NOT_FOUND);
    let flat = world.get("vera", &at("deployments/name/web")).await;
    assert_eq!((&flat.json["slug"], &flat.json["name"]), (&json!("web"), &json!("web")), "{flat:?}");
    let resource = world.get("vera", &at("resources/identifier/cluster-eu")).await;
    assert_eq!(resource.json["kind"], "kubernetes-cluster", "{resource:?}");

    let manifest = world.get("vera", &at("catalog/deployment/web?format=manifest")).await;
    let text = manifest.json.as_str().expect("a manifest");
    let again = world.apply("adam", text, false).await;
    assert_eq!(again.actions(), ["unchanged"], "what is shown can be applied: {text}\n{again:?}");

    let id = world.get("vera", "/api/v1/workspaces/slug/acme").await.json["id"].clone();
    let by_id = world.get("vera", &format!("/api/v1/workspaces/{}", id.as_str().unwrap())).await;
    assert_eq!((&by_id.json["slug"], &by_id.json["name"]), (&json!("acme"), &json!("Acme")));
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_example_of_policies_is_accepted_and_once_is_enough() {
    const EXAMPLE: &str =
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/examples/policies.yaml"));
    let world = World::start().await;
    let first = world.apply("adam", EXAMPLE, false).await;
    assert!(first.actions().iter().all(|action| *action == "created"), "{first:?}");
    let again = world.apply("adam", EXAMPLE, false).await;
    assert_eq!(again.actions(), vec!["unchanged"; first.actions().len()], "{again:?}");
    let written = world.get("vera", "/api/v1/workspaces/acme/catalog/policies/office-hours").await;
    assert_eq!(
        written.json["spec"]["rules"][0]["deploymentWindow"]["timezone"], "Europe/Berlin",
        "{written:?}"
    );
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_people_say_is_theirs_and_must_name_what_is_there() {
    let world = World::with_shop().await;
    let versions = "/api/v1/workspaces/acme/deployments/web/versions";
    world.post("adam", versions, json!({ "tag": "1" })).await;
    let said = "kind: Skip\nmetadata: { workspace: acme }\nspec: { policy: gate, rule: anyApproval, deployment: web, version: '1', \
                environment: production, reason: hotfix, createdBy: somebody }\n\
                ---\nkind: Pin\nmetadata: { workspace: acme }\nspec: { deployment: web, version: '1', reason: incident }\n\
                ---\nkind: Redeploy\nmetadata: { workspace: acme }\nspec: { deployment: web, environment: staging, resource: cluster-eu }\n\
                ---\nkind: RolloutControl\nmetadata: { workspace: acme }\nspec: { deployment: web, version: '1', environment: staging, action: pause }\n\
                ---\nkind: Freeze\nmetadata: { name: holidays, workspace: acme }\nspec: { reason: nobody is here }\n";
    let weak = world.apply("otto", said, false).await;
    assert_eq!(weak.status, StatusCode::FORBIDDEN, "a skip is for approvers: {weak:?}");
    let first = world.apply("anna", said, false).await;
    assert_eq!(first.actions(), ["created"; 5], "{first:?}");
    let again = world.apply("adam", said, false).await;
    let changed: Vec<&str> = again.actions().into_iter().filter(|action| *action != "unchanged").collect();
    assert_eq!(changed, ["updated"], "only the freeze has another owner: {again:?}");
    for (kind, field, who) in [
        ("skips", "createdBy", "anna"),
        ("pins", "createdBy", "anna"),
        ("redeploys", "by", "anna"),
        ("rolloutcontrols", "by", "anna"),
        ("freezes", "owner", "adam"),
    ] {
        let read = world.get("vera", &format!("/api/v1/workspaces/acme/catalog/{kind}")).await;
        assert_eq!(read.json["items"][0]["spec"][field], who, "{kind}: {read:?}");
    }

    for (rule, field) in [("versionCooldown", "spec.rule"), ("anyApproval, ruleIndex: 3", "spec.ruleIndex")] {
        let wrong = said.replace("rule: anyApproval", &format!("rule: {rule}"));
        let refused = world.apply("anna", &wrong, false).await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{refused:?}");
        assert_eq!(refused.json["errors"][0]["field"], field, "{refused:?}");
    }
    let nowhere = world.apply("anna", &said.replace("policy: gate", "policy: gone"), false).await;
    assert_eq!(nowhere.json["errors"][0]["field"], "spec.policy", "{nowhere:?}");
    world.end().await;
}
