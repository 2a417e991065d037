//! Where nats-server and redis-server are on this machine. Does not know how to run them.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::install;

/// The environment variable that names the nats-server to use.
pub const NATS_OVERRIDE: &str = "CTRLPLANE_NATS_SERVER";
/// The environment variable that names the redis-server to use.
pub const REDIS_OVERRIDE: &str = "CTRLPLANE_REDIS_SERVER";

/// Looked at after PATH: Debian installs nats-server to /usr/sbin, which is not on every user's PATH.
const USUAL_DIRS: [&str; 4] = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin"];

/// The two programs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binaries {
    /// nats-server.
    pub nats: PathBuf,
    /// redis-server.
    pub redis: PathBuf,
}

/// What may be done when a program is not found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    /// Say so.
    OnlyFind,
    /// Install Debian's package where we may: apt-get is there, and we are root or have sudo without a password.
    InstallWhereAllowed,
}

/// Why there are no programs to run. Each message is one line and says what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Missing {
    /// The environment names a file that is not a program.
    #[error("{variable} names {}, which is not an executable file: correct or unset it", path.display())]
    Override {
        /// [`NATS_OVERRIDE`] or [`REDIS_OVERRIDE`].
        variable: &'static str,
        /// What it says.
        path: PathBuf,
    },
    /// Not there, and we may not install.
    #[error(
        "{} not found: install nats-server and redis-server \
         (Debian: apt-get install nats-server redis-server), or pass --nats and --redis", names.join(" and ")
    )]
    NotFound {
        /// The programs that are missing.
        names: Vec<&'static str>,
    },
    /// Not there, and installing failed.
    #[error(
        "installing {} failed ({reason}): install nats-server and redis-server \
         (Debian: apt-get install nats-server redis-server), or pass --nats and --redis", names.join(" and ")
    )]
    Install {
        /// The programs that are missing.
        names: Vec<&'static str>,
        /// One line from the installer or the system.
        reason: String,
    },
}

impl Binaries {
    /// The programs that the environment names, else those on PATH and in the usual directories, else Debian's.
    ///
    /// # Errors
    /// [`Missing`] says in one line what to do.
    pub async fn locate_or_install(policy: Policy) -> Result<Self, Missing> {
        // Waiting for another process's installation blocks a thread, for minutes at worst.
        match tokio::task::spawn_blocking(move || Search::from_environment().run(policy)).await {
            Ok(result) => result,
            Err(error) => Err(Missing::Install {
                names: vec![NATS, REDIS],
                reason: format!("the search ended: {error}"),
            }),
        }
    }
}

const NATS: &str = "nats-server";
const REDIS: &str = "redis-server";

/// Everything the search looks at, taken from the environment once.
#[derive(Debug, Default)]
struct Search {
    nats_override: Option<PathBuf>,
    redis_override: Option<PathBuf>,
    dirs: Vec<PathBuf>,
}

impl Search {
    fn from_environment() -> Self {
        // `var_os`: a path need not be UTF-8. This crate is where the process meets the machine.
        let path = std::env::var_os("PATH").unwrap_or_default();
        let named = |variable| std::env::var_os(variable).filter(|value: &OsString| !value.is_empty());
        Self {
            nats_override: named(NATS_OVERRIDE).map(PathBuf::from),
            redis_override: named(REDIS_OVERRIDE).map(PathBuf::from),
            dirs: std::env::split_paths(&path).chain(USUAL_DIRS.map(PathBuf::from)).collect(),
        }
    }

    fn run(&self, policy: Policy) -> Result<Binaries, Missing> {
        match (self.locate(), policy) {
            (Err(Missing::NotFound { names }), Policy::InstallWhereAllowed) => self.install(&names),
            (found, Policy::OnlyFind | Policy::InstallWhereAllowed) => found,
        }
    }

