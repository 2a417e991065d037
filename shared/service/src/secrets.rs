//! Secrets by name, from a directory of files or from the environment. Events and settings carry names; only here
//! does a name become a value, and no error says more than the name.

use std::collections::{BTreeSet, HashMap};
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use secrecy::SecretString;

/// The prefix of the variables that hold secrets.
pub(crate) const PREFIX: &str = "CTRLPLANE_SECRET_";

/// What the names begin with of the secrets that a workspace's variables may name.
const OF_VARIABLES: &str = "var-";

/// What the names begin with of the secrets that a workspace's agents sign in with, and its sources are believed by.
const FOR_WORKSPACE: &str = "for-";

/// In a list of workspaces: all of them.
pub(crate) const EVERY: &str = "*";

/// No secret is longer; a larger file is a mistake.
const SIZE_BYTES_MAX: u64 = 64 * 1024;

/// Where secrets are looked up.
pub struct Secrets {
    dir: Option<PathBuf>,
    environment: HashMap<String, SecretString>,
    shared_with: BTreeSet<String>,
}

/// Why there is no secret.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The name would not be safe as a file name.
    #[error("{0:?} is no name of a secret: letters, digits, _ and - are allowed")]
    Name(String),
    /// The name belongs to a workspace, and was asked for as if it did not.
    #[error(
        "{0:?} is the whole name of a secret of a workspace: what is declared there names it without its beginning"
    )]
    OfWorkspace(String),
    /// There is none for this workspace, and this workspace may not use those whose names tell no workspace.
    #[error(
        "there is no secret {name} for workspace {workspace}: no file {full} in secrets.dir, no variable {variable}, and \
         secrets.shared does not let it use secrets whose names tell no workspace"
    )]
    NotShared {
        /// Of the secret, as it was asked for.
        name: String,
        /// Who asked.
        workspace: String,
        /// The name that would have been the workspace's own.
        full: String,
        /// That would have held it.
        variable: String,
    },
    /// The workspace's name cannot be told from another's in the name of a file or variable.
    #[error(
        "workspace {0:?} can have no secrets: only lower-case letters, digits and - are allowed in its name then"
    )]
    Workspace(String),
    /// Neither file nor variable has it.
    #[error("there is no secret {name}: no file in secrets.dir, no variable {variable}")]
    Missing {
        /// Of the secret.
        name: String,
        /// That would have held it.
        variable: String,
    },
    /// Its file is there and cannot be used.
    #[error("the secret {name} cannot be read from {}", path.display())]
    Unreadable {
        /// Of the secret.
        name: String,
        /// Of its file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl Secrets {
    /// Looks in `dir` first, then among those `variables` whose name begins with `CTRLPLANE_SECRET_`.
    pub fn new(dir: Option<PathBuf>, variables: impl IntoIterator<Item = (String, String)>) -> Self {
        let environment = variables
            .into_iter()
            .filter(|(name, value)| name.starts_with(PREFIX) && !value.is_empty())
            .map(|(name, value)| (name, SecretString::from(value)))
            .collect();
        Self { dir, environment, shared_with: BTreeSet::new() }
    }

    /// As the settings say, with these variables of the process.
    pub fn of(
        settings: &crate::common::Secrets,
        variables: impl IntoIterator<Item = (String, String)>,
    ) -> Self {
        Self::new(settings.dir.clone(), variables).shared_with(settings.shared.iter().cloned())
    }

    /// Lets these workspaces (`*` is all) use secrets whose names tell no workspace. Without this nobody may.
    #[must_use]
    pub fn shared_with(mut self, workspaces: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.shared_with = workspaces.into_iter().map(Into::into).collect();
        self
    }

    /// A secret that an agent or a trigger source of that workspace works with: `for-<workspace>-<name>` in lower case, each
    /// `-` of the workspace doubled; where there is none, and the workspace is one of those that share them, `<name>`.
    ///
    /// A secret is what it is now: a file is read at each call (it is small, and in the page cache), so that a rotation
    /// counts from the next use on, however fast it follows the last. In the name of a variable `-` is `_`.
    ///
    /// # Errors
    /// See [`SecretError`].
    pub fn for_workspace(&self, workspace: &str, name: &str) -> Result<SecretString, SecretError> {
        let begins = name.to_ascii_lowercase().replace('_', "-");
        if begins.starts_with(OF_VARIABLES) || begins.starts_with(FOR_WORKSPACE) {
            return Err(SecretError::OfWorkspace(name.to_owned()));
        }
        let is_shared = self.shared_with.contains(EVERY) || self.shared_with.contains(workspace);
        match self.named(FOR_WORKSPACE, workspace, name) {
            Err(SecretError::Missing { .. } | SecretError::Workspace(_)) if is_shared => self.look_up(name),
            Err(SecretError::Missing { name: full, variable }) => {
                let (name, workspace) = (name.to_owned(), workspace.to_owned());
                Err(SecretError::NotShared { name, workspace, full, variable })
            }
            found => found,
        }
    }

    /// A secret that only what is declared in that workspace may name: `var-<workspace>-<name>` in lower case, each `-` of
    /// the workspace doubled. So no workspace can name the secret of another one, nor one that an agent works with.
    ///
    /// # Errors
    /// See [`SecretError`].
    pub fn of_workspace(&self, workspace: &str, name: &str) -> Result<SecretString, SecretError> {
        self.named(OF_VARIABLES, workspace, name)
    }

    fn named(&self, kind: &str, workspace: &str, name: &str) -> Result<SecretString, SecretError> {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if workspace.is_empty() || !workspace.bytes().all(plain) {
            return Err(SecretError::Workspace(workspace.to_owned()));
        }
        // Where the workspace ends is known by the first `-` that does not stand beside another.
        if name.is_empty() || name.starts_with(['-', '_']) {
            return Err(SecretError::Name(telemetry::redact(name).into_owned()));
        }
        let workspace = workspace.replace('-', "--");
        self.look_up(&format!("{kind}{workspace}-{}", name.to_ascii_lowercase()))
    }

    fn look_up(&self, name: &str) -> Result<SecretString, SecretError> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
        if name.is_empty() || !name.bytes().all(allowed) {
            return Err(SecretError::Name(telemetry::redact(name).into_owned()));
        }
        if let Some(dir) = &self.dir {
            let path = dir.join(name);
            match read_secret(&path) {
                Ok(secret) => return Ok(secret),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(source) => return Err(SecretError::Unreadable { name: name.to_owned(), path, source }),
            }
        }
        let variable = format!("{PREFIX}{}", name.replace('-', "_").to_uppercase());
        match self.environment.get(&variable) {
            Some(secret) => Ok(secret.clone()),
            None => Err(SecretError::Missing { name: name.to_owned(), variable }),
        }
    }
}

