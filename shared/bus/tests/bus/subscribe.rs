//! The example subscribers of the documentation, as the user that only looks: each prints every status once and in order,
//! also when it is ended and started again. Where the toolchain of one is missing, the test says so.

use bus::topology::{SUBSCRIBER, Service, needs_of};
use bus::{Bus, HeaderMap, Provision};
use domain::subject::MOVED_TO;
use servers::TestServers;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::process::Command;

use crate::access::{login, servers_with_users};

const ENDS_WITHIN: Duration = Duration::from_secs(60);
const SUBJECT: &str = "ctrlplane.status.acme.>";

fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/examples/subscribe").join(name)
}

struct World {
    servers: TestServers,
    admin: Bus,
}

impl World {
    async fn start() -> Self {
        let servers = servers_with_users().await;
        let admin = Bus::connect(&login(&servers, Service::Admin, Provision::Create)).await.unwrap();
        admin.ensure(&needs_of(Service::Admin)).await.unwrap();
        Self { servers, admin }
    }

    async fn tell(&self, number: u32) {
        self.publish("acme", number, HeaderMap::new()).await;
        // What is of no concern: another workspace, and a last word where a job stood before.
        self.publish("globex", number, HeaderMap::new()).await;
        let mut moved = HeaderMap::new();
        moved.insert(MOVED_TO, "elsewhere");
        self.publish("acme", number, moved).await;
    }

    async fn publish(&self, workspace: &str, number: u32, headers: HeaderMap) {
        let subject = format!("ctrlplane.status.{workspace}.none.web.staging.job-{number}");
        let payload = format!("{{\"n\":{number},\"text\":\"häuser\"}}");
        self.admin.publish(subject, headers, payload.into(), None).await.unwrap();
    }

    fn command(&self, program: &Path, arguments: &[&str], count: u32) -> Command {
        let mut command = Command::new(program);
        command
            .args(arguments)
            .args([SUBJECT, self.servers.dir.path().join("state").to_str().unwrap()])
            .env("CTRLPLANE_NATS_URL", self.servers.nats.url())
            .env("CTRLPLANE_NATS_USER", SUBSCRIBER)
            .env("CTRLPLANE_NATS_PASSWORD", format!("secret of {SUBSCRIBER}"))
            .env("SUBSCRIBE_COUNT", count.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }
}

async fn hears_all(program: &Path, arguments: &[&str]) {
    let world = World::start().await;
    for number in 0..3 {
        world.tell(number).await;
    }
    let mut lines = Vec::new();
    // The first life hears what was there and what comes; the second what it missed and what comes then.
    for life in [0..7, 7..14] {
        let count = life.end - life.start;
        let child = world.command(program, arguments, count).spawn().unwrap();
        let telling = async {
            for number in life.start.max(3)..life.end {
                world.tell(number).await;
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let ended = tokio::time::timeout(ENDS_WITHIN, child.wait_with_output());
        let (output, ()) = tokio::join!(ended, telling);
        let output = output.expect("it ends in time").unwrap();
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{errors}");
        assert!(!errors.to_lowercase().contains("violation"), "{errors}");
        lines.extend(String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned));
    }
    let expected: Vec<String> = (0..14).map(|n| format!("{{\"n\":{n},\"text\":\"häuser\"}}")).collect();
    assert_eq!(lines, expected);
    world.admin.drain().await;
}

/// Whether it is there; else says so.
async fn has(program: &str, arguments: &[&str], what: &str) -> bool {
    let asked = Command::new(program).args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).status();
    let is_there = asked.await.is_ok_and(|status| status.success());
    if !is_there {
        eprintln!("SKIPPED: the example subscriber cannot be tried: {what} is missing here");
    }
    is_there
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_rust_subscriber_hears_everything_once() {
    let tests = std::env::current_exe().unwrap();
    let program = tests.parent().unwrap().with_file_name("examples").join("subscribe");
    if !program.exists() {
        eprintln!("SKIPPED: {} was not built: run the tests of the whole package", program.display());
        return;
    }
    hears_all(&program, &[]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_python_subscriber_hears_everything_once() {
    #[allow(clippy::disallowed_methods, reason = "which Python has the client is the machine's affair")]
    let python = std::env::var("CTRLPLANE_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    if has(&python, &["-c", "import nats"], "python3 with nats-py (or CTRLPLANE_PYTHON that has it)").await {
        hears_all(Path::new(&python), &[example("subscribe.py").to_str().unwrap()]).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_shell_subscriber_hears_everything_once() {
    if has("bash", &["--version"], "bash").await {
        hears_all(&example("subscribe.sh"), &[]).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_go_subscriber_hears_everything_once() {
    if !has("go", &["version"], "go").await {
        return;
    }
    let built = tempfile::tempdir().unwrap();
    let program = built.path().join("subscribe");
    let output = Command::new("go")
        .args(["build", "-buildvcs=false", "-o", program.to_str().unwrap(), "."])
        .current_dir(example("go"))
        .output()
        .await
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    if !output.status.success() && said.contains("dial tcp") {
        eprintln!("SKIPPED: the modules of the example subscriber in Go cannot be fetched here: {said}");
        return;
    }
    assert!(output.status.success(), "{said}");
    hears_all(&program, &[]).await;
}

/// What a subscriber may not do, its own server refuses.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscriber_can_neither_write_nor_hear_what_is_not_public() {
    let world = World::start().await;
    for refused in [
        "ctrlplane.status.acme.none.web.staging.forged",
        "ctrlplane.trigger.acme.github.push",
        "$JS.API.CONSUMER.CREATE.STATUS",
        "$JS.API.CONSUMER.CREATE.STATUS.mine",
        "$JS.API.STREAM.PURGE.STATUS",
        "$JS.API.DIRECT.GET.JOBS",
        "$KV.catalog.acme",
    ] {
        assert!(
            violates(&world, |client| async move { client.publish(refused, "{}".into()).await.is_ok() })
                .await,
            "{refused}"
        );
    }
    for refused in ["ctrlplane.job.>", "$KV.catalog.>", "_INBOX_api.>", ">"] {
        let heard = |client: async_nats::Client| async move { client.subscribe(refused).await.is_ok() };
        assert!(violates(&world, heard).await, "{refused}");
    }
    world.admin.drain().await;
}

/// Whether the server calls it a violation.
async fn violates<F: Future<Output = bool>>(
    world: &World,
    act: impl FnOnce(async_nats::Client) -> F,
) -> bool {
    let (sender, mut events) = tokio::sync::mpsc::unbounded_channel();
    let options = async_nats::ConnectOptions::with_user_and_password(
        SUBSCRIBER.to_owned(),
        format!("secret of {SUBSCRIBER}"),
    )
    .custom_inbox_prefix(format!("_INBOX_{SUBSCRIBER}"))
    .event_callback(move |event| {
        let sender = sender.clone();
        async move {
            // Who has heard enough does not mind.
            let _heard = sender.send(event.to_string()).is_ok();
        }
    });
    let client = options.connect(world.servers.nats.url()).await.unwrap();
    assert!(act(client.clone()).await);
    client.flush().await.unwrap();
    let violation = async {
        while let Some(event) = events.recv().await {
            if event.to_lowercase().contains("permissions violation") {
                return true;
            }
        }
        false
    };
    tokio::time::timeout(Duration::from_secs(5), violation).await.unwrap_or(false)
}
