//! API keys: read from files, kept as hashes, compared in constant time. Knows no HTTP.

use std::path::Path;
use std::str::FromStr;

use anyhow::Context as _;
pub use domain::audit::Role;
use domain::token::Slug;
use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};
use subtle::{ConditionallySelectable as _, ConstantTimeEq as _};

use crate::caller::Caller;
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

fn digest(key: &str) -> [u8; 32] {
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

/// All keys.
#[derive(Debug, Default)]
pub(crate) struct Keys(Vec<KeyLine>);

impl Keys {
    /// From the files of the settings.
    pub(crate) fn read(settings: &AuthSettings) -> anyhow::Result<Self> {
        let mut keys = Vec::new();
        if let Some(path) = &settings.keys_file {
            let text = std::fs::read_to_string(path)
                .with_context(|| format!("auth.keys_file {}", path.display()))?;
            keys = parse(&text).with_context(|| format!("auth.keys_file {}", path.display()))?;
        }
        if let Some(path) = &settings.bootstrap_key_file {
            let key =
                bootstrap(path).with_context(|| format!("auth.bootstrap_key_file {}", path.display()))?;
            let sha256 = digest(key.expose_secret());
            keys.push(KeyLine { name: BOOTSTRAP.to_owned(), role: Role::Admin, sha256, workspace: None });
        }
        Ok(Self(keys))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whose key this is. Every key is compared, so that the time says nothing.
    pub(crate) fn caller(&self, key: &str) -> Option<Caller> {
        if key.is_empty() || key.len() > KEY_BYTES_MAX {
            return None;
        }
        let presented = digest(key);
        let mut found = u64::MAX;
        for (index, line) in (0_u64..).zip(&self.0) {
            found.conditional_assign(&index, line.sha256.ct_eq(&presented));
        }
        let line = self.0.get(usize::try_from(found).ok()?)?;
        Some(Caller { name: line.name.clone(), role: line.role, workspace: line.workspace.clone() })
    }
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

    fn keys(text: &str) -> Keys {
        Keys(parse(text).unwrap())
    }

    #[test]
    fn a_key_is_known_by_its_hash_and_no_other_is() {
        let text = format!(
            "# people\nann:approver:{}\n\nci : operator : {} : acme\n",
            hash_of_key("ann's key"),
            hash_of_key("ci's key").to_uppercase()
        );
        let keys = keys(&text);
        let ann = keys.caller("ann's key").unwrap();
        assert_eq!((ann.name.as_str(), ann.role, ann.workspace), ("ann", Role::Approver, None));
        let ci = keys.caller("ci's key").unwrap();
        assert_eq!(ci.workspace, Some("acme".parse().unwrap()));
        for wrong in ["", "ann", "ann's key ", &hash_of_key("ann's key"), &"x".repeat(600)] {
            assert_eq!(keys.caller(wrong), None, "{wrong:?}");
        }
        assert_eq!(Keys::default().caller("ann's key"), None);
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

    #[test]
    fn roles_are_ordered() {
        assert!(
            Role::Viewer < Role::Operator && Role::Operator < Role::Approver && Role::Approver < Role::Admin
        );
    }
}
