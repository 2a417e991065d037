//! A nats-server with JetStream on 127.0.0.1, as a child process. Does not know what runs on the bus.

use std::ffi::OsString;
use std::fmt::Write;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::net::TcpStream;

use crate::data_dir::DataDir;
use crate::launch::{Server, Spec};
use crate::port::{Lease, Port};
use crate::{ServerError, Version};

/// The first version that can write each message through to the disk before it acknowledges.
const SYNC_ALWAYS_SINCE: Version = Version::new(2, 10, 0);
/// A server's INFO line is about 500 bytes.
const INFO_BYTES_MAX: u64 = 64 * 1024;

/// How to run a nats-server.
#[derive(Debug, Clone)]
pub struct NatsOptions {
    /// The program; see [`crate::Binaries`].
    pub binary: PathBuf,
    /// Where the streams live; created if need be, kept when the server ends. One server at a time.
    pub data_dir: PathBuf,
    /// Where clients connect.
    pub port: Port,
    /// Where `/varz`, `/healthz` and the like are served, if anywhere.
    pub monitor: Option<Port>,
    /// The largest message in bytes. NATS itself starts with 1 MiB.
    pub max_payload_bytes: u32,
    /// Whether each message is on the disk before it is acknowledged. Servers before 2.10 cannot; they sync every
    /// two minutes, which survives `kill -9` but not a power cut, and [`Nats::syncs_always`] says so.
    pub sync_always: bool,
    /// More configuration in nats-server's own language, such as `authorization { … }`; appended to ours.
    pub extra_config: String,
}

impl NatsOptions {
    /// On a free port, 1 MiB messages, no monitoring, the server's own sync interval.
    pub fn new(binary: impl Into<PathBuf>, data_dir: impl Into<PathBuf>) -> Self {
        Self {
            binary: binary.into(),
            data_dir: data_dir.into(),
            port: Port::Free,
            monitor: None,
            max_payload_bytes: 1024 * 1024,
            sync_always: false,
            extra_config: String::new(),
        }
    }
}

/// A nats-server of ours. Dropping it kills the server; so does our own death. The data stays.
#[derive(Debug)]
pub struct Nats(Server<NatsSpec>);

impl Nats {
    /// Starts it and returns once it accepts clients with JetStream on.
    ///
    /// # Errors
    /// [`ServerError`] says what is in the way: the data directory, the port, or what the server logged.
    pub async fn start(options: NatsOptions) -> Result<Self, ServerError> {
        let NatsOptions { binary, data_dir, port, monitor, max_payload_bytes, sync_always, extra_config } =
            options;
        let monitor = monitor.map(Lease::take).transpose()?;
        let spec = NatsSpec { monitor, max_payload_bytes, sync_always, extra_config };
        Server::start(spec, binary, data_dir, port).await.map(Self)
    }

    /// `nats://127.0.0.1:<port>`; the same over restarts.
    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port())
    }

    /// The client port; the same over restarts.
    pub fn port(&self) -> u16 {
        self.0.port()
    }

    /// `http://127.0.0.1:<port>` of the monitoring endpoint, if one was asked for.
    pub fn monitor_url(&self) -> Option<String> {
        self.0.spec().monitor.as_ref().map(|lease| format!("http://127.0.0.1:{}", lease.port()))
    }

    /// The process id while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.0.pid()
    }

    /// The server's version.
    pub fn version(&self) -> Version {
        self.0.version()
    }

    /// Whether each acknowledged message is on the disk: asked for, and this server can.
    pub fn syncs_always(&self) -> bool {
        self.0.spec().syncs_always(self.version())
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

    /// Stops it if it runs, and starts it on the same port and data.
    ///
    /// # Errors
    /// As [`Nats::start`].
    pub async fn restart(&mut self) -> Result<(), ServerError> {
        self.0.restart().await
    }
}

#[derive(Debug)]
struct NatsSpec {
    monitor: Option<Lease>,
    max_payload_bytes: u32,
    sync_always: bool,
    extra_config: String,
}

