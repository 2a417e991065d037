//! Where an agent gets the secrets that a job's variables name. What a name means is the deployment's business; that a
//! workspace reaches its own secrets and no others is the source's.

use domain::token::Slug;
use secrecy::SecretString;

/// Secrets of workspaces by name. A function is one.
pub trait SecretSource: Send + Sync + 'static {
    /// The secret as it is now.
    ///
    /// # Errors
    /// A sentence for people: which secret there is none of, and where it was looked for.
    fn secret(&self, workspace: &Slug, name: &str) -> Result<SecretString, String>;
}

impl<F> SecretSource for F
where
    F: Fn(&Slug, &str) -> Result<SecretString, String> + Send + Sync + 'static,
{
    fn secret(&self, workspace: &Slug, name: &str) -> Result<SecretString, String> {
        self(workspace, name)
    }
}

/// Has none.
#[derive(Debug, Clone, Copy)]
pub struct NoSecrets;

impl SecretSource for NoSecrets {
    fn secret(&self, workspace: &Slug, name: &str) -> Result<SecretString, String> {
        Err(format!("this agent is given no secrets, so not {name:?} of workspace {workspace} either"))
    }
}