/// A file's text without the line break at its end.
pub(crate) fn read_secret(path: &Path) -> io::Result<SecretString> {
    let mut text = String::new();
    File::open(path)?.take(SIZE_BYTES_MAX + 1).read_to_string(&mut text)?;
    if text.len() as u64 > SIZE_BYTES_MAX {
        return Err(io::Error::other(format!("it is larger than {SIZE_BYTES_MAX} bytes")));
    }
    text.truncate(text.trim_end_matches(['\r', '\n']).len());
    if text.is_empty() {
        return Err(io::Error::other("it is empty"));
    }
    Ok(SecretString::from(text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use secrecy::ExposeSecret as _;

    fn shared(dir: Option<PathBuf>, variables: impl IntoIterator<Item = (String, String)>) -> Secrets {
        Secrets::new(dir, variables).shared_with([EVERY])
    }

    fn value(secrets: &Secrets, name: &str) -> String {
        secrets.for_workspace("acme", name).expect("a secret").expose_secret().to_owned()
    }

    fn variables(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn a_file_comes_before_a_variable_and_is_trimmed_at_its_end() {
        let dir = tempfile::tempdir().expect("a directory");
        std::fs::write(dir.path().join("app-key"), " from the file\r\n\n").expect("written");
        let pairs = variables(&[("CTRLPLANE_SECRET_APP_KEY", "variable"), ("CTRLPLANE_SECRET_OTHER", "o")]);
        let secrets = shared(Some(dir.path().to_owned()), pairs);
        assert_eq!(value(&secrets, "app-key"), " from the file");
        assert_eq!(value(&secrets, "other"), "o");
    }

    #[test]
    fn a_rotation_counts_at_once() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("hook");
        let secrets = shared(Some(dir.path().to_owned()), []);
        for generation in ["one", "two", "six"] {
            std::fs::write(&path, generation).expect("written");
            assert_eq!(value(&secrets, "hook"), generation);
        }
        std::fs::remove_file(&path).expect("removed");
        assert!(matches!(secrets.for_workspace("acme", "hook"), Err(SecretError::Missing { .. })));
    }

    #[test]
    fn an_error_names_the_secret_and_where_it_was_looked_for() {
        let error = shared(None, []).for_workspace("acme", "github-app").expect_err("missing").to_string();
        assert!(error.contains("github-app") && error.contains("CTRLPLANE_SECRET_GITHUB_APP"), "{error}");
        let own =
            Secrets::new(None, []).for_workspace("acme", "github-app").expect_err("missing").to_string();
        for said in ["for-acme-github-app", "CTRLPLANE_SECRET_FOR_ACME_GITHUB_APP", "secrets.shared"] {
            assert!(own.contains(said), "{own}");
        }
    }

    #[test]
    fn a_name_cannot_leave_the_directory() {
        let dir = tempfile::tempdir().expect("a directory");
        let secrets = shared(Some(dir.path().to_owned()), []);
        for name in ["", "../x", "a/b", "a.b", "ä", "a b"] {
            assert!(matches!(secrets.for_workspace("acme", name), Err(SecretError::Name(_))), "{name:?}");
        }
    }

    #[test]
    fn what_tells_no_workspace_is_for_those_only_that_share_it() {
        let pairs = variables(&[
            ("CTRLPLANE_SECRET_APP_KEY", "shared"),
            ("CTRLPLANE_SECRET_ADMIN_KEY", "the bootstrap key"),
            ("CTRLPLANE_SECRET_FOR_ACME_APP_KEY", "acme's"),
            ("CTRLPLANE_SECRET_FOR_ACME__EU_APP_KEY", "acme-eu's"),
            ("CTRLPLANE_SECRET_VAR_ACME_DB", "of acme's variables"),
        ]);
        let asked = |shared: &[&str], workspace: &str, name: &str| {
            let secrets = Secrets::new(None, pairs.clone()).shared_with(shared.iter().copied());
            secrets.for_workspace(workspace, name).ok().map(|secret| secret.expose_secret().to_owned())
        };
        assert_eq!(asked(&[], "acme", "app-key").as_deref(), Some("acme's"));
        assert_eq!(asked(&[], "acme-eu", "App-Key").as_deref(), Some("acme-eu's"));
        for name in ["app-key", "admin-key", "acme-app-key", "eu-app-key"] {
            assert_eq!(asked(&[], "globex", name), None, "{name}");
            assert_eq!(asked(&["acme", "initech"], "globex", name), None, "{name}");
        }
        assert_eq!(asked(&["globex"], "globex", "app-key").as_deref(), Some("shared"));
        assert_eq!(asked(&["globex"], "acme", "app-key").as_deref(), Some("acme's"), "its own comes first");
        assert_eq!(asked(&["*"], "Any.One", "app-key").as_deref(), Some("shared"));
        for name in ["for-acme-app-key", "FOR_ACME_APP_KEY", "var-acme-db", "db"] {
            assert_eq!(asked(&["*"], "globex", name), None, "{name}");
        }
    }

    #[test]
    fn a_workspace_names_its_own_secrets_and_no_others() {
        let dir = tempfile::tempdir().expect("a directory");
        std::fs::write(dir.path().join("var-acme-api-key"), "from the file").expect("written");
        let pairs = variables(&[
            ("CTRLPLANE_SECRET_APP_KEY", "an agent's"),
            ("CTRLPLANE_SECRET_VAR_ACME_TOKEN", "acme's"),
            ("CTRLPLANE_SECRET_VAR_ACME_EU_TOKEN", "acme's eu-token"),
            ("CTRLPLANE_SECRET_VAR_ACME__EU_TOKEN", "acme-eu's token"),
        ]);
        let secrets = Secrets::new(Some(dir.path().to_owned()), pairs);
        let of = |workspace: &str, name: &str| {
            secrets.of_workspace(workspace, name).map(|secret| secret.expose_secret().to_owned())
        };
        assert_eq!(of("acme", "api-key").expect("a file"), "from the file");
        assert_eq!(of("acme", "Token").expect("a variable"), "acme's");
        assert_eq!(of("acme", "eu-token").expect("a variable"), "acme's eu-token");
        assert_eq!(of("acme-eu", "token").expect("a variable"), "acme-eu's token");
        for (workspace, name) in [("globex", "token"), ("acme", "app-key"), ("acme-eu", "api-key")] {
            assert!(matches!(of(workspace, name), Err(SecretError::Missing { .. })), "{workspace} {name}");
        }
        for name in ["", "-eu-token", "_eu_token", "../x", "a b"] {
            assert!(matches!(of("acme", name), Err(SecretError::Name(_))), "{name:?}");
        }
        for workspace in ["", "Acme", "acme_eu", "ac.me", "../acme"] {
            assert!(matches!(of(workspace, "token"), Err(SecretError::Workspace(_))), "{workspace:?}");
        }
        for name in ["var-acme-token", "VAR-acme-token", "var_acme_token", "Var-acme-api-key"] {
            assert!(
                matches!(secrets.for_workspace("acme", name), Err(SecretError::OfWorkspace(_))),
                "{name:?}"
            );
        }
    }

    /// Two different pairs never are one file or variable.
    #[test]
    fn no_two_workspaces_share_a_name() {
        let words = ["a", "b", "a-b", "a--b", "a-", "-a", "a-b-c", "b-c", "c"];
        let mut seen = HashMap::new();
        for workspace in words {
            for name in words {
                let Err(error) = Secrets::new(None, []).of_workspace(workspace, name) else {
                    panic!("there is none")
                };
                let SecretError::Missing { variable, .. } = error else { continue };
                let before = seen.insert(variable.clone(), (workspace, name));
                assert_eq!(before, None, "{variable} is also of {workspace} {name}");
            }
        }
        assert!(seen.len() > 60, "most pairs have a name");
    }

    #[test]
    fn an_empty_or_huge_file_is_refused() {
        let dir = tempfile::tempdir().expect("a directory");
        let secrets = shared(Some(dir.path().to_owned()), variables(&[("CTRLPLANE_SECRET_A", "v")]));
        for content in ["\n".to_owned(), "x".repeat(64 * 1024 + 1)] {
            std::fs::write(dir.path().join("a"), content).expect("written");
            assert!(matches!(secrets.for_workspace("acme", "a"), Err(SecretError::Unreadable { .. })));
        }
    }
}
