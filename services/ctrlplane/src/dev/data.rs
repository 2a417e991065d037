//! The directory that holds everything a system on this machine keeps: server data, the admin key, secrets, and
//! `context.json`, by which the command line finds the running system. One running system at a time.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{Read as _, Seek as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use serde::{Deserialize, Serialize};

use super::servers::Servers;
use crate::all_in_one::Running;
use crate::stage::{Prop, Stage};

/// A data directory that is ours while its stage stands.
#[derive(Debug)]
pub(crate) struct DataDir {
    path: PathBuf,
    admin_key: String,
    /// Whether the key was made just now.
    is_new: bool,
}

/// What `context.json` says.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Context {
    /// `http://host:port` of the API.
    pub(crate) api_url: String,
    /// The file with the key for it.
    pub(crate) key_file: PathBuf,
    /// `http://host:port` of the webhooks.
    pub(crate) webhooks_url: String,
    /// Where NATS is.
    #[serde(default)]
    pub(crate) nats_url: String,
    /// Where Redis is.
    #[serde(default)]
    pub(crate) redis_url: String,
}

impl DataDir {
    /// Makes the directory with what must be in it, where it is not there already, and locks it.
    pub(crate) fn open(path: &Path, stage: &Stage) -> anyhow::Result<Self> {
        let doing = || format!("preparing the data directory {}", path.display());
        private_dir(path).with_context(doing)?;
        let path = fs::canonicalize(path).with_context(doing)?;
        stage.add(Prop::Lock(lock(&path)?));
        private_dir(&path.join("secrets")).with_context(doing)?;
        let (admin_key, is_new) = admin_key(&path.join("admin.key")).with_context(doing)?;
        Ok(Self { path, admin_key, is_new })
    }

    /// Where it is, absolute.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// One file per secret.
    pub(crate) fn secrets_dir(&self) -> PathBuf {
        self.path.join("secrets")
    }

    /// The file with the API key that may do everything.
    pub(crate) fn admin_key_file(&self) -> PathBuf {
        self.path.join("admin.key")
    }

    /// The key itself.
    pub(crate) fn admin_key(&self) -> &str {
        &self.admin_key
    }

    /// The key, if it was made just now: it is shown this once.
    pub(crate) fn new_admin_key(&self) -> Option<&str> {
        self.is_new.then_some(self.admin_key.as_str())
    }

    /// Keeps a secret under its name.
    pub(crate) fn write_secret(&self, name: &str, value: &str) -> anyhow::Result<()> {
        write_private(&self.secrets_dir().join(name), value)
            .with_context(|| format!("writing the secret {name}"))
    }

    /// Tells the command line where the system is.
    pub(crate) fn write_context(&self, running: &Running, servers: &Servers) -> anyhow::Result<()> {
        let context = Context {
            api_url: running.api_url(),
            key_file: self.admin_key_file(),
            webhooks_url: running.webhooks_url(),
            nats_url: servers.nats_url.clone(),
            redis_url: servers.redis_url.clone(),
        };
        let text = serde_json::to_string_pretty(&context).context("the context is JSON")?;
        write_private(&self.path.join("context.json"), &text).context("writing context.json")
    }
}

/// Readable by its owner only, also where it was there before with other rights.
fn private_dir(path: &Path) -> std::io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Written beside and moved into place, so that no reader sees half of it.
fn write_private(path: &Path, text: &str) -> std::io::Result<()> {
    let beside = path.with_extension("new");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&beside, path)
}

/// The lock ends with the process, however that ends.
fn lock(dir: &Path) -> anyhow::Result<File> {
    let path = dir.join("dev.lock");
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .with_context(|| format!("opening {}", path.display()))?;
    match file.try_lock() {
        Ok(()) => {
            let note = file
                .set_len(0)
                .and_then(|()| file.rewind())
                .and_then(|()| writeln!(file, "{}", std::process::id()));
            note.with_context(|| format!("writing {}", path.display()))?;
            Ok(file)
        }
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            let by = match file.read_to_string(&mut holder) {
                Ok(_) if !holder.trim().is_empty() => format!(" (process {})", holder.trim()),
                Ok(_) | Err(_) => String::new(),
            };
            bail!(
                "another ctrlplane{by} runs on {}: stop it, or choose another directory with --data",
                dir.display()
            )
        }
        Err(TryLockError::Error(error)) => Err(error).with_context(|| format!("locking {}", path.display())),
    }
}

/// The key, and whether it was made just now.
fn admin_key(path: &Path) -> anyhow::Result<(String, bool)> {
    match fs::read_to_string(path) {
        Ok(key) if key.trim().len() >= 16 => Ok((key.trim().to_owned(), false)),
        Ok(_) => bail!("{} holds no key: remove it, and a new one is made", path.display()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            // Two random uuids: 244 random bits from the system.
            let key = format!("cp_{}{}", uuid::Uuid::new_v4().simple(), uuid::Uuid::new_v4().simple());
            write_private(path, &key)?;
            Ok((key, true))
        }
        Err(error) => Err(error).with_context(|| format!("reading {}", path.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).expect("there").permissions().mode() & 0o777
    }

    #[tokio::test]
    async fn only_its_owner_reads_it_and_the_key_lasts() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("data");
        let stage = Stage::default();
        let data = DataDir::open(&path, &stage).expect("opened");
        data.write_secret("github-webhook", "hush").expect("written");
        let modes =
            [&path, &data.secrets_dir(), &data.admin_key_file(), &data.secrets_dir().join("github-webhook")];
        assert_eq!(modes.map(|path| mode(path)), [0o700, 0o700, 0o600, 0o600]);
        let key = data.admin_key().to_owned();
        assert_eq!(data.new_admin_key(), Some(key.as_str()));
        stage.clear().await;
        let again = DataDir::open(&path, &Stage::default()).expect("opened again");
        assert_eq!((again.admin_key(), again.new_admin_key()), (key.as_str(), None));
    }

    #[tokio::test]
    async fn a_second_system_on_the_same_directory_is_refused() {
        let dir = tempfile::tempdir().expect("a directory");
        let stage = Stage::default();
        let _first = DataDir::open(dir.path(), &stage).expect("opened");
        let refused = DataDir::open(dir.path(), &Stage::default()).expect_err("refused").to_string();
        assert!(refused.contains(&format!("(process {})", std::process::id())), "{refused}");
        assert!(refused.contains("--data"), "{refused}");
    }
}
