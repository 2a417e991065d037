//! The command line against a real API on real servers: what people type, what they read, and the exit codes.

use std::path::Path;
use std::process::Output;
use std::sync::Arc;
use std::time::Duration;

use api::{Api, Settings};
use bus::topology::{Service as Who, needs_of};
use bus::{Base, Bus, ConnectOptions, Provision};
use domain::id::{DeploymentId, EnvironmentId, JobId, ReleaseId, ResourceId, VersionId, derive};
use domain::job::{JobFact, JobRef, JobView};
use domain::subject;
use domain::target::TargetKey;
use domain::token::Slug;
use servers::TestServers;
use service::{CommonSettings, Plan, Secrets, Supervisor, start};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;

const WITHIN: Duration = Duration::from_secs(30);
const KEY: &str = "a-key-for-this-test";
const EXAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/examples/github.yaml");

struct World {
    url: String,
    bus: Bus,
    servers: TestServers,
    supervisor: Supervisor,
}

impl World {
    async fn start() -> Self {
        let servers = TestServers::start().await;
        let key_file = servers.dir.path().join("key");
        std::fs::write(&key_file, KEY).expect("written");
        let mut settings = Settings::default();
        settings.auth.bootstrap_key_file = Some(key_file);
        let mut common = CommonSettings::listening_on(0);
        common.nats.url = servers.nats.url();
        common.redis.url = servers.redis.url();
        let options = ConnectOptions {
            url: servers.nats.url(),
            name: "test".to_owned(),
            user: None,
            password: None,
            credentials_file: None,
            provision: Provision::Create,
        };
        let bus = Bus::connect(&options).await.expect("connected");
        bus.ensure(&needs_of(Who::Admin)).await.expect("everything is there");
        let supervisor = Supervisor::new("test");
        let plan = Plan { settings, common, secrets: Arc::new(Secrets::new(None, [])) };
        let started = start::<Api>(&supervisor, plan).await.expect("it starts");
        let url = format!("http://{}", started.address.expect("it listens"));
        tokio::time::timeout(WITHIN, async {
            while !started.readiness.is_ready() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        })
        .await
        .expect("it gets ready");
        Self { url, bus, servers, supervisor }
    }

    fn command(&self, line: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ctrlplane"));
        command
            .args(line.split_whitespace())
            .env_clear()
            .env("HOME", self.servers.dir.path())
            .env("CTRLPLANE_URL", &self.url)
            .env("CTRLPLANE_API_KEY", KEY)
            .current_dir(self.servers.dir.path())
            .kill_on_drop(true);
        command
    }

    /// Runs it and expects the exit code; tells stdout and stderr.
    async fn run(&self, line: &str, code: i32) -> (String, String) {
        let output = tokio::time::timeout(WITHIN, self.command(line).output())
            .await
            .expect("in time")
            .expect("started");
        let Output { status, stdout, stderr } = output;
        let (stdout, stderr) =
            (String::from_utf8(stdout).expect("text"), String::from_utf8(stderr).expect("text"));
        assert_eq!(status.code(), Some(code), "{line}\n{stdout}\n{stderr}");
        (stdout, stderr)
    }

    async fn end(self) {
        self.supervisor.finish(WITHIN).await.expect("drained");
        self.bus.drain().await;
    }

