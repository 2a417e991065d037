//! Every command of the documentation is run as it stands there, on a running system, and ends as it should.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::rig::{Rig, repository};

/// Commands that may end otherwise than well, and why.
const ENDS: [(&str, &[i32], &str); 6] = [
    ("ctrlplane diff", &[0, 6], "6: something would change"),
    ("ctrlplane doctor", &[0, 1], "1: the platforms of the examples are not there"),
    (
        "ctrlplane version create web",
        &[0, 1, 3, 4],
        "the platforms of the examples are not there; or the version is",
    ),
    ("ctrlplane workflow run ship", &[3, 4], "the platforms of the examples are not there"),
    ("ctrlplane watch web", &[3, 4], "the platforms of the examples are not there"),
    ("ctrlplane logs", &[0, 1], "1: the job has no page yet"),
];
/// A workflow whose run waits to be looked at and cancelled: nobody works for it.
const WAITS: &str = "kind: JobAgent
metadata: { name: idle, workspace: acme }
spec: { type: http-pull, config: { keySecret: runner-key } }
---
kind: Workflow
metadata: { name: waits, workspace: acme }
spec: { jobs: [{ name: wait, agent: { ref: idle } }] }
";
/// What runs until it is ended gets so long.
const A_WHILE: &str = "timeout --preserve-status -s INT 3 ";
/// No documentation shows fewer; a test that finds none tests nothing.
const LINES_MIN: usize = 30;

fn pages() -> Vec<PathBuf> {
    fn walk(dir: &Path, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(dir).expect("a directory") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                found.push(path);
            }
        }
    }
    let mut found = vec![repository().join("README.md")];
    walk(&repository().join("docs"), &mut found);
    found.sort();
    found
}

/// What a page shows as code and is no command: how it begins, and what it is.
const NO_COMMANDS: [(&str, &str); 3] = [
    ("key 0e4b…", "what the command above it says"),
    ("cpk_…", "what the command above it says"),
    ("ctrlplane.status.<workspace>", "a subject"),
];

/// Commands that are not run here: how they begin, and why not.
const ELSEWHERE: [(&str, &str); 9] = [
    ("cp downloaded-key.pem", "GitHub makes that file"),
    ("cp deploy/docker/env.example", "of docker compose"),
    ("docker compose", "builds images"),
    ("cargo run", "`ctrlplane dev` is what runs here, `ctrlplane demo` has a test of its own"),
    ("cargo test", "this is a part of it"),
    ("git push", "goes to GitHub; tests/system pushes to the stand-in"),
    (
        "nats ",
        "another project's program; the tests of shared/bus and of agent-http-pull use these subjects under these permissions",
    ),
    ("CTRLPLANE_NATS_URL=", "the tests of shared/bus run these programs"),
    (
        "curl --fail-with-body -sS -H \"X-API-Key: $CTRLPLANE_API_KEY\"",
        "ci.rs runs it, where its rollout ends",
    ),
];

/// The commands of a page: lines of code, without what is said beside them, continued ones in one.
fn commands_of(page: &str, text: &str) -> Vec<String> {
    let (mut commands, mut fence, mut before) = (Vec::<String>::new(), None, "");
    let mut is_configuration = false;
    for line in text.lines() {
        let (last, trimmed) = (std::mem::replace(&mut before, line), line.trim());
        if let Some(language) = trimmed.strip_prefix("```") {
            fence = if fence.is_some() { None } else { Some(language.to_owned()) };
            continue;
        }
        let is_indented = fence.is_none() && line.starts_with("    ") && !trimmed.starts_with(['-', '|']);
        let is_shell = matches!(fence.as_deref(), Some("" | "console" | "sh" | "bash" | "shell"));
        if !(is_indented || is_shell) || trimmed.is_empty() {
            continue;
        }
        if last.trim().is_empty() || !last.starts_with("    ") {
            is_configuration = trimmed.starts_with('{');
        }
        let is_told = NO_COMMANDS.iter().any(|(begin, _)| trimmed.starts_with(begin));
        if is_configuration || is_told {
            continue;
        }
        if let Some(command) = commands.last_mut().filter(|command| command.ends_with('\\')) {
            command.pop();
            command.push_str(trimmed);
            continue;
        }
        let line = trimmed.trim_start_matches("$ ");
        let line = line.split("  #").next().unwrap_or(line).trim();
        let is_run = ["ctrlplane ", "curl ", "printf ", "openssl ", "mkdir ", "key="];
        let is_elsewhere = ELSEWHERE.iter().any(|(begin, _)| line.starts_with(begin));
        assert!(
            is_elsewhere || is_run.iter().any(|program| line.starts_with(program)),
            "{page}: neither run nor listed with a reason: {line}"
        );
        commands.push(line.to_owned());
    }
    commands
}

/// What is run of all pages.
fn commands() -> Vec<(String, String)> {
    let mut all = Vec::new();
    for page in pages() {
        let name = page.strip_prefix(repository()).expect("below it").display().to_string();
        let text = std::fs::read_to_string(&page).expect("a page");
        all.extend(commands_of(&name, &text).into_iter().map(|command| (name.clone(), command)));
    }
    for (begin, why) in ELSEWHERE {
        assert!(all.iter().any(|(_, command)| command.starts_with(begin)), "{begin} is not there ({why})");
    }
    all.retain(|(_, command)| !ELSEWHERE.iter().any(|(begin, _)| command.starts_with(begin)));
    all
}

