//! Why a server could not be started or stopped, sorted by what the caller can do about it.

use std::path::PathBuf;
use std::time::Duration;

/// Why a server could not be started or stopped.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// Another live server, ours or an orphan still shutting down, holds the data directory.
    #[error("{} is in use by {holder}: stop it or choose another data directory", dir.display())]
    DataDirInUse {
        /// The data directory asked for.
        dir: PathBuf,
        /// `process <pid>` when the holder wrote its pid, else `another process`.
        holder: String,
    },
    /// The port asked for is taken on 127.0.0.1.
    #[error("port {port} on 127.0.0.1 is taken: stop what listens there or choose another port")]
    PortTaken {
        /// The fixed port, or the last free one tried.
        port: u16,
    },
    /// The server ended by itself while starting.
    #[error("{program} ended while starting ({status}): {log_tail}")]
    Exited {
        /// `nats-server` or `redis-server`.
        program: &'static str,
        /// How the process ended.
        status: String,
        /// The last lines of its log.
        log_tail: String,
    },
    /// The server ran but did not answer in time.
    #[error("{program} was not ready within {} s: {log_tail}", within.as_secs())]
    NotReady {
        /// `nats-server` or `redis-server`.
        program: &'static str,
        /// How long we waited.
        within: Duration,
        /// The last lines of its log.
        log_tail: String,
    },
    /// The server ignored SIGTERM and was killed.
    #[error("{program} did not end within {} s of SIGTERM and was killed", within.as_secs())]
    Killed {
        /// `nats-server` or `redis-server`.
        program: &'static str,
        /// How long we waited.
        within: Duration,
    },
    /// The operating system refused a step.
    #[error("cannot {doing}: {source}")]
    Io {
        /// The step, as in "cannot {doing}".
        doing: String,
        /// What the system said.
        source: std::io::Error,
    },
}

impl ServerError {
    /// For `map_err`: names the step that failed.
    pub(crate) fn io(doing: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let doing = doing.into();
        move |source| Self::Io { doing, source }
    }
}