    /// A job of the example, with its status published as the syncer does.
    async fn job(&self, number: u32, fact: Option<JobFact>) -> JobView {
        let acme: Slug = "acme".parse().expect("a slug");
        let (tag, deployment) = (format!("v{number}"), DeploymentId::of(&acme, "web"));
        let release = ReleaseId(derive(&["release", &tag]));
        let job = JobRef {
            workspace: acme.clone(),
            id: JobId::of(release, 1),
            target: TargetKey {
                deployment,
                environment: EnvironmentId::of(&acme, "staging"),
                resource: ResourceId::of(&acme, "staging-eu-1"),
            },
            version: VersionId::of(deployment, &tag),
            tag,
            release,
            attempt: 1,
            deployment: "web".parse().expect("a slug"),
            environment: "staging".parse().expect("a slug"),
            purpose: Default::default(),
            content: None,
        };
        let jobs = self.bus.jobs();
        jobs.record(&job, JobFact::Requested { catalog_revision: 1, grounds: None }, Base::Look, None)
            .await
            .expect("recorded");
        if let Some(fact) = fact {
            jobs.record(&job, fact, Base::Look, None).await.expect("recorded");
        }
        let known = jobs.load(&acme, job.id).await.expect("loaded").expect("there");
        let view = JobView::of(&known.state, known.sequence);
        let subject = subject::status(
            &view.workspace,
            view.platform.as_ref(),
            &view.deployment,
            &view.environment,
            view.id,
        );
        self.bus.publish_json(subject, &view, None).await.expect("published");
        view
    }
}

