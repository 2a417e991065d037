//! The version a server binary reports. Knows the wording of `--version` only.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use tokio::process::Command;

use crate::ServerError;

/// Asking a binary for its version takes milliseconds; a binary that needs longer is not a server.
const ANSWER_LIMIT: Duration = Duration::from_secs(20);

/// A server's `major.minor.patch`. Orders as versions do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    /// The first number.
    pub major: u32,
    /// The second number.
    pub minor: u32,
    /// The third number.
    pub patch: u32,
}

impl Version {
    /// `major.minor.patch`.
    pub const fn new(major: u32, minor: u32, patch: u32) -> Self {
        Self { major, minor, patch }
    }

    /// Runs `binary --version` and reads the version out of what it prints.
    pub(crate) async fn of(binary: &Path) -> Result<Self, ServerError> {
        let doing = || format!("ask {} for its version", binary.display());
        let mut command = Command::new(binary);
        command.arg("--version").kill_on_drop(true);
        let output = tokio::time::timeout(ANSWER_LIMIT, command.output())
            .await
            .unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into()))
            .map_err(ServerError::io(doing()))?;
        let text = String::from_utf8_lossy(&output.stdout);
        Self::find(&text).ok_or_else(|| {
            ServerError::io(doing())(std::io::Error::other(format!("it printed {:?}", text.trim())))
        })
    }

    /// The first `N.N.N` in `nats-server: v2.9.10` or `Redis server v=7.0.15 sha=…`; a suffix such as `-beta.1` is cut.
    fn find(text: &str) -> Option<Self> {
        text.split(|c: char| !(c.is_ascii_digit() || c == '.')).find_map(|word| {
            let mut numbers = word.split('.').map(str::parse);
            match (numbers.next(), numbers.next(), numbers.next()) {
                (Some(Ok(major)), Some(Ok(minor)), Some(Ok(patch))) => Some(Self { major, minor, patch }),
                _ => None,
            }
        })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

#[cfg(test)]
mod tests {
    use super::Version;

    #[test]
    fn versions_are_read_from_what_the_servers_print() {
        for (text, expected) in [
            ("nats-server: v2.9.10\n", Some(Version::new(2, 9, 10))),
            ("nats-server: v2.15.0-dev.3", Some(Version::new(2, 15, 0))),
            (
                "Redis server v=7.0.15 sha=00000000:0 malloc=jemalloc-5.3.0 bits=64",
                Some(Version::new(7, 0, 15)),
            ),
            ("uutils cat", None),
            ("version 2.9", None),
        ] {
            assert_eq!(Version::find(text), expected, "{text}");
        }
    }

    #[test]
    fn two_digit_minors_are_newer() {
        assert!(Version::new(2, 10, 0) > Version::new(2, 9, 25));
    }
}
