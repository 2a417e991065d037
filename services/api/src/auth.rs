//! API keys of files: kept as hashes, compared in constant time, read again when the files change. Knows no HTTP.

use std::path::Path;
use std::str::FromStr;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use anyhow::Context as _;
pub use domain::audit::Role;
use domain::token::Slug;
use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};
use subtle::{ConditionallySelectable as _, ConstantTimeEq as _};

use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::settings::AuthSettings;

/// Who the bootstrap key is.
const BOOTSTRAP: &str = "bootstrap";
/// A key is a random string; a longer one is a mistake or an attack.
const KEY_BYTES_MAX: usize = 512;
/// More keys than that are no file any more.
const KEYS_MAX: usize = 10_000;

/// The SHA-256 of a key in hexadecimal, as the keys file holds it.
pub fn hash_of_key(key: &str) -> String {
    hex::encode(digest(key))
}

pub(crate) fn digest(key: &str) -> [u8; 32] {
    Sha256::digest(key.as_bytes()).into()
}

/// One line of the keys file: `name:role:sha256hex[:workspace]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyLine {
    /// Whose key; the actor of what it does.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// Of the key.
    pub sha256: [u8; 32],
    /// The only workspace it sees; absent: all.
    pub workspace: Option<Slug>,
}

impl FromStr for KeyLine {
    type Err = String;

    fn from_str(line: &str) -> Result<Self, String> {
        let parts: Vec<&str> = line.split(':').map(str::trim).collect();
        let (name, role, hash, workspace) = match parts.as_slice() {
            [name, role, hash] => (*name, *role, *hash, None),
            [name, role, hash, workspace] => (*name, *role, *hash, Some(*workspace)),
            _ => return Err("a line is name:role:sha256hex[:workspace]".to_owned()),
        };
        if name.is_empty() {
            return Err("the name is empty".to_owned());
        }
        let mut sha256 = [0; 32];
        hex::decode_to_slice(hash, &mut sha256)
            .map_err(|_| "the third part is not a SHA-256 of 64 hexadecimal digits".to_owned())?;
        let workspace = workspace.map(|slug| slug.parse().map_err(|error| format!("the workspace {error}")));
        Ok(Self { name: name.to_owned(), role: role.parse()?, sha256, workspace: workspace.transpose()? })
    }
}

/// The keys of the files of the settings, as they are now.
#[derive(Debug)]
pub(crate) struct FileKeys {
    settings: AuthSettings,
    lines: RwLock<Arc<Vec<KeyLine>>>,
}

impl FileKeys {
    /// Reads them for the first time.
    pub(crate) fn read(settings: &AuthSettings) -> anyhow::Result<Self> {
        let lines = RwLock::new(Arc::new(lines_of(settings)?));
        Ok(Self { settings: settings.clone(), lines })
    }

    /// Reads them again whenever that is due, until the drain. A file that cannot be read changes nothing.
    pub(crate) async fn follow(&self, every: Duration, drain: CancellationToken) {
        let mut due = tokio::time::interval(every);
        due.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut told = false;
        loop {
            tokio::select! {
                () = drain.cancelled() => return,
                _at = due.tick() => {}
            }
            match self.read_again() {
                Ok(()) => told = false,
                Err(error) if !told => {
                    told = true;
                    tracing::error!(
                        error = format!("{error:#}"),
                        "the API keys cannot be read; those read before count"
                    );
                }
                Err(_as_told) => {}
            }
        }
    }

    fn read_again(&self) -> anyhow::Result<()> {
        let read = lines_of(&self.settings)?;
        if *self.lines() != read {
            tracing::info!(keys = read.len(), "the API keys were read again");
            *self.lines.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(read);
        }
        Ok(())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.lines().is_empty()
    }

    /// Whose key it is that has this hash. Every key is compared, so that the time says nothing.
    pub(crate) fn find(&self, sha256: &[u8; 32]) -> Option<KeyLine> {
        let lines = self.lines();
        let mut found = u64::MAX;
        for (index, line) in (0_u64..).zip(lines.iter()) {
            found.conditional_assign(&index, line.sha256.ct_eq(sha256));
        }
        lines.get(usize::try_from(found).ok()?).cloned()
    }

    fn lines(&self) -> Arc<Vec<KeyLine>> {
        Arc::clone(&self.lines.read().unwrap_or_else(PoisonError::into_inner))
    }
}

fn lines_of(settings: &AuthSettings) -> anyhow::Result<Vec<KeyLine>> {
    let mut keys = Vec::new();
    if let Some(path) = &settings.keys_file {
        let text =
            std::fs::read_to_string(path).with_context(|| format!("auth.keys_file {}", path.display()))?;
        keys = parse(&text).with_context(|| format!("auth.keys_file {}", path.display()))?;
    }
    if let Some(path) = &settings.bootstrap_key_file {
        let key = bootstrap(path).with_context(|| format!("auth.bootstrap_key_file {}", path.display()))?;
        let sha256 = digest(key.expose_secret());
        keys.push(KeyLine { name: BOOTSTRAP.to_owned(), role: Role::Admin, sha256, workspace: None });
    }
    Ok(keys)
}

/// Whether a text can be a key at all.
pub(crate) fn can_be_key(text: &str) -> bool {
    !text.is_empty() && text.len() <= KEY_BYTES_MAX
}

