//! Installs Debian's packages where we may. Does not look for the programs, nor care whether the packages start
//! services of their own: ours run on ports and directories of their own.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::Path;
use std::process::{Command, Stdio};

const APT_GET: &str = "/usr/bin/apt-get";
/// Seconds after which an apt-get that hangs is ended.
const APT_LIMIT: &str = "600";
/// Seconds that apt-get waits for another package manager.
const APT_LOCK_WAIT: &str = "DPkg::Lock::Timeout=300";
/// Locked, never removed: one installation at a time on this machine.
const LOCK_FILE: &str = "ctrlplane-install.lock";

/// How we may install.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Rights {
    Root,
    Sudo,
}

/// Whether we may install here: `None` if not on Debian or its like, or without the rights.
pub(crate) fn rights() -> Option<Rights> {
    if !Path::new(APT_GET).exists() {
        return None;
    }
    if says("id", &["-u"]).is_some_and(|uid| uid.trim() == "0") {
        return Some(Rights::Root);
    }
    says("sudo", &["-n", "true"]).map(|_| Rights::Sudo)
}

/// Waits until no other process installs, and holds the others off until dropped.
pub(crate) fn lock() -> io::Result<File> {
    let path = std::env::temp_dir().join(LOCK_FILE);
    // Reading is enough to lock, and all that may be allowed if another user made the file.
    let file = File::open(&path)
        .or_else(|_| OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path))?;
    file.lock()?;
    Ok(file)
}

/// Installs the packages, which are named like the programs; the error is one line.
pub(crate) fn packages(rights: Rights, names: &[&str]) -> Result<(), String> {
    tracing::info!(packages = ?names, "installing with apt-get");
    apt_get(rights, &["update"])?;
    let install = ["install", "-y", "--no-install-recommends"];
    apt_get(rights, &[&install, names].concat())
}

fn apt_get(rights: Rights, arguments: &[&str]) -> Result<(), String> {
    let mut line = match rights {
        Rights::Root => vec![],
        Rights::Sudo => vec!["sudo", "-n"],
    };
    line.extend(["env", "DEBIAN_FRONTEND=noninteractive"]);
    line.extend(["timeout", "--kill-after=10", APT_LIMIT, APT_GET, "-q", "-o", APT_LOCK_WAIT]);
    line.extend(arguments);
    let output = Command::new(line[0])
        .args(&line[1..])
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("{}: {error}", line[0]))?;
    if output.status.success() {
        return Ok(());
    }
    let errors = String::from_utf8_lossy(&output.stderr);
    let last = errors.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("it said nothing");
    Err(format!("apt-get {}: {}: {}", arguments[0], output.status, last.trim()))
}

/// What the program prints, if it succeeds.
fn says(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}
