//! The API against its own description: nothing that fits it, and nothing that does not, brings a 5xx or an answer that is
//! not described. The program that tries is named by `CTRLPLANE_SCHEMATHESIS`; `.ci/schemathesis` installs it.
#![allow(clippy::disallowed_methods, reason = "a test has a clock and an environment")]
#![allow(dead_code, reason = "the harness has more words than this test needs")]

#[path = "../api/harness.rs"]
mod harness;

use crate::harness::World;
use reqwest::StatusCode;
use serde_json::json;
use std::time::Duration;

const WITHIN: Duration = Duration::from_secs(15 * 60);
const CHECKS: &str =
    "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance";

#[tokio::test(flavor = "multi_thread")]
async fn nothing_brings_an_answer_that_is_not_described() {
    let program = std::env::var("CTRLPLANE_SCHEMATHESIS").expect("CTRLPLANE_SCHEMATHESIS names schemathesis");
    let world = World::with_shop().await;
    let version = json!({ "tag": "1.0", "name": "", "status": "ready" });
    let made = world.post("otto", "/api/v1/workspaces/acme/deployments/web/versions", version).await;
    assert_eq!(made.status, StatusCode::OK, "{made:?}");
    world.requested(1).await;
    // Most of what is tried shall reach something that is there.
    let config = world.servers.dir.path().join("schemathesis.toml");
    std::fs::write(&config, "[parameters]\n\"path.w\" = \"acme\"\n").expect("written");
    let mut command = tokio::process::Command::new(program);
    command.arg("--config-file").arg(config).arg("run").arg(format!("{}/openapi.json", world.base)).args([
        "--header",
        "X-API-Key: adam",
        "--checks",
        CHECKS,
        "--max-examples",
        "15",
        "--phases",
        "examples,coverage,fuzzing",
        "--seed",
        "7",
        "--no-color",
        // Live events never end, and what deletes the workspace leaves nothing to try on.
        "--exclude-path-regex",
        "/events$",
        "--exclude-operation-id",
        "deleteV1WorkspacesByW",
    ]);
    // What it remembers of a run stays with the run.
    command.current_dir(world.servers.dir.path()).kill_on_drop(true);
    let ran = tokio::time::timeout(WITHIN, command.output()).await;
    let output = ran.expect("it ends in time").expect("it runs");
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{told}\n{}", String::from_utf8_lossy(&output.stderr));
    world.end().await;
}
