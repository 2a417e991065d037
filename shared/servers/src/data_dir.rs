//! One server's directory, and the lock that keeps a second server out of it. Does not know what servers store there.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::time::Instant;

use crate::ServerError;

/// How long a start waits for the directory: a server whose parent was killed needs a moment to shut down.
const WAIT_FOR_PREDECESSOR: Duration = Duration::from_secs(3);
const LOOK_AGAIN: Duration = Duration::from_millis(20);
const LOG_TAIL_LINES: usize = 6;
const LOG_TAIL_BYTES: u64 = 8 * 1024;

/// A locked data directory. The lock is an open file that the server inherits, so it lasts while either of us lives:
/// it is free exactly when no server can still be writing.
#[derive(Debug)]
pub(crate) struct DataDir {
    path: PathBuf,
    lock: File,
    log: PathBuf,
    /// Where in the log the present run begins.
    run_begins: u64,
}

impl DataDir {
    /// Creates the directory (readable by its owner only) if need be, and locks it.
    pub(crate) async fn lock(path: &Path, program: &'static str) -> Result<Self, ServerError> {
        let doing = || format!("prepare the data directory {}", path.display());
        fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(ServerError::io(doing()))?;
        let path = fs::canonicalize(path).map_err(ServerError::io(doing()))?;
        let mut lock = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path.join("lock"))
            .map_err(ServerError::io(doing()))?;
        let give_up = Instant::now() + WAIT_FOR_PREDECESSOR;
        loop {
            match lock.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) if Instant::now() < give_up => {
                    tokio::time::sleep(LOOK_AGAIN).await
                }
                Err(TryLockError::WouldBlock) => {
                    return Err(ServerError::DataDirInUse { holder: holder(&mut lock), dir: path });
                }
                Err(TryLockError::Error(source)) => return Err(ServerError::io(doing())(source)),
            }
        }
        let log = path.join(format!("{program}.log"));
        File::create(&log).map_err(ServerError::io(doing()))?;
        Ok(Self { path, lock, log, run_begins: 0 })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Standard input for the server: the lock itself. Neither server reads it.
    pub(crate) fn lock_as_input(&self) -> Result<Stdio, ServerError> {
        self.lock.try_clone().map(Stdio::from).map_err(ServerError::io("pass on the data directory's lock"))
    }

    /// Writes who holds the lock, for the one who finds it held.
    pub(crate) fn note_pid(&mut self, pid: u32) -> Result<(), ServerError> {
        let write = |lock: &mut File| {
            lock.set_len(0)?;
            lock.rewind()?;
            writeln!(lock, "{pid}")
        };
        write(&mut self.lock).map_err(ServerError::io("write the data directory's lock"))
    }

    /// Lets [`DataDir::log_tail`] begin here: what an earlier run logged explains nothing about the next.
    pub(crate) fn begin_run(&mut self) -> Result<(), ServerError> {
        let meta =
            fs::metadata(&self.log).map_err(ServerError::io(format!("look at {}", self.log.display())))?;
        self.run_begins = meta.len();
        Ok(())
    }

    /// A handle that appends to the server's log. The log starts empty with each `DataDir` and lasts over restarts.
    pub(crate) fn log_output(&self) -> Result<Stdio, ServerError> {
        OpenOptions::new()
            .append(true)
            .open(&self.log)
            .map(Stdio::from)
            .map_err(ServerError::io(format!("open {}", self.log.display())))
    }

    pub(crate) fn log(&self) -> &Path {
        &self.log
    }

    /// The last lines that the present run logged, for an error message.
    pub(crate) fn log_tail(&self) -> String {
        let read = || {
            let mut log = File::open(&self.log)?;
            let length = log.metadata()?.len();
            log.seek(SeekFrom::Start(self.run_begins.max(length.saturating_sub(LOG_TAIL_BYTES))))?;
            let mut bytes = Vec::new();
            log.take(LOG_TAIL_BYTES).read_to_end(&mut bytes)?;
            Ok::<_, std::io::Error>(bytes)
        };
        let text = match read() {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(error) => return format!("no log in {}: {error}", self.log.display()),
        };
        let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
        let tail = &lines[lines.len().saturating_sub(LOG_TAIL_LINES)..];
        format!("{} (log: {})", tail.join(" | "), self.log.display())
    }

    /// Writes a file that only its owner may read: a configuration may hold credentials.
    pub(crate) fn write_private(&self, name: &str, text: &str) -> Result<PathBuf, ServerError> {
        let file = self.path.join(name);
        OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&file)
            .and_then(|mut open| open.write_all(text.as_bytes()))
            .map_err(ServerError::io(format!("write {}", file.display())))?;
        Ok(file)
    }

    /// An empty sub-directory.
    pub(crate) fn empty_dir(&self, name: &str) -> Result<PathBuf, ServerError> {
        let dir = self.path.join(name);
        let make = || {
            if dir.exists() {
                fs::remove_dir_all(&dir)?;
            }
            fs::create_dir(&dir)
        };
        make().map_err(ServerError::io(format!("empty {}", dir.display())))?;
        Ok(dir)
    }
}

fn holder(lock: &mut File) -> String {
    let mut text = String::new();
    match lock.read_to_string(&mut text).ok().and_then(|_| text.trim().parse::<u32>().ok()) {
        Some(pid) => format!("process {pid}"),
        None => "another process".to_owned(),
    }
}