    fn locate(&self) -> Result<Binaries, Missing> {
        let nats = self.program(NATS, NATS_OVERRIDE, self.nats_override.as_deref())?;
        let redis = self.program(REDIS, REDIS_OVERRIDE, self.redis_override.as_deref())?;
        match (nats, redis) {
            (Some(nats), Some(redis)) => Ok(Binaries { nats, redis }),
            (nats, redis) => {
                let missing = [(NATS, nats.is_none()), (REDIS, redis.is_none())];
                Err(Missing::NotFound {
                    names: missing.into_iter().filter_map(|(name, gone)| gone.then_some(name)).collect(),
                })
            }
        }
    }

    fn program(
        &self,
        name: &str,
        variable: &'static str,
        named: Option<&Path>,
    ) -> Result<Option<PathBuf>, Missing> {
        match named {
            Some(path) if is_program(path) => Ok(Some(path.to_owned())),
            Some(path) => Err(Missing::Override { variable, path: path.to_owned() }),
            None => Ok(self.dirs.iter().map(|dir| dir.join(name)).find(|path| is_program(path))),
        }
    }

    /// One process installs; the others wait for it and find what it installed.
    fn install(&self, names: &[&'static str]) -> Result<Binaries, Missing> {
        let Some(rights) = install::rights() else { return Err(Missing::NotFound { names: names.to_vec() }) };
        let failed = |reason: String| Missing::Install { names: names.to_vec(), reason };
        let _only_one = install::lock().map_err(|error| failed(error.to_string()))?;
        match self.locate() {
            Err(Missing::NotFound { names }) => {
                install::packages(rights, &names).map_err(failed)?;
                self.locate()
            }
            installed_meanwhile => installed_meanwhile,
        }
    }
}

fn is_program(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    path.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::path::PathBuf;

    use super::{Binaries, Missing, NATS_OVERRIDE, Policy, Search};

    fn dir_with(programs: &[&str]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for program in programs {
            let file = dir.path().join(program);
            std::fs::write(&file, "").unwrap();
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).unwrap();
        }
        dir
    }

    #[test]
    fn what_is_missing_is_named_with_the_way_out_in_one_line() {
        let dir = dir_with(&["redis-server"]);
        let search = Search { dirs: vec![dir.path().to_owned()], ..Search::default() };
        let message = search.run(Policy::OnlyFind).unwrap_err().to_string();
        assert_eq!(
            message,
            "nats-server not found: install nats-server and redis-server \
             (Debian: apt-get install nats-server redis-server), or pass --nats and --redis"
        );
    }

    #[test]
    fn a_wrong_override_is_an_error_even_when_the_program_is_on_the_path() {
        let dir = dir_with(&["nats-server", "redis-server"]);
        let search = Search {
            dirs: vec![dir.path().to_owned()],
            nats_override: Some(PathBuf::from("/nowhere/nats-server")),
            ..Search::default()
        };
        let error = search.run(Policy::InstallWhereAllowed).unwrap_err();
        assert!(matches!(error, Missing::Override { variable, .. } if variable == NATS_OVERRIDE));
        assert!(error.to_string().contains("CTRLPLANE_NATS_SERVER names /nowhere/nats-server"), "{error}");
    }

    #[test]
    fn an_override_goes_before_the_path_and_earlier_directories_before_later_ones() {
        let (first, second) = (dir_with(&["nats-server"]), dir_with(&["nats-server", "redis-server"]));
        let own = dir_with(&["my-redis"]);
        let search = Search {
            dirs: vec![first.path().to_owned(), second.path().to_owned()],
            redis_override: Some(own.path().join("my-redis")),
            nats_override: None,
        };
        let expected =
            Binaries { nats: first.path().join("nats-server"), redis: own.path().join("my-redis") };
        assert_eq!(search.run(Policy::OnlyFind), Ok(expected));
    }

    #[test]
    fn a_file_that_cannot_be_executed_is_not_the_program() {
        let dir = dir_with(&["redis-server"]);
        std::fs::write(dir.path().join("nats-server"), "").unwrap();
        let search = Search { dirs: vec![dir.path().to_owned()], ..Search::default() };
        assert_eq!(search.run(Policy::OnlyFind), Err(Missing::NotFound { names: vec!["nats-server"] }));
    }
}