fn write(dir: &Path, name: &str, text: &str) -> String {
    let path = dir.join(name);
    std::fs::write(&path, text).expect("written");
    path.display().to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_catalog_is_applied_looked_at_and_deleted() {
    let world = World::start().await;
    let (dry, _) = world.run(&format!("apply -f {EXAMPLE} --dry-run"), 0).await;
    world.run(&format!("diff -f {EXAMPLE}"), 6).await;
    assert!(dry.contains("deployment/web created (dry run)") && dry.contains("+kind: Deployment"), "{dry}");
    let (applied, _) = world.run(&format!("apply -f {EXAMPLE}"), 0).await;
    assert!(applied.lines().all(|line| line.ends_with(" created")), "{applied}");
    assert!(applied.contains("job-agent/github created\n"), "{applied}");
    let (again, _) = world.run(&format!("apply -f {EXAMPLE}"), 0).await;
    assert!(again.lines().all(|line| line.ends_with(" unchanged")), "{again}");
    let (table, _) = world.run("get environments", 0).await;
    assert!(table.starts_with("NAME") && table.contains("staging     shop"), "{table}");
    let (names, _) = world.run("get resources -o name", 0).await;
    assert_eq!(names, "resource/eu-1\nresource/staging-eu-1\nresource/us-1\n");
    for name in names.lines() {
        assert_eq!(
            world.run(&format!("get {name} -o name"), 0).await.0,
            format!("{name}\n"),
            "as it is printed"
        );
    }
    // What is read back as files changes nothing.
    let (files, _) = world.run("get deployments -o yaml", 0).await;
    let path = write(world.servers.dir.path(), "back.yaml", &files);
    let (back, _) = world.run(&format!("apply -f {path} -w acme"), 0).await;
    assert_eq!(back, "deployment/web unchanged\n");
    let (described, _) = world.run("describe trigger-source/github", 0).await;
    assert!(described.contains("# webhooks go to /webhooks/acme/github"), "{described}");
    world.run("delete policy", 2).await;
    let (deleted, _) = world.run("delete policy/production-gate", 0).await;
    assert_eq!(deleted, "policy/production-gate deleted\n");
    let (deleted, _) = world.run(&format!("delete -f {EXAMPLE}"), 0).await;
    assert!(deleted.contains("policy/production-gate absent\n"), "{deleted}");
    assert!(deleted.ends_with("workspace/acme deleted\n"), "{deleted}");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn files_share_a_workspace_and_no_two_workflows_a_slug() {
    let world = World::start().await;
    let dir = world.servers.dir.path();
    let workspace = "kind: Workspace\nmetadata: { name: acme }\n---\n";
    let system = write(dir, "a.yaml", &format!("{workspace}kind: System\nmetadata: {{ name: a }}\n"));
    let other = write(dir, "b.yaml", &format!("{workspace}kind: System\nmetadata: {{ name: b }}\n"));
    let (said, _) = world.run(&format!("apply -f {system} -f {other}"), 0).await;
    assert_eq!(said, "workspace/acme created\nsystem/a created\nsystem/b created\n");
    let workflow = |name: &str| {
        let file = format!("{}.yaml", name.replace(' ', "_"));
        let spec = "spec:\n  jobs: [{ name: build, agent: { ref: ci } }]\n";
        write(dir, &file, &format!("kind: Workflow\nmetadata: {{ name: {name}, workspace: acme }}\n{spec}"))
    };
    let agent = write(
        dir,
        "agent.yaml",
        "kind: JobAgent\nmetadata: { name: ci, workspace: acme }\nspec: { type: http-pull }\n",
    );
    world.run(&format!("apply -f {agent} -f {}", workflow("ship it")), 0).await;
    let (_, said) = world.run(&format!("apply -f {}", workflow("ship-it")), 1).await;
    assert!(said.contains("is the slug of the workflow ship it already"), "{said}");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_goes_wrong_is_told_by_place_and_exit_code() {
    let world = World::start().await;
    let dir = world.servers.dir.path();
    let bad = write(
        dir,
        "bad.yaml",
        "kind: Workspace\nmetadata: { name: acme }\n---\nkind: System\nmetadata: { nam: x }\n",
    );
    let (_, said) = world.run(&format!("apply -f {bad}"), 1).await;
    assert!(said.starts_with(&format!("{bad}:5: metadata.nam: ")), "{said}");
    assert!(said.contains("did you mean `name`?") && said.contains("nothing was written"), "{said}");
    let (_, said) = world.run("get deployments", 1).await;
    assert!(said.contains("no workspace"), "{said}");
    std::fs::create_dir(dir.join("empty")).expect("made");
    let (_, said) = world.run("apply -f empty", 2).await;
    assert!(said.contains("no *.yaml"), "{said}");
    let (_, said) = world.run("get pods", 2).await;
    assert!(said.contains("there is no kind"), "{said}");
    for unfiltered in ["get jobs", "get workspaces", "get policy x"] {
        let (_, said) = world.run(&format!("{unfiltered} --cel true"), 2).await;
        assert!(said.contains("--cel is for lists"), "{unfiltered} does not leave anything out: {said}");
    }
    let (_, said) = world.run("get workspaces --url http://127.0.0.1:1", 5).await;
    assert!(said.contains("does not answer"), "{said}");
    let (_, said) = world.run("get workspaces --key wrong-key", 1).await;
    assert!(said.contains("does not know this API key") && !said.contains("wrong-key"), "{said}");
    world.run(&format!("apply -f {EXAMPLE}"), 0).await;
    let (_, said) = world.run("get policy nope", 1).await;
    assert!(said.contains("there is no"), "{said}");
    world.run("version create web v1 --config sha=abc", 0).await;
    let (_, said) = world.run("version create web v1", 1).await;
    assert!(said.contains("upsert"), "{said}");
    let (said, _) = world.run("approve web v1 production --reason fine", 0).await;
    assert!(said.contains("v1 approved for production"), "{said}");
    let (said, _) = world.run("version reject web v1", 0).await;
    assert_eq!(said, "version/web:v1 rejected\n");
    let (versions, _) = world.run("get versions", 0).await;
    assert!(versions.contains("web         v1   rejected"), "{versions}");
    // Nobody evaluates here: the version gets nowhere.
    world.run("version create web v2 --wait --timeout 1s", 4).await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_is_tried_on_the_past_before_it_counts() {
    let world = World::start().await;
    let dir = world.servers.dir.path();
    world.run(&format!("apply -f {EXAMPLE}"), 0).await;
    world.run("version create web v1", 0).await;
    world.job(1, None).await;
    let policy = |rule: &str| {
        format!(
            "kind: Policy\nmetadata: {{ name: quiet }}\nspec:\n  selector: \"true\"\n  rules: [{{ {rule} }}]\n"
        )
    };
    let proposed = write(dir, "proposed.yaml", &policy("anyApproval: { minApprovals: 1 }"));
    let (table, _) = world.run(&format!("policy backtest -f {proposed} --since 30d"), 0).await;
    assert!(table.starts_with("REQUESTED") && table.contains("stopped"), "{table}");
    assert!(table.contains("staging-eu-1") && table.contains("anyApproval of quiet"), "{table}");
    assert!(table.contains("1 job: 0 allowed, 0 delayed, 0 overtaken, 1 stopped"), "{table}");
    let (json, _) = world.run(&format!("policy backtest -f {proposed} -o json"), 0).await;
    let report: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!((&report["totals"]["stopped"], &report["policies"][0]), (&1.into(), &"quiet".into()));
    let harmless = write(dir, "harmless.yaml", &policy("versionSelector: { selector: 'true' }"));
    let (table, _) = world.run(&format!("policy backtest -f {harmless} --since 1h"), 0).await;
    let (judged, looked_at) = table.split_once('\n').expect("two lines");
    assert_eq!(judged, "1 job: 1 allowed, 0 delayed, 0 overtaken, 0 stopped");
    assert!(looked_at.starts_with("looked at 1 fact of 1 target from 1 day, and "), "{table}");
    assert_eq!(looked_at.lines().count(), 1, "all was read and nothing was cut: {table}");
    let (policies, _) = world.run("get policies -o name", 0).await;
    assert_eq!(policies, "policy/production-gate\n", "nothing was written");

    let wrong = write(dir, "wrong.yaml", &policy("anyApproval: { minApproval: 1 }"));
    let (_, said) = world.run(&format!("policy backtest -f {wrong}"), 1).await;
    assert!(said.starts_with(&format!("{wrong}:5: spec.rules[0]")), "{said}");
    let (_, said) = world.run(&format!("policy backtest -f {EXAMPLE}"), 1).await;
    assert!(said.contains("only policies can be tried"), "{said}");
    let (_, said) = world.run(&format!("policy backtest -f {proposed} --since soon"), 2).await;
    assert!(said.contains("30d"), "{said}");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn people_say_things_against_the_ordinary_course() {
    let world = World::start().await;
    world.run(&format!("apply -f {EXAMPLE}"), 0).await;
    let (said, _) = world.run("freeze days --environment production --reason holidays --for 2h", 0).await;
    assert!(
        said.starts_with("freeze/days is on where environment.name == \"production\", until 2"),
        "{said}"
    );
    let (said, _) = world.run("freeze --reason incident -o name", 0).await;
    assert!(said.starts_with("freeze/"), "{said}");
    let (_, said) = world.run("freeze moon --environment moon --reason x", 1).await;
    assert!(said.contains("environment") && said.contains("moon"), "{said}");
    world.run("freeze days", 2).await;
    let (names, _) = world.run("get freezes -o name", 0).await;
    assert!(names.contains("freeze/days\n") && names.lines().count() == 2, "{names}");
    let (said, _) = world.run("thaw days", 0).await;
    assert_eq!(said, "freeze/days thawed\n");
    world.run("thaw days", 1).await;

    world.run("version create web v1", 0).await;
    let (said, _) =
        world.run("skip anyApproval web v1 --environment production --for 1h --reason hotfix", 0).await;
    assert!(
        said.starts_with("skip/") && said.contains("does not count for web v1 in production, until 2"),
        "{said}"
    );
    let (_, said) = world.run("skip anyApproval web v1 --environment staging --reason x", 1).await;
    assert!(said.contains("no policy has a rule anyApproval there"), "{said}");
    let (said, _) = world.run("pin web v1 --environment staging --reason incident", 0).await;
    assert!(said.contains("web stays at v1 in staging"), "{said}");
    for kind in ["skips", "pins"] {
        let (table, _) = world.run(&format!("get {kind}"), 0).await;
        assert_eq!(table.lines().count(), 2, "{table}");
    }
    world.run("unpin web", 1).await;
    let (said, _) = world.run("unpin web --environment staging", 0).await;
    assert!(said.ends_with("web is free in staging\n"), "{said}");
    let (said, _) = world.run("redeploy web production", 0).await;
    assert_eq!(said.lines().count(), 2, "{said}");
    let (said, _) = world.run("redeploy web staging staging-eu-1 --version v1 --reason again", 0).await;
    assert!(
        said.starts_with(
            "web → staging staging-eu-1 is to be deployed again, as soon as nothing holds it back"
        ),
        "{said}"
    );
    world.run("redeploy web staging eu-1", 1).await;
    let (said, _) = world.run("rollout pause web v1 production", 0).await;
    assert_eq!(said, "rollout/web:v1 paused in production\n");
    world.run("rollout resume web v1 production --reason fine", 0).await;
    let (said, _) = world.run("reject web v1 production --reason no", 0).await;
    assert!(said.contains("v1 rejected for production"), "{said}");
    world.run("reject web v1", 2).await;
    let (said, _) = world.run("reject web v1 --reason leaks", 0).await;
    assert_eq!(said, "version/web:v1 rejected\n");
    let (json, _) = world.run("get version web:v1 -o json", 0).await;
    assert!(json.contains("leaks"), "{json}");
    let (_, said) = world.run("version create web v2 --needs moon:true", 1).await;
    assert!(said.contains("dependencies[0].deployment"), "{said}");
    world.run("version create web v2 --needs moon", 2).await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_are_followed_live_and_ctrl_c_is_the_end() {
    let world = World::start().await;
    world.run(&format!("apply -f {EXAMPLE}"), 0).await;
    let first = world.job(1, None).await;
    let mut watching =
        world.command("jobs --watch").stdout(std::process::Stdio::piped()).spawn().expect("started");
    let mut lines = BufReader::new(watching.stdout.take().expect("piped")).lines();
    let mut next = async || {
        let line = tokio::time::timeout(WITHIN, lines.next_line()).await.expect("in time").expect("read");
        line.expect("one more line")
    };
    let line = next().await;
    assert!(line.contains("pending") && line.contains("web v1 → staging staging-eu-1"), "{line}");
    let ended = JobFact::CancelRequested { by: "ann".to_owned(), reason: domain::job::CancelReason::User };
    let cancelled = world.job(1, Some(ended)).await;
    let line = next().await;
    assert!(line.contains(cancelled.status.as_str()) && line.contains(&first.id.to_string()[..8]), "{line}");
    let second = world.job(2, None).await;
    let line = next().await;
    assert!(line.contains("web v2"), "nothing is told twice: {line}");
    let pid = watching.id().expect("it runs").to_string();
    let sent = Command::new("kill").args(["-INT", &pid]).status().await.expect("kill runs");
    assert!(sent.success());
    let status = tokio::time::timeout(WITHIN, watching.wait()).await.expect("in time").expect("it ends");
    assert_eq!(status.code(), Some(0));
    let (told, _) = world.run(&format!("job {}", second.id), 0).await;
    assert!(told.contains("status:      pending") && told.contains("History"), "{told}");
    world.run(&format!("cancel {}", second.id), 0).await;
    world.run(&format!("open {}", second.id), 1).await;
    let (rebuilt, _) = world
        .run(
            &format!(
                "projections rebuild --nats {} --redis {}",
                world.servers.nats.url(),
                world.servers.redis.url()
            ),
            0,
        )
        .await;
    assert!(rebuilt.contains("the views are rebuilt from 4 facts"), "{rebuilt}");
    let (table, _) = world.run("jobs", 0).await;
    assert_eq!(table.lines().count(), 3, "{table}");
    let (json, _) = world.run("jobs --limit 1 -o json", 0).await;
    let told: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!((told["items"].as_array().map(Vec::len), &told["total"]), (Some(1), &2.into()), "{json}");
    let newest = &told["items"][0];
    assert_eq!(newest["job"]["id"], second.id.to_string(), "as the API answers: {json}");
    assert_eq!(
        (&newest["deployment"]["name"], &newest["resource"]["name"]),
        (&"web".into(), &"staging-eu-1".into())
    );
    world.run("cancel ffffffff", 1).await;
    let (none, said) = world.run("dead list", 0).await;
    assert!(none.is_empty() && said.contains("no dead letters"), "{none}{said}");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_says_what_is_broken_and_what_to_do() {
    let world = World::start().await;
    let (table, errors) = world.run("doctor", 1).await;
    for words in
        ["STATUS", "ok      api", "version", "service/dispatcher", "→ start dispatcher", "dead-letters"]
    {
        assert!(table.contains(words), "{words}\n{table}");
    }
    assert!(errors.contains("failed"), "{errors}");
    let (json, _) = world.run("doctor -o json", 1).await;
    let told: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(told["status"], "fail");
    assert!(told["checks"].as_array().expect("checks").iter().any(|check| check["check"] == "clock"));
    let (names, _) = world.run("doctor -o name", 1).await;
    assert!(names.lines().any(|name| name == "service/dispatcher"), "{names}");
    assert!(names.lines().all(|name| name != "api"), "{names}");

    let (wrong_key, _) = world.run("doctor --key another-key-than-ours", 1).await;
    assert!(wrong_key.contains("fail    api") && wrong_key.contains("--key-file"), "{wrong_key}");
    // Nobody listens on the discard port of this machine.
    let (nobody, _) = world.run("doctor --url http://127.0.0.1:9", 5).await;
    assert!(nobody.contains("does not answer") && nobody.contains("→ see whether the api runs"), "{nobody}");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_made_used_and_revoked_and_the_audit_tells_of_it() {
    let world = World::start().await;
    world.run(&format!("apply -f {EXAMPLE}"), 0).await;
    let (none, said) = world.run("keys list", 0).await;
    assert!(none.is_empty() && said.contains("no keys were made"), "{none}{said}");

    let (key, said) = world.run("keys create deploys --user ci --role operator@acme --for 90d", 0).await;
    assert!(key.starts_with("cpk_") && key.lines().count() == 1, "{key}");
    assert!(said.contains("of ci (operator@acme), until 2") && !said.contains("cpk_"), "{said}");
    let key = key.trim();
    let (table, _) = world.run("keys list", 0).await;
    assert!(
        table.contains("deploys") && table.contains("operator@acme") && !table.contains("cpk_"),
        "{table}"
    );
    let (id, _) = world.run("keys list -o name", 0).await;
    let id = id.trim();

    world.run(&format!("version create web v1 --key {key}"), 0).await;
    let (_, said) = world.run(&format!("delete system shop --key {key}"), 1).await;
    assert!(said.contains("needs the role admin"), "{said}");
    world.run("keys create x --role king", 2).await;
    world.run("keys create x", 2).await;
    let (_, said) = world.run("keys create x --role viewer@moon", 1).await;
    assert!(said.contains("there is no workspace moon"), "{said}");

    let (audit, _) = world.run("audit --actor ci", 0).await;
    let lines: Vec<&str> = audit.lines().collect();
    assert_eq!(lines.len(), 2, "{audit}");
    for word in ["ci", "operator", "create", "Version", "v1", "spec.deployment: "] {
        assert!(lines[1].contains(word), "{word}: {audit}");
    }
    let (json, _) = world.run("audit --object deploys --since 1h -o json", 0).await;
    let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!((&json["total"], &json["items"][0]["object"]["id"]), (&1.into(), &id.into()));
    assert!(!json.to_string().contains(key), "{json}");
    let (page, more) = world.run("audit --limit 2", 0).await;
    assert!(page.lines().count() == 3 && more.contains("older: --offset 2"), "{page}{more}");
    let (all, _) = world.run("audit --all --kind Key", 0).await;
    assert_eq!(all.lines().count(), 2, "{all}");

    let (said, _) = world.run(&format!("keys revoke {id}"), 0).await;
    assert_eq!(said, format!("{id} revoked\n"));
    world.run(&format!("audit --key {key}"), 1).await;
    world.run(&format!("keys revoke {id}"), 1).await;
    world.end().await;
}
