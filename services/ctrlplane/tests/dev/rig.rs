//! `ctrlplane dev` as a process, with a puller that works the jobs of one deployment.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::sync::{Mutex, MutexGuard};

pub(crate) const WITHIN: Duration = Duration::from_secs(60);
const PULL_KEY: &str = "a-pull-key-of-the-tests";
const PULL_KEY_SHA256: &str = "e8701b35aae04b2480f48fb7d2e59d3896fc021918dc0aa372167c3faeac9890";
/// Jobs whose tag begins with `bad` fail.
const WORK: &str = "! grep -q '\"tag\":\"bad' -";

/// One workspace, one target, and an agent that any program can be.
const CATALOG: &str = r#"
kind: Workspace
metadata: { name: acme }
---
kind: System
metadata: { name: shop }
---
kind: Environment
metadata: { name: live }
spec: { systems: [shop], resourceSelector: 'resource.identifier == "eu-1"' }
---
kind: Resource
metadata: { name: eu-1 }
spec: { identifier: eu-1, type: machine }
---
kind: JobAgent
metadata: { name: runner }
spec: { type: http-pull, config: { keySecret: runner-key } }
---
kind: Deployment
metadata: { name: pulled }
spec: { slug: pulled, systems: [shop], jobAgents: [{ ref: runner }] }
"#;

/// One after another: each takes the usual ports of NATS and Redis, or the next free ones.
static ALONE: Mutex<()> = Mutex::const_new(());

pub(crate) struct Rig {
    _alone: MutexGuard<'static, ()>,
    pub(crate) dir: TempDir,
    pub(crate) url: String,
    pub(crate) key: String,
    pull_url: String,
    dev: Child,
    puller: Option<Child>,
}

/// How a command ended, and what it said.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

pub(crate) fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().expect("the repository")
}

fn free_port() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address").port().to_string()
}

impl Rig {
    /// Starts everything, and applies the catalog.
    pub(crate) async fn start() -> Self {
        let alone = ALONE.lock().await;
        let dir = tempfile::tempdir().expect("a directory");
        let bin = dir.path().join("bin");
        std::fs::create_dir(&bin).expect("made");
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_ctrlplane"), bin.join("ctrlplane")).expect("linked");
        std::os::unix::fs::symlink(repository().join("docs"), dir.path().join("docs")).expect("linked");
        let secrets = dir.path().join(".ctrlplane").join("secrets");
        std::fs::create_dir_all(&secrets).expect("made");
        std::fs::write(secrets.join("var-acme-runner-key"), PULL_KEY_SHA256).expect("written");
        let mut dev = Command::new(env!("CARGO_BIN_EXE_ctrlplane"))
            .args(["dev", "--port", &free_port(), "--webhook-port", &free_port()])
            .current_dir(dir.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("started");
        let mut lines = BufReader::new(dev.stdout.take().expect("piped")).lines();
        let url = place(&mut lines, "API").await;
        let pull_url = place(&mut lines, "Pullers").await;
        let key = std::fs::read_to_string(dir.path().join(".ctrlplane/admin.key")).expect("the key");
        let rig = Self { _alone: alone, url, key: key.trim().to_owned(), pull_url, dev, puller: None, dir };
        rig.write("catalog.yaml", CATALOG);
        rig.run("ctrlplane apply -f catalog.yaml", 0).await;
        rig
    }

    /// Works the jobs of the agent.
    pub(crate) fn pull(&mut self) {
        let script = repository().join("docs/examples/pull/puller.sh");
        let puller = Command::new("sh")
            .arg(script)
            .args(["sh", "-c", WORK])
            .env("CTRLPLANE_PULL_URL", format!("{}/api/v1/workspaces/acme/job-agents/runner", self.pull_url))
            .env("CTRLPLANE_PULL_KEY", PULL_KEY)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("started");
        self.puller = Some(puller);
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        std::fs::write(self.dir.path().join(name), text).expect("written");
    }

    /// A shell beside the running system, with `ctrlplane` in its path.
    pub(crate) fn shell(&self, shell: &[&str]) -> Command {
        let path = format!("{}:/usr/local/bin:/usr/bin:/bin", self.dir.path().join("bin").display());
        let mut command = Command::new(shell[0]);
        command
            .args(&shell[1..])
            .env_clear()
            .env("PATH", path)
            .env("HOME", self.dir.path())
            .current_dir(self.dir.path())
            .stdin(Stdio::null())
            .kill_on_drop(true);
        command
    }

    /// How a line of a shell ends.
    pub(crate) async fn end_of(&self, line: &str) -> Ended {
        let mut command = self.shell(&["sh", "-c", line]);
        command.env("CTRLPLANE_URL", &self.url).env("CTRLPLANE_API_KEY", &self.key);
        ended(command).await
    }

    /// Runs a line, and expects the exit code; tells stdout and stderr.
    pub(crate) async fn run(&self, line: &str, code: i32) -> (String, String) {
        let ended = self.end_of(line).await;
        assert_eq!(ended.code, Some(code), "{line}\n{}\n{}", ended.out, ended.err);
        (ended.out, ended.err)
    }

    /// Runs a line until it ends so: what is decided comes a moment after what was declared.
    pub(crate) async fn until(&self, line: &str, codes: &[i32]) -> Ended {
        let give_up = Instant::now() + WITHIN;
        loop {
            let ended = self.end_of(line).await;
            if ended.code.is_some_and(|code| codes.contains(&code)) {
                return ended;
            }
            assert!(Instant::now() < give_up, "{line}: expected {codes:?}\n{ended:?}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Ends the system as Ctrl-C does.
    pub(crate) async fn end(mut self) {
        if let Some(mut puller) = self.puller.take() {
            puller.kill().await.expect("ended");
        }
        let pid = self.dev.id().expect("it runs").to_string();
        let asked = Command::new("kill").args(["-INT", &pid]).status().await.expect("kill runs");
        assert!(asked.success());
        let status = tokio::time::timeout(WITHIN, self.dev.wait()).await.expect("in time").expect("it ends");
        assert_eq!(status.code(), Some(0));
    }
}

/// Where that is, as `ctrlplane dev` says when it is ready.
async fn place(lines: &mut Lines<BufReader<ChildStdout>>, wanted: &str) -> String {
    let found = async {
        while let Some(line) = lines.next_line().await.expect("readable") {
            let mut words = line.split_whitespace();
            if words.next() == Some(wanted) {
                return words.next().expect("a place").to_owned();
            }
        }
        panic!("`ctrlplane dev` does not say {wanted}")
    };
    tokio::time::timeout(3 * WITHIN, found).await.expect("in time")
}

pub(crate) async fn ended(mut command: Command) -> Ended {
    let output = tokio::time::timeout(2 * WITHIN, command.output()).await.expect("in time").expect("started");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ended { code: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) }
}