impl NatsSpec {
    fn syncs_always(&self, version: Version) -> bool {
        self.sync_always && version >= SYNC_ALWAYS_SINCE
    }

    fn config(&self, data: &str, announcements: &str, port: u16, version: Version) -> String {
        let sync = if self.syncs_always(version) { "  sync_interval: always\n" } else { "" };
        let monitor = match &self.monitor {
            Some(lease) => format!("http: \"127.0.0.1:{}\"\n", lease.port()),
            None => String::new(),
        };
        let mut config = format!(
            "# Written at each start: changes here are lost.\n\
             server_name: \"ctrlplane\"\n\
             host: \"127.0.0.1\"\n\
             port: {port}\n\
             {monitor}\
             max_payload: {max_payload}\n\
             ports_file_dir: {announcements}\n\
             jetstream {{\n  store_dir: {data}\n{sync}}}\n",
            max_payload = self.max_payload_bytes,
            announcements = quoted(announcements),
            data = quoted(data),
        );
        writeln!(config, "{}", self.extra_config).expect("writing to a String cannot fail");
        config
    }
}

/// Where the server announces its ports, in a file named after its pid, once it listens.
const ANNOUNCEMENTS: &str = "ports";

impl Spec for NatsSpec {
    const PROGRAM: &'static str = "nats-server";

    fn prepare(&self, dir: &DataDir, port: u16, version: Version) -> Result<Vec<OsString>, ServerError> {
        let announcements = dir.empty_dir(ANNOUNCEMENTS)?;
        let config = self.config(utf8(dir.path())?, utf8(&announcements)?, port, version);
        let file = dir.write_private("nats-server.conf", &config)?;
        Ok(vec!["--config".into(), file.into()])
    }

    /// Its own announcement first (so that no other server on the port is taken for it), then its greeting.
    async fn is_ready(&self, dir: &DataDir, pid: u32, port: u16) -> bool {
        is_announced(&dir.path().join(ANNOUNCEMENTS), pid)
            && greets_with_jetstream(port).await.unwrap_or(false)
    }
}

fn is_announced(announcements: &Path, pid: u32) -> bool {
    let ending = format!("_{pid}.ports");
    std::fs::read_dir(announcements).is_ok_and(|entries| {
        entries.flatten().any(|entry| entry.file_name().to_string_lossy().ends_with(&ending))
    })
}

async fn greets_with_jetstream(port: u16) -> std::io::Result<bool> {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
    let mut greeting = String::new();
    BufReader::new(stream.take(INFO_BYTES_MAX)).read_line(&mut greeting).await?;
    Ok(greeting.starts_with("INFO ") && greeting.contains("\"jetstream\":true"))
}

fn utf8(path: &Path) -> Result<&str, ServerError> {
    path.to_str().ok_or_else(|| {
        let error = std::io::Error::other("its configuration can only hold UTF-8");
        ServerError::io(format!("give nats-server the path {}", path.display()))(error)
    })
}

/// A string of nats-server's configuration language.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use super::{NatsSpec, quoted};
    use crate::Version;

    #[test]
    fn old_servers_are_not_asked_to_sync_always() {
        let spec = NatsSpec {
            monitor: None,
            max_payload_bytes: 9,
            sync_always: true,
            extra_config: "debug: true".into(),
        };
        let old = spec.config("/d", "/d/ports", 4222, Version::new(2, 9, 10));
        let new = spec.config("/d", "/d/ports", 4222, Version::new(2, 10, 0));
        assert!(!old.contains("sync_interval"), "{old}");
        assert!(new.contains("sync_interval: always"), "{new}");
        assert!(new.contains("port: 4222\nmax_payload: 9\n") && new.ends_with("debug: true\n"), "{new}");
    }

    #[test]
    fn paths_are_quoted() {
        assert_eq!(quoted(r#"a "b" \c"#), r#""a \"b\" \\c""#);
    }
}
