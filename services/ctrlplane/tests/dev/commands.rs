//! What people do with a running system from the command line, beyond what needs no system.

use std::os::unix::fs::PermissionsExt as _;

use crate::rig::Rig;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rollout_is_followed_and_its_end_told_by_the_exit_code() {
    let mut rig = Rig::start().await;
    rig.pull();
    let (out, err) = rig.run("ctrlplane version create pulled v1 --wait --timeout 60s", 0).await;
    assert_eq!(out, "version/pulled:v1 created\n");
    assert!(err.contains("s live eu-1: on its way") && err.contains("s up to date on 1 target"), "{err}");
    let (_, err) = rig.run("ctrlplane watch pulled", 0).await;
    assert!(err.contains("version/pulled:v1") && err.contains("up to date"), "{err}");
    let (_, err) = rig.run("ctrlplane version create pulled bad-1 --wait --timeout 60s", 3).await;
    assert!(
        err.contains("the rollout failed") && err.contains("live eu-1: failed: the job is failure"),
        "{err}"
    );
    let (_, err) = rig.run("ctrlplane watch pulled v9", 1).await;
    assert!(err.contains("the newest are: bad-1, v1"), "{err}");

    let (table, _) = rig.run("ctrlplane agents", 0).await;
    let row: Vec<&str> = table.lines().nth(1).expect("a row").split_whitespace().collect();
    assert_eq!(row[..5], ["ok", "runner", "http-pull", "0", "0"], "{table}");
    let (names, _) = rig.run("ctrlplane agents -o name", 0).await;
    assert_eq!(names, "job-agent/runner\n");
    let (json, _) = rig.run("ctrlplane agents -o json", 0).await;
    let agents: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(agents["items"][0]["type"], "http-pull");

    let (same, _) = rig.run("ctrlplane diff -f catalog.yaml", 0).await;
    assert_eq!(same, "");
    let catalog = std::fs::read_to_string(rig.dir.path().join("catalog.yaml")).expect("read");
    let changed = catalog.replace("slug: pulled, systems: [shop]", "slug: pulled, systems: [side]");
    rig.write("changed.yaml", &format!("{changed}---\nkind: System\nmetadata: {{ name: side }}\n"));
    let (diff, err) = rig.run("ctrlplane diff -f changed.yaml", 6).await;
    assert!(diff.contains("system/side created (dry run)\n"), "{diff}");
    assert!(diff.contains("deployment/pulled updated (dry run)\n"), "{diff}");
    assert!(diff.contains("-    - shop\n") && diff.contains("+    - side\n"), "names, not ids: {diff}");
    assert!(err.contains("2 of 7 would change"), "{err}");

    // A freeze holds it: only people can end that.
    rig.run("ctrlplane freeze stop --reason incident", 0).await;
    let (_, err) = rig.run("ctrlplane version create pulled v2 --wait --timeout 8s --patience 1h", 4).await;
    assert!(err.contains("not done within 8 s") && err.contains("live eu-1"), "{err}");
    rig.run("ctrlplane thaw stop", 0).await;
    rig.run("ctrlplane watch pulled v2 --timeout 60s", 0).await;
    let (jobs, _) = rig.run("ctrlplane jobs -o name", 0).await;
    let job = jobs.lines().next().expect("a job");
    let (_, err) = rig.run(&format!("ctrlplane logs {job} --print"), 1).await;
    assert!(err.contains("nothing to look at"), "{err}");
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn contexts_say_where_the_api_is_and_where_the_key_comes_from() {
    let rig = Rig::start().await;
    // Without variables, from a directory where nothing runs.
    let bare = |line: String| format!("unset CTRLPLANE_URL CTRLPLANE_API_KEY; cd bin && {line}");
    let (_, err) = rig.run(&bare("ctrlplane get workspaces".to_owned()), 2).await;
    assert!(err.contains("where is the API?") && err.contains("config set-context"), "{err}");
    let set = format!(
        "printf %s \"$CTRLPLANE_API_KEY\" | ctrlplane config set-context here --url {} --key-stdin",
        rig.url
    );
    let (out, _) = rig.run(&set, 0).await;
    assert_eq!(out, "context/here is set, the current one\n");
    let file = rig.dir.path().join(".config/ctrlplane/config.yaml");
    assert_eq!(std::fs::metadata(&file).expect("there").permissions().mode() & 0o777, 0o600);
    let (out, _) = rig.run(&bare("ctrlplane get workspaces -o name".to_owned()), 0).await;
    assert_eq!(out, "workspace/acme\n");
    let asked = format!(
        "ctrlplane config set-context asked --url {} --key-command 'cat ../.ctrlplane/admin.key' --workspace acme --use",
        rig.url
    );
    rig.run(&asked, 0).await;
    let (out, _) = rig.run(&bare("ctrlplane get environments -o name".to_owned()), 0).await;
    assert_eq!(out, "environment/live\n");
    rig.run("ctrlplane config set-context broken --url http://127.0.0.1:9 --key-command 'exit 7'", 0).await;
    let (_, err) = rig.run(&bare("ctrlplane get workspaces --context broken".to_owned()), 2).await;
    assert!(err.contains("`exit 7`"), "{err}");
    let (table, _) = rig.run("ctrlplane config get-contexts", 0).await;
    assert!(table.contains("*        asked") && table.contains("in the config file"), "{table}");
    let shown = format!("{table}{}", rig.run("ctrlplane config get-contexts -o json", 0).await.0);
    assert!(!shown.contains(&rig.key), "a key is never shown");
    rig.run("ctrlplane config delete-context broken", 0).await;
    let (_, err) = rig.run("ctrlplane config use-context broken", 2).await;
    assert!(err.contains("it has: asked, here"), "{err}");
    for shell in ["bash", "zsh", "fish"] {
        let (script, _) = rig.run(&format!("ctrlplane completion {shell}"), 0).await;
        assert!(script.contains("ctrlplane") && script.contains("get-contexts"), "{shell}");
    }
    rig.run("ctrlplane completion bash > complete && bash -n complete", 0).await;
    rig.end().await;
}
