//! A redis-server on 127.0.0.1, as a child process. Does not know what is kept in it.

use std::ffi::OsString;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::data_dir::DataDir;
use crate::launch::{Server, Spec};
use crate::port::Port;
use crate::{ServerError, Version};

/// The answer to `INFO server` is about 600 bytes.
const ANSWER_BYTES_MAX: usize = 16 * 1024;

/// How to run a redis-server.
#[derive(Debug, Clone)]
pub struct RedisOptions {
    /// The program; see [`crate::Binaries`].
    pub binary: PathBuf,
    /// Its working directory; created if need be, kept when the server ends. One server at a time.
    pub data_dir: PathBuf,
    /// Where clients connect.
    pub port: Port,
    /// Whether it keeps what it holds over a restart (append-only file). Snapshots are always off.
    pub appendonly: bool,
}

impl RedisOptions {
    /// On a free port, in memory only.
    pub fn new(binary: impl Into<PathBuf>, data_dir: impl Into<PathBuf>) -> Self {
        Self { binary: binary.into(), data_dir: data_dir.into(), port: Port::Free, appendonly: false }
    }
}

/// A redis-server of ours. Dropping it kills the server; so does our own death. The data directory stays.
#[derive(Debug)]
pub struct Redis(Server<RedisSpec>);

impl Redis {
    /// Starts it and returns once it answers.
    ///
    /// # Errors
    /// [`ServerError`] says what is in the way: the data directory, the port, or what the server logged.
    pub async fn start(options: RedisOptions) -> Result<Self, ServerError> {
        let RedisOptions { binary, data_dir, port, appendonly } = options;
        Server::start(RedisSpec { appendonly }, binary, data_dir, port).await.map(Self)
    }

    /// `redis://127.0.0.1:<port>/`; the same over restarts.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/", self.port())
    }

    /// The client port; the same over restarts.
    pub fn port(&self) -> u16 {
        self.0.port()
    }

    /// The process id while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.0.pid()
    }

    /// The server's version.
    pub fn version(&self) -> Version {
        self.0.version()
    }

    /// Where it keeps its data.
    pub fn data_dir(&self) -> &Path {
        self.0.dir().path()
    }

    /// Where it logs.
    pub fn log(&self) -> &Path {
        self.0.dir().log()
    }

    /// Resolves when the running server ends, whoever ended it; at once if it does not run.
    /// `None` if how it ended could not be observed.
    pub fn ended(&self) -> impl Future<Output = Option<ExitStatus>> + Send + use<> {
        self.0.ended()
    }

    /// SIGTERM, then waits until it is gone. Nothing happens if it does not run.
    ///
    /// # Errors
    /// [`ServerError::Killed`] if it had to be killed; it is gone then, too.
    pub async fn stop(&mut self) -> Result<(), ServerError> {
        self.0.stop().await
    }

    /// SIGKILL, as a crash would, then waits until it is gone.
    pub async fn kill(&mut self) {
        self.0.kill().await;
    }

    /// Stops it if it runs, and starts it on the same port and data directory.
    ///
    /// # Errors
    /// As [`Redis::start`].
    pub async fn restart(&mut self) -> Result<(), ServerError> {
        self.0.restart().await
    }
}

#[derive(Debug)]
struct RedisSpec {
    appendonly: bool,
}

impl Spec for RedisSpec {
    const PROGRAM: &'static str = "redis-server";

    fn prepare(&self, dir: &DataDir, port: u16, _version: Version) -> Result<Vec<OsString>, ServerError> {
        let port = port.to_string();
        let appendonly = if self.appendonly { "yes" } else { "no" };
        let settings = [
            ("--port", port.as_str()),
            ("--bind", "127.0.0.1"),
            ("--protected-mode", "yes"),
            ("--daemonize", "no"),
            ("--save", ""),
            ("--appendonly", appendonly),
        ];
        let mut arguments: Vec<OsString> =
            settings.iter().flat_map(|(name, value)| [name.into(), value.into()]).collect();
        arguments.extend(["--dir".into(), dir.path().into()]);
        Ok(arguments)
    }

    async fn is_ready(&self, _dir: &DataDir, pid: u32, port: u16) -> bool {
        answers_as(pid, port).await.unwrap_or(false)
    }
}

/// Whether the server on this port is process `pid` and done loading (until then PING is refused).
async fn answers_as(pid: u32, port: u16) -> std::io::Result<bool> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
    stream.write_all(b"PING\r\nINFO server\r\n").await?;
    let itself = format!("\nprocess_id:{pid}\r\n");
    let mut answer = Vec::new();
    while answer.len() < ANSWER_BYTES_MAX && stream.read_buf(&mut answer).await? > 0 {
        let text = String::from_utf8_lossy(&answer);
        if text.starts_with('-') {
            return Ok(false);
        }
        if text.contains(&itself) {
            return Ok(text.starts_with("+PONG"));
        }
        if text.contains("\nuptime_in_seconds:") {
            return Ok(false);
        }
    }
    Ok(false)
}
