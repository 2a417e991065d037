//! The catalog that is measured: many lanes of one target each, for latency, and one deployment with many targets, for
//! a burst. A lane carries one job at a time, so a steady stream of webhooks goes round them.

use std::fmt::Write as _;

use super::{OWNER, REPO, WORKFLOW};
use crate::world::World;

/// So many lanes at least, and at most.
const LANES: std::ops::RangeInclusive<u32> = 200..=4_000;
/// The deployment of the burst, and the event that starts it.
pub(super) const BURST: &str = "burst";
pub(super) const BURST_EVENT: &str = "bench-burst";
/// How many documents go into one request.
const DOCUMENTS: usize = 500;

/// The event that makes a version on a lane.
pub(super) fn event_of(lane: u32) -> String {
    format!("bench-lane-{lane}")
}

/// How many lanes so many webhooks need. A lane that gets two while its job runs would go straight to the newer version,
/// as it should, and the older would never be called for: so each webhook has a lane of its own, as far as that goes.
pub(super) fn lanes_for(webhooks: u32) -> u32 {
    webhooks.clamp(*LANES.start(), *LANES.end())
}

/// Applies everything.
pub(super) async fn apply(world: &World, lanes: u32, targets: u32) -> anyhow::Result<()> {
    world.client.apply(&world.fill(&common())).await?;
    let lanes = (0..lanes).map(lane);
    let resources = (0..targets).map(|number| resource(&format!("target-{number}")));
    let documents: Vec<String> = lanes.chain(resources).collect();
    for some in documents.chunks(DOCUMENTS) {
        world.client.apply(&world.fill(&some.join(""))).await?;
    }
    Ok(())
}

fn common() -> String {
    let mut text = String::from("kind: Workspace\nmetadata: { name: <WORKSPACE> }\nspec: {}\n");
    document(
        &mut text,
        "TriggerSource",
        "<SOURCE>",
        "  sender: { type: github }\n  secretRefs: [<WEBHOOK_SECRET>]\n",
    );
    let agent = format!(
        "  type: github-app\n  config:\n    baseUrl: <GITHUB_URL>\n    appId: \"<APP_ID>\"\n    \
         privateKeySecret: <APP_KEY_SECRET>\n    owner: {OWNER}\n    repo: {REPO}\n    workflow: {WORKFLOW}\n    \
         rateLimit: {{ writesPerMinute: 0 }}\n    \
         inputs: {{ resource: \"{{{{ resource.identifier }}}}\", version: \"{{{{ version.tag }}}}\" }}\n"
    );
    document(&mut text, "JobAgent", "github", &agent);
    for (name, selector) in
        [("lanes", "resource.identifier == \"lane\""), (BURST, "resource.identifier.startsWith(\"target-\")")]
    {
        document(&mut text, "System", name, "  {}\n");
        let environment = format!("  systems: [{name}]\n  resourceSelector: '{selector}'\n");
        document(&mut text, "Environment", name, &environment);
    }
    text.push_str(&resource("lane"));
    text.push_str(&deployment(BURST, BURST, BURST_EVENT));
    text
}

fn lane(number: u32) -> String {
    deployment(&format!("lane-{number}"), "lanes", &event_of(number))
}

/// A deployment, and the trigger that makes its versions.
fn deployment(name: &str, system: &str, event: &str) -> String {
    let mut text = String::new();
    let spec = format!("  systems: [{system}]\n  jobAgents: [{{ ref: github }}]\n");
    document(&mut text, "Deployment", name, &spec);
    let spec = format!(
        "  source: <SOURCE>\n  event: {event}\n  then:\n    createVersion:\n      deployment: {name}\n      \
         tag: \"{{{{ event.after }}}}\"\n"
    );
    document(&mut text, "Trigger", name, &spec);
    text
}

fn resource(name: &str) -> String {
    let mut text = String::new();
    document(&mut text, "Resource", name, &format!("  identifier: {name}\n"));
    text
}

fn document(text: &mut String, kind: &str, name: &str, spec: &str) {
    write!(text, "---\nkind: {kind}\nmetadata: {{ name: {name}, workspace: <WORKSPACE> }}\nspec:\n{spec}")
        .expect("a String takes any text");
}
