//! A service as a child process: started with settings in its environment, watched, killed, started again.

use serde_json::Value;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;
use tokio::process::{Child, Command};

use crate::eventually;

/// A service that starts, or stops, takes less than this.
const WITHIN: Duration = Duration::from_secs(30);

/// One process of one service.
#[derive(Debug)]
pub struct Process {
    node: PathBuf,
    service: String,
    environment: BTreeMap<String, String>,
    log: PathBuf,
    child: Child,
}

impl Process {
    /// Starts the service; its log goes to a file in `logs`.
    ///
    /// # Panics
    /// When the program cannot be started.
    pub fn start(
        node: &Path,
        service: &str,
        replica: usize,
        environment: BTreeMap<String, String>,
        logs: &Path,
    ) -> Self {
        let log = logs.join(format!("{service}-{replica}.log"));
        let child = spawn(node, service, &environment, &log);
        Self { node: node.to_owned(), service: service.to_owned(), environment, log, child }
    }

    /// The service's name.
    pub fn service(&self) -> &str {
        &self.service
    }

    /// Everything it has logged, over all its lives.
    ///
    /// # Panics
    /// When the log cannot be read.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).expect("the log of a started process")
    }

    /// Where this life listens.
    ///
    /// # Panics
    /// When it does not say so in time.
    pub async fn address(&self) -> SocketAddr {
        eventually(&format!("{} listens", self.service), WITHIN, || async move {
            self.address_so_far().ok_or_else(|| format!("no address in\n{}", self.log()))
        })
        .await
    }

    /// Waits until it says that it is ready, or is dead. `true`: ready.
    ///
    /// # Panics
    /// When it is neither in time.
    pub async fn ready_or_dead(&mut self) -> bool {
        let give_up = std::time::Instant::now() + WITHIN;
        loop {
            if self.ended().is_some() {
                return false;
            }
            if self.says_ready().await {
                return true;
            }
            assert!(std::time::Instant::now() < give_up, "{} is not ready:\n{}", self.service, self.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn says_ready(&self) -> bool {
        let Some(address) = self.address_so_far() else { return false };
        let answer = reqwest::get(format!("http://{address}/readyz")).await;
        answer.is_ok_and(|answer| answer.status().is_success())
    }

    fn address_so_far(&self) -> Option<SocketAddr> {
        let log = self.log();
        let life = log.rsplit(LIFE).next().unwrap_or_default();
        let mut lines = life.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines.find_map(|line| line.pointer("/address")?.as_str()?.parse().ok())
    }

    /// Waits until it says that it is ready.
    ///
    /// # Panics
    /// When it does not, or ends.
    pub async fn ready(&self) {
        let address = self.address().await;
        let url = format!("http://{address}/readyz");
        eventually(&format!("{} is ready", self.service), WITHIN, || async {
            let answer = reqwest::get(&url).await.map_err(|error| error.to_string())?;
            if answer.status().is_success() { Ok(()) } else { Err(answer.text().await.unwrap_or_default()) }
        })
        .await;
    }

    /// Whether it has ended, and how.
    ///
    /// # Panics
    /// When the system does not say.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("a child can be asked")
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// When it does not end in time.
    pub async fn wait(&mut self, within: Duration) -> ExitStatus {
        match tokio::time::timeout(within, self.child.wait()).await {
            Ok(status) => status.expect("a child can be waited for"),
            Err(_) => panic!("{} has not ended within {within:?}:\n{}", self.service, self.log()),
        }
    }

    /// kill -9.
    ///
    /// # Panics
    /// When it cannot be killed.
    pub async fn kill(&mut self) {
        self.child.kill().await.expect("a child can be killed");
    }

    /// Asks it to drain, and waits for its end.
    ///
    /// # Panics
    /// When it does not end in time.
    pub async fn stop(&mut self) -> ExitStatus {
        if let Some(pid) = self.child.id() {
            let asked = Command::new("sh").args(["-c", &format!("kill -TERM {pid}")]).status().await;
            assert!(asked.expect("sh runs").success(), "{} could not be asked to end", self.service);
        }
        self.wait(WITHIN).await
    }

    /// Starts it again, with the environment changed by `change`.
    pub fn start_again(&mut self, change: impl FnOnce(&mut BTreeMap<String, String>)) {
        change(&mut self.environment);
        self.child = spawn(&self.node, &self.service, &self.environment, &self.log);
    }
}

/// Begins each life in the log.
const LIFE: &str = "=== a new life\n";

fn spawn(node: &Path, service: &str, environment: &BTreeMap<String, String>, log: &Path) -> Child {
    use std::io::Write as _;
    let mut file =
        std::fs::OpenOptions::new().create(true).append(true).open(log).expect("a log file can be opened");
    file.write_all(LIFE.as_bytes()).expect("a log can be written");
    Command::new(node)
        .arg(service)
        .env_clear()
        .envs(environment)
        .stdin(Stdio::null())
        .stdout(file.try_clone().expect("a file can be shared"))
        .stderr(file.try_clone().expect("a file can be shared"))
        .kill_on_drop(true)
        .spawn()
        .unwrap_or_else(|error| panic!("{} cannot be started: {error}", node.display()))
}
