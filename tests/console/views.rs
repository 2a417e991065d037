//! Every view, looked at in every way.

use std::path::Path;

use serde_json::Value;

use crate::accessible::faults;
use crate::browser::Look;
use crate::stage::{NO_JOB, Stage};

/// The directory of the pictures.
const PICTURES: &str = concat!(env!("CARGO_TARGET_TMPDIR"), "/console");

pub(crate) async fn are_fit_for_everybody(stage: &Stage<'_>) {
    let pictures = Path::new(PICTURES);
    std::fs::create_dir_all(pictures).unwrap();
    let mut wrong = Vec::new();
    for (name, path) in addresses(stage).await {
        for look in Look::ALL {
            stage.browser.look(look).await;
            stage.browser.open(&stage.url(&path)).await;
            stage.drawn().await;
            let file = format!("{name}-{}-{}.png", look.theme, look.width);
            stage.browser.picture(look, &pictures.join(&file)).await;
            let faults = faults(stage.browser).await.into_iter().chain(stage.complaints().await);
            wrong.extend(faults.map(|fault| format!("{file}: {fault}")));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Every view, and what it is called.
async fn addresses(stage: &Stage<'_>) -> Vec<(&'static str, String)> {
    let failed = stage.job("v2", "staging-us-1", "failure").await;
    let running = stage.job("v4", "staging-eu-1", "in_progress").await;
    let id = |job: &Value| job["id"].as_str().unwrap().to_owned();
    let waiting = stage.system.client.get("/api/v1/workspaces/acme/waiting").await.unwrap().1;
    let target = waiting["items"][0]["target"]["key"].as_str().expect("a target waits").to_owned();
    let resources = stage.system.client.get("/api/v1/workspaces/acme/resources").await.unwrap().1;
    let resource = resources["items"][0]["id"].as_str().unwrap().to_owned();
    let runs = stage.system.client.get("/api/v1/workspaces/acme/workflow-runs").await.unwrap().1;
    let run = runs["items"][0].clone();
    let plain = [
        "overview",
        "deployments",
        "jobs",
        "why",
        "approvals",
        "resources",
        "workflows",
        "policies",
        "agents",
        "triggers",
        "freeze",
        "dead-letters",
        "audit",
    ];
    let mut all: Vec<(&'static str, String)> =
        plain.iter().map(|view| (*view, format!("acme/{view}"))).collect();
    all.push(("job-failed", format!("acme/jobs/{}", id(&failed))));
    all.push(("job-running", format!("acme/jobs/{}", id(&running))));
    all.push(("why-target", format!("acme/why/{target}")));
    all.push(("resource", format!("acme/resources/{resource}")));
    all.push(("workflow", format!("acme/workflows/{}", run["workflowId"].as_str().expect("a run"))));
    all.push(("workflow-run", format!("acme/workflows/runs%2F{}", id(&run))));
    all.push(("not-found", "acme/nowhere".to_owned()));
    all.push(("no-such-job", format!("acme/jobs/{NO_JOB}")));
    all
}
