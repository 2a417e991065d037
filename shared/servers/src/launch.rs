//! The way every server starts and stops: spawn, wait for a condition with a bound, SIGTERM, wait. Does not know which
//! server it is; that is the `Spec`'s to say.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

use tokio::time::Instant;

use crate::data_dir::DataDir;
use crate::port::{Lease, Port};
use crate::process::{Process, Run};
use crate::{ServerError, Version};

/// A server may have much to recover before it answers.
const READY_LIMIT: Duration = Duration::from_secs(60);
/// One look whether it answers.
const PROBE_LIMIT: Duration = Duration::from_secs(1);
const PROBE_AGAIN: Duration = Duration::from_millis(5);
/// From SIGTERM to SIGKILL.
const STOP_LIMIT: Duration = Duration::from_secs(15);
/// Somebody else may take a free port between our look and the server's bind.
const FREE_PORT_ATTEMPTS_MAX: u32 = 5;

/// What differs between the servers.
pub(crate) trait Spec {
    const PROGRAM: &'static str;

    /// Writes what the server needs to find and gives its arguments.
    fn prepare(&self, dir: &DataDir, port: u16, version: Version) -> Result<Vec<OsString>, ServerError>;

    /// Whether this very process, not another one on the same port, serves requests.
    fn is_ready(&self, dir: &DataDir, pid: u32, port: u16) -> impl Future<Output = bool> + Send;
}

/// A server on one data directory and one port, running or not.
#[derive(Debug)]
pub(crate) struct Server<S> {
    // Dropped first: the process must be gone before the lock and the port are.
    process: Option<Process>,
    spec: S,
    binary: PathBuf,
    version: Version,
    dir: DataDir,
    lease: Lease,
}

impl<S: Spec> Server<S> {
    pub(crate) async fn start(
        spec: S,
        binary: PathBuf,
        data_dir: PathBuf,
        port: Port,
    ) -> Result<Self, ServerError> {
        let version = Version::of(&binary).await?;
        let dir = DataDir::lock(&data_dir, S::PROGRAM).await?;
        let lease = Lease::take(port)?;
        let mut server = Self { process: None, spec, binary, version, dir, lease };
        for _ in 1..FREE_PORT_ATTEMPTS_MAX {
            match (server.run().await, port) {
                (Err(ServerError::PortTaken { .. }), Port::Free) => server.lease = Lease::take(port)?,
                (Err(error), Port::Free | Port::Fixed(_)) => return Err(error),
                (Ok(()), Port::Free | Port::Fixed(_)) => return Ok(server),
            }
        }
        server.run().await?;
        Ok(server)
    }

    pub(crate) fn spec(&self) -> &S {
        &self.spec
    }

    pub(crate) fn dir(&self) -> &DataDir {
        &self.dir
    }

    pub(crate) fn port(&self) -> u16 {
        self.lease.port()
    }

    pub(crate) fn version(&self) -> Version {
        self.version
    }

    pub(crate) fn pid(&self) -> Option<u32> {
        self.process.as_ref().filter(|process| process.status().is_none()).map(Process::pid)
    }

    pub(crate) fn ended(&self) -> impl Future<Output = Option<ExitStatus>> + Send + use<S> {
        let ended = self.process.as_ref().map(Process::ended);
        async move {
            match ended {
                Some(ended) => ended.await,
                None => None,
            }
        }
    }

    /// SIGTERM, then wait. A server that ignores it is killed, and that is an error.
    pub(crate) async fn stop(&mut self) -> Result<(), ServerError> {
        let Some(process) = self.process.take() else { return Ok(()) };
        process.terminate();
        match tokio::time::timeout(STOP_LIMIT, process.ended()).await {
            Ok(_status) => Ok(()),
            Err(_elapsed) => {
                process.kill();
                process.ended().await;
                Err(ServerError::Killed { program: S::PROGRAM, within: STOP_LIMIT })
            }
        }
    }

    /// SIGKILL, then wait.
    pub(crate) async fn kill(&mut self) {
        if let Some(process) = self.process.take() {
            process.kill();
            process.ended().await;
        }
    }

    /// Stops it if it runs, and starts it on the same port and data.
    pub(crate) async fn restart(&mut self) -> Result<(), ServerError> {
        self.stop().await?;
        self.run().await
    }

    async fn run(&mut self) -> Result<(), ServerError> {
        let port = self.port();
        self.dir.begin_run()?;
        let run = Run {
            binary: self.binary.clone(),
            arguments: self.spec.prepare(&self.dir, port, self.version)?,
            input: self.dir.lock_as_input()?,
            output: self.dir.log_output()?,
            errors: self.dir.log_output()?,
        };
        let process =
            Process::spawn(run).await.map_err(ServerError::io(format!("start {}", self.binary.display())))?;
        self.dir.note_pid(process.pid())?;
        self.wait_until_ready(&process).await?;
        tracing::debug!(program = S::PROGRAM, pid = process.pid(), port, "server ready");
        self.process = Some(process);
        Ok(())
    }

    async fn wait_until_ready(&self, process: &Process) -> Result<(), ServerError> {
        let port = self.port();
        let give_up = Instant::now() + READY_LIMIT;
        loop {
            if let Some(status) = process.status() {
                return Err(self.ended_early(port, status));
            }
            let probe = self.spec.is_ready(&self.dir, process.pid(), port);
            if tokio::time::timeout(PROBE_LIMIT, probe).await.unwrap_or(false) {
                return Ok(());
            }
            if Instant::now() >= give_up {
                let log_tail = self.dir.log_tail();
                return Err(ServerError::NotReady { program: S::PROGRAM, within: READY_LIMIT, log_tail });
            }
            tokio::time::sleep(PROBE_AGAIN).await;
        }
    }

    fn ended_early(&self, port: u16, status: ExitStatus) -> ServerError {
        let log_tail = self.dir.log_tail();
        if log_tail.to_ascii_lowercase().contains("address already in use") {
            return ServerError::PortTaken { port };
        }
        ServerError::Exited { program: S::PROGRAM, status: status.to_string(), log_tail }
    }
}
