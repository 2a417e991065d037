//! Another name for what is there: it stays what it is, is found by its new name, and its old one is free.

use crate::harness::{Answer, SHOP, World, until};
use bus::topology::CATALOG;
use reqwest::StatusCode;
use serde_json::{Value, json};

const W: &str = "/api/v1/workspaces/acme";

fn id(answer: &Answer) -> &str {
    answer.json["id"].as_str().unwrap_or_else(|| panic!("no id: {answer:?}"))
}

impl World {
    /// The id behind a name.
    async fn named(&self, kind: &str, name: &str) -> Option<String> {
        let all = self.get("vera", &format!("{W}/{kind}?limit=100")).await;
        let items = all.json["items"].as_array().unwrap_or_else(|| panic!("no items: {all:?}"));
        let found: Vec<&Value> = items.iter().filter(|item| item["name"] == json!(name)).collect();
        assert!(found.len() < 2, "{name} is the name of several: {found:?}");
        found.first().map(|item| item["id"].as_str().expect("an id").to_owned())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_gets_another_name_stays_what_it_is_and_leaves_the_old_one_to_others() {
    let world = World::with_shop().await;
    let web = world.named("deployments", "web").await.expect("the shop's");
    let one = format!("{W}/deployments/{web}");
    let renamed = world.put("adam", &one, json!({ "name": "front" })).await;
    assert_eq!((renamed.status, id(&renamed)), (StatusCode::ACCEPTED, &*web), "{renamed:?}");
    let again = world.put("adam", &one, json!({ "name": "front" })).await;
    assert_eq!((id(&again), &again.json["message"]), (&*web, &json!("unchanged")), "{again:?}");
    let read = world.get("vera", &format!("{W}/deployments/name/front")).await;
    assert_eq!((id(&read), &read.json["slug"]), (&*web, &json!("front")), "{read:?}");
    assert_eq!(world.get("vera", &format!("{W}/deployments/name/web")).await.status, StatusCode::NOT_FOUND);
    // Files name it by its new name.
    let version = |deployment: &str| {
        format!(
            "kind: Version\nmetadata: {{ workspace: acme }}\nspec: {{ deployment: {deployment}, tag: v1 }}\n"
        )
    };
    let applied = world.apply("otto", &version("front"), false).await;
    let versions = world.get("vera", &format!("{one}/versions")).await;
    assert_eq!(versions.json["items"][0]["id"], applied.json["results"][0]["id"], "{applied:?} {versions:?}");
    let unknown = world.apply("otto", &version("web"), false).await;
    assert_eq!(
        (unknown.status, &unknown.json["errors"][0]["field"]),
        (StatusCode::BAD_REQUEST, &json!("spec.deployment")),
        "{unknown:?}"
    );
    let change = "kind: Deployment\nmetadata: { name: front, workspace: acme }\n\
                  spec: { description: Seen first, systems: [shop], jobAgents: [{ ref: github }] }\n";
    let changed = world.apply("adam", change, false).await;
    assert_eq!((&changed.json["results"][0]["id"], changed.actions()), (&json!(web), vec!["updated"]));
    // The files of before declare another one now, of the same name as this one had, and what they name is that.
    let both = format!("{SHOP}---\n{}", version("web"));
    let other = world.apply("adam", &both, false).await;
    assert_eq!(other.status, StatusCode::OK, "{other:?}");
    let second = world.named("deployments", "web").await.expect("a new one");
    assert_ne!(second, web);
    let versions = world.get("vera", &format!("{W}/deployments/{second}/versions")).await;
    assert_eq!(versions.json["total"], 1, "{versions:?}");
    assert_eq!(world.apply("adam", &both, false).await.actions(), vec!["unchanged"; 9]);
    // Two never have one name, and neither does a new one take it.
    let taken = world.put("adam", &format!("{W}/deployments/{second}"), json!({ "name": "front" })).await;
    assert_eq!(
        (taken.status, &taken.json["errors"][0]["field"]),
        (StatusCode::CONFLICT, &json!("name")),
        "{taken:?}"
    );
    // What is there no more leaves its name, too.
    let gone = world.ask("adam", reqwest::Method::DELETE, &format!("{W}/deployments/{second}"), None).await;
    assert_eq!(gone.status, StatusCode::ACCEPTED, "{gone:?}");
    let back = world.put("adam", &one, json!({ "name": "web" })).await;
    assert_eq!((back.status, id(&back)), (StatusCode::ACCEPTED, &*web), "{back:?}");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_that_get_one_name_at_once_do_not_both_get_it() {
    let world = World::with_shop().await;
    let replica = world.replica().await;
    let environment = |name: &str| json!({ "name": name, "resourceSelector": "true" });
    for round in 0..5 {
        let (mut ids, wanted) = (Vec::new(), format!("wanted-{round}"));
        for n in 0..2 {
            let made = world
                .post("adam", &format!("{W}/environments"), environment(&format!("e-{round}-{n}")))
                .await;
            ids.push(id(&made).to_owned());
        }
        let first = format!("{W}/environments/{}", ids[0]);
        let here = world.put("adam", &first, environment(&wanted));
        let there = async {
            let path = format!("{W}/environments/{}", ids[1]);
            let request = replica.request(reqwest::Method::PUT, &path).header("x-api-key", "adam");
            request.json(&environment(&wanted)).send().await.expect("answered").status()
        };
        let new = async {
            let request = replica.request(reqwest::Method::POST, &format!("{W}/environments"));
            let request = request.header("x-api-key", "adam").json(&environment(&wanted));
            request.send().await.expect("answered").status()
        };
        let (here, there, new) = tokio::join!(here, there, new);
        let all = [here.status, there, new];
        let given = all.iter().filter(|status| **status == StatusCode::ACCEPTED).count();
        assert!(all.iter().all(|status| matches!(status.as_u16(), 202 | 409)), "{all:?}");
        // The one that is made may be what is there already.
        assert!(given == 1 || (given == 2 && new == StatusCode::ACCEPTED), "{all:?}");
        assert!(world.named("environments", &wanted).await.is_some(), "{all:?}");
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_others_name_keeps_its_name_until_they_name_its_id() {
    let world = World::with_shop().await;
    let agent = world.named("job-agents", "github").await.expect("the shop's");
    let (one, sent) = (format!("{W}/job-agents/{agent}"), json!({ "name": "hub", "type": "github-actions" }));
    let named = world.put("adam", &one, sent.clone()).await;
    assert_eq!(
        (named.status, &named.json["errors"][0]["field"]),
        (StatusCode::CONFLICT, &json!("name")),
        "{named:?}"
    );
    let web = world.named("deployments", "web").await.expect("the shop's");
    let by_id = json!({ "name": "web", "jobAgents": [{ "ref": agent }] });
    let written = world.put("adam", &format!("{W}/deployments/{web}"), by_id).await;
    assert_eq!(written.status, StatusCode::ACCEPTED, "{written:?}");
    let flow =
        |agent: &str| json!({ "name": "ship", "jobs": [{ "name": "build", "agent": { "ref": agent } }] });
    let made = world.post("adam", &format!("{W}/workflows"), flow("github")).await;
    assert_eq!(made.status, StatusCode::ACCEPTED, "{made:?}");
    let named = world.put("adam", &one, sent.clone()).await;
    assert_eq!(named.status, StatusCode::CONFLICT, "a workflow names it: {named:?}");
    let workflow = format!("{W}/workflows/{}", id(&made));
    let run = world.post("otto", &format!("{workflow}/runs"), json!({})).await;
    assert_eq!(run.status, StatusCode::ACCEPTED, "{run:?}");
    let written = world.put("adam", &workflow, flow(&agent)).await;
    assert_eq!(written.status, StatusCode::ACCEPTED, "{written:?}");
    let open = world.put("adam", &one, sent.clone()).await;
    assert_eq!(open.status, StatusCode::CONFLICT, "an open run names it: {open:?}");
    let (bucket, key) = (world.bus.bucket(&CATALOG), format!("acme.workflow-run.{}", id(&run)));
    let (mut ended, revision): (Value, u64) = bucket.get_json(&key).await.unwrap().unwrap();
    ended["spec"]["end"] = json!({ "status": "failure", "at": "2026-01-02T03:04:05Z" });
    bucket.update_json(&key, &ended, revision).await.unwrap();
    let renamed = until("the run is seen to be over", async || {
        let renamed = world.put("adam", &one, sent.clone()).await;
        (renamed.status != StatusCode::CONFLICT).then_some(renamed)
    })
    .await;
    assert_eq!((renamed.status, id(&renamed)), (StatusCode::ACCEPTED, &*agent), "{renamed:?}");
    let written = world.put("adam", &workflow, flow("hub")).await;
    assert_eq!(written.status, StatusCode::ACCEPTED, "its new name is known: {written:?}");
    let kept = world.ask("adam", reqwest::Method::DELETE, &one, None).await;
    assert_eq!(kept.status, StatusCode::CONFLICT, "it is named still: {kept:?}");
    world.end().await;
}