/// A new secret that nobody can guess: 244 random bits of the system, with a beginning by which it is known.
pub(crate) fn fresh(beginning: &str) -> SecretString {
    let (one, other) = (uuid::Uuid::new_v4().simple(), uuid::Uuid::new_v4().simple());
    SecretString::from(format!("{beginning}{one}{other}"))
}

fn parse(text: &str) -> anyhow::Result<Vec<KeyLine>> {
    let mut keys: Vec<KeyLine> = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let key: KeyLine = line.parse().map_err(|why| anyhow::anyhow!("line {number}: {why}"))?;
        anyhow::ensure!(
            keys.iter().all(|known| known.sha256 != key.sha256),
            "line {number}: the same key stands there twice"
        );
        keys.push(key);
        anyhow::ensure!(keys.len() <= KEYS_MAX, "more than {KEYS_MAX} keys");
    }
    Ok(keys)
}

fn bootstrap(path: &Path) -> anyhow::Result<SecretString> {
    let text = std::fs::read_to_string(path)?;
    let key = text.trim();
    anyhow::ensure!(key.len() >= 16, "a key has at least 16 characters");
    anyhow::ensure!(key.len() <= KEY_BYTES_MAX, "a key has at most {KEY_BYTES_MAX} characters");
    Ok(SecretString::from(key))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(text: &str) -> FileKeys {
        let lines = RwLock::new(Arc::new(parse(text).unwrap()));
        FileKeys { settings: AuthSettings::default(), lines }
    }

    #[test]
    fn a_key_is_known_by_its_hash_and_no_other_is() {
        let text = format!(
            "# people\nann:approver:{}\n\nci : operator : {} : acme\n",
            hash_of_key("ann's key"),
            hash_of_key("ci's key").to_uppercase()
        );
        let keys = keys(&text);
        let ann = keys.find(&digest("ann's key")).unwrap();
        assert_eq!((ann.name.as_str(), ann.role, ann.workspace), ("ann", Role::Approver, None));
        let ci = keys.find(&digest("ci's key")).unwrap();
        assert_eq!(ci.workspace, Some("acme".parse().unwrap()));
        for wrong in ["", "ann", "ann's key ", &hash_of_key("ann's key"), &"x".repeat(600)] {
            assert_eq!(keys.find(&digest(wrong)), None, "{wrong:?}");
        }
        assert!(!can_be_key("") && !can_be_key(&"x".repeat(600)) && can_be_key("ann's key"));
    }

    #[test]
    fn a_line_that_does_not_fit_is_named_by_its_number() {
        let hash = hash_of_key("k");
        for (line, why) in [
            ("ann:approver".to_owned(), "name:role"),
            (format!("ann:king:{hash}"), "\"king\" is no role"),
            ("ann:admin:abc".to_owned(), "SHA-256"),
            (format!(":admin:{hash}"), "name is empty"),
            (format!("ann:admin:{hash}:a.b"), "workspace"),
            (format!("a:admin:{hash}\nb:admin:{hash}"), "twice"),
        ] {
            let error = parse(&format!("\n{line}")).unwrap_err().to_string();
            assert!(error.contains(why) && error.contains("line "), "{error}");
            assert!(!error.contains(&hash), "{error}");
        }
    }

    /// The keys of a file in which Ann's stands.
    fn of_ann(dir: &tempfile::TempDir) -> (std::path::PathBuf, FileKeys) {
        let path = dir.path().join("keys");
        std::fs::write(&path, line("ann")).unwrap();
        let settings = AuthSettings { keys_file: Some(path.clone()), ..AuthSettings::default() };
        (path, FileKeys::read(&settings).unwrap())
    }

    fn line(name: &str) -> String {
        format!("{name}:admin:{}\n", hash_of_key(name))
    }

    #[test]
    fn a_broken_file_changes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let (path, keys) = of_ann(&dir);
        std::fs::write(&path, line("bob") + "no key at all\n").unwrap();
        let error = format!("{:#}", keys.read_again().unwrap_err());
        assert!(error.contains("line 2"), "{error}");
        assert!(keys.find(&digest("ann")).is_some(), "what was read before counts");
        assert!(keys.find(&digest("bob")).is_none());
    }

    #[tokio::test]
    async fn a_file_that_changes_is_read_again() {
        let dir = tempfile::tempdir().unwrap();
        let (path, keys) = of_ann(&dir);
        let keys = Arc::new(keys);
        let (drain, followed) = (CancellationToken::new(), Arc::clone(&keys));
        let following = followed.follow(Duration::from_millis(5), drain.clone());
        let changing = async {
            let until = async |name: &str, there: bool| {
                while keys.find(&digest(name)).is_some() != there {
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
            };
            std::fs::write(&path, line("bob")).unwrap();
            until("bob", true).await;
            assert!(keys.find(&digest("ann")).is_none());
            drain.cancel();
        };
        let both = futures::future::join(following, changing);
        tokio::time::timeout(Duration::from_secs(20), both).await.unwrap();
    }

    #[test]
    fn roles_are_ordered() {
        assert!(
            Role::Viewer < Role::Operator && Role::Operator < Role::Approver && Role::Approver < Role::Admin
        );
    }
}
