//! Every command of the documentation is run as it stands there, on a running system, and ends as it should.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::rig::{Rig, repository};

/// Commands that may end otherwise than well, and why.
const ENDS: [(&str, &[i32], &str); 5] = [
    ("ctrlplane diff", &[0, 6], "6: something would change"),
    ("ctrlplane doctor", &[0, 1], "1: the platforms of the examples are not there"),
    (
        "ctrlplane version create web",
        &[0, 1, 3, 4],
        "the platforms of the examples are not there; or the version is",
    ),
    ("ctrlplane watch web", &[3, 4], "the platforms of the examples are not there"),
    ("ctrlplane logs", &[0, 1], "1: the job has no page yet"),
];
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

/// The lines of code that call `ctrlplane`, without what is said beside them.
fn commands() -> Vec<(String, String)> {
    let mut commands = Vec::new();
    for page in pages() {
        let name = page.strip_prefix(repository()).expect("below it").display().to_string();
        let text = std::fs::read_to_string(&page).expect("a page");
        let mut is_fenced = false;
        for line in text.lines() {
            if line.trim_start().starts_with("```") {
                is_fenced = !is_fenced;
            }
            let is_code = is_fenced || line.starts_with("    ");
            let line = line.trim().trim_start_matches("$ ");
            if is_code && line.starts_with("ctrlplane ") {
                let line = line.split("  #").next().unwrap_or(line).trim();
                commands.push((name.clone(), line.to_owned()));
            }
        }
    }
    commands
}

/// In the order in which a reader would go: what is removed in one page must not be missed in another.
fn is_destructive(line: &str) -> bool {
    line.contains(" delete") || line.contains(" freeze") || line.contains(" cancel ")
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
    let made =
        rig.until("ctrlplane keys create tried --user ci --role viewer@acme --for 1h -o name", &[0]).await;

    let mut all = commands();
    assert!(all.len() >= LINES_MIN, "only {} commands were found", all.len());
    all.sort_by_key(|(_, line)| is_destructive(line));
    let mut seen = BTreeSet::new();
    all.retain(|(_, line)| seen.insert(line.clone()));
    for (page, line) in all {
        let is_endless = line.contains("jobs --watch");
        let mut run = line.replace("JOB", &job).replace("3f2a91c0", &job[..8]);
        run = run.replace("0e4b…", made.out.trim());
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
        rig.until(&run, codes).await;
    }
    rig.end().await;
}