/// A command of another program, as it is run here, and how it ends.
fn beside(rig: &Rig, line: &str) -> (String, &'static [i32]) {
    let run = line.replace("http://127.0.0.1:8080", &rig.url).replace("X-API-Key: …", "X-API-Key: $KEY");
    let run = format!("URL='{}' KEY='{}' key=any; {run}", rig.url, rig.key);
    // Events have no end.
    if run.contains("curl -N") {
        return (run.replace("curl -N", "curl -sS -f -N --max-time 3"), &[28]);
    }
    (run.replace("curl ", "curl -f "), &[0])
}

/// In the order in which a reader would go: what is removed in one page must not be missed in another.
fn is_destructive(line: &str) -> bool {
    line.contains(" delete") || line.contains(" freeze") || line.contains(" cancel ")
}

/// The platforms of the examples are not there, and their secrets are not; all else of them is as it must be.
async fn nothing_is_configured_badly(rig: &Rig) {
    let (all, _) = rig.run("ctrlplane jobs --limit 200 -o json", 0).await;
    let all: serde_json::Value = serde_json::from_str(&all).expect("JSON");
    let all = all["items"].as_array().expect("a list");
    assert!(!all.is_empty(), "the examples made no job");
    let mut platforms = BTreeSet::new();
    for job in all {
        let job = &job["job"];
        let (status, message) = (job["status"].as_str().expect("a status"), job["message"].as_str());
        let is_config = message.is_some_and(|message| message.contains("config"));
        assert!(!["invalidJobAgent", "invalid_job_agent"].contains(&status) && !is_config, "{job}");
        platforms.extend(job["platform"].as_str().map(str::to_owned));
    }
    // A job whose secret is missing was looked at by its agent, and its config was read before that.
    assert!(platforms.contains("github-app"), "{platforms:?}");
    // No example takes back what another one says.
    let (acme, _) = rig.run("ctrlplane get workspace acme -o json", 0).await;
    let acme: serde_json::Value = serde_json::from_str(&acme).expect("JSON");
    assert_eq!(acme["spec"]["displayName"], "Acme", "{acme}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_command_of_the_documentation_works_as_it_stands_there() {
    let rig = Rig::start().await;
    rig.run("ctrlplane apply -f docs/examples/github.yaml", 0).await;
    for tag in ["v1.4.0", "v1.4.1", "8c35b5b"] {
        rig.run(&format!("ctrlplane version create web {tag}"), 0).await;
    }
    rig.write(
        "proposed.yaml",
        "kind: Policy\nmetadata: { name: proposed }\nspec: { selector: 'true', rules: [{ anyApproval: { minApprovals: 1 } }] }\n",
    );
    // Nobody works this one: it waits to be looked at and cancelled.
    rig.run("ctrlplane version create pulled v1", 0).await;
    let waiting = rig.until("ctrlplane jobs --deployment pulled -o name | head -n 1 | grep job/", &[0]).await;
    let job = waiting.out.trim().trim_start_matches("job/").to_owned();
    rig.write("waits.yaml", WAITS);
    rig.run("ctrlplane apply -f waits.yaml && ctrlplane apply -f docs/examples/workflow.yaml", 0).await;
    let begun = rig.until("ctrlplane workflow run waits -o name", &[0]).await;
    let workflow_run = begun.out.trim().trim_start_matches("workflow-run/").to_owned();
    let made =
        rig.until("ctrlplane keys create tried --user ci --role viewer@acme --for 1h -o name", &[0]).await;

    let mut all = commands();
    assert!(all.len() >= LINES_MIN, "only {} commands were found", all.len());
    all.sort_by_key(|(_, line)| is_destructive(line));
    let mut seen = BTreeSet::new();
    all.retain(|(_, line)| seen.insert(line.clone()));
    rig.run("mkdir -p secrets admin", 0).await;
    for (page, line) in all {
        if !line.starts_with("ctrlplane ") {
            eprintln!("{page}: {line}");
            let (run, codes) = beside(&rig, &line);
            let ended = rig.until(&run, codes).await;
            assert!(!line.contains("/events") || ended.out.contains("event:"), "{line}: {ended:?}");
            continue;
        }
        let is_endless = line.contains("jobs --watch");
        let mut run = line.replace("JOB", &job).replace("3f2a91c0", &job[..8]);
        run = run.replace("0e4b…", made.out.trim()).replace(" RUN", &format!(" {workflow_run}"));
        // Half an hour is for people.
        for timeout in ["--timeout 20m", "--timeout 30m"] {
            run = run.replace(timeout, "--timeout 20s");
        }
        if run.contains("--wait") && !run.contains("--timeout") {
            run = run.replace("--wait", "--wait --timeout 20s");
        }
        if is_endless {
            run = run.replacen("ctrlplane", &format!("{A_WHILE}ctrlplane"), 1);
        }
        let codes =
            ENDS.iter().find(|(begin, ..)| line.starts_with(begin)).map_or(&[0][..], |(_, codes, _)| *codes);
        eprintln!("{page}: {run}");
        let ended = rig.until(&run, codes).await;
        // An example that finds nothing shows nothing.
        let is_found = !line.contains("audit --object") || ended.out.contains("production-gate");
        assert!(is_found, "{line}: {ended:?}");
    }
    nothing_is_configured_badly(&rig).await;
    rig.end().await;
}
