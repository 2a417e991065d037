//! Whose puller asks: every agent of the catalog names a secret of its workspace that holds hashes of the keys its pullers use.
//! A key opens one agent; to everything else it is as if there were nothing.

use crate::refusal::Refusal;
use crate::store::Place;
use bus::catalog::CatalogFold;
use bus::topology::HTTP_PULL;
use domain::catalog::WorkspaceCatalog;
use domain::entity::{JobAgent, Record};
use domain::id::{JobAgentId, JobId, WorkspaceId};
use domain::token::Slug;
use secrecy::ExposeSecret as _;
use service::Secrets;
use sha2::{Digest as _, Sha256};
use std::sync::Arc;
use subtle::ConstantTimeEq as _;

/// Where the agent's config names its secret.
pub(crate) const KEY_SECRET: &str = "keySecret";
/// A key is a random string; a longer one is a mistake or an attack.
const KEY_BYTES_MAX: usize = 512;

/// A puller, by the agent whose jobs it may have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Puller {
    pub(crate) workspace: Slug,
    pub(crate) agent: JobAgentId,
}

impl Puller {
    pub(crate) fn place(&self, job: JobId) -> Place {
        Place { workspace: self.workspace.clone(), agent: self.agent, job }
    }
}

/// Knows the keys.
#[derive(Clone)]
pub(crate) struct Doorkeeper {
    pub(crate) catalog: Arc<CatalogFold>,
    pub(crate) secrets: Arc<Secrets>,
}

impl Doorkeeper {
    /// The puller that presents the key for that agent, both named by id or by name.
    pub(crate) fn admit(&self, workspace: &str, agent: &str, key: Option<&str>) -> Result<Puller, Refusal> {
        let presented = key.filter(|key| !key.is_empty() && key.len() <= KEY_BYTES_MAX);
        let hash: [u8; 32] = Sha256::digest(presented.ok_or(Refusal::Unauthenticated)?.as_bytes()).into();
        let catalog = self.catalog.read();
        let named = catalog.workspaces().find(|it| is_named(it, workspace));
        let named = named.and_then(|workspace| Some((workspace, pull_agent(workspace, agent)?)));
        if let Some((workspace, agent)) = named
            && self.opens(workspace.slug(), agent, &hash)
        {
            return Ok(Puller { workspace: workspace.slug().clone(), agent: JobAgentId(agent.meta.id) });
        }
        // A key of another agent is no key here: to look for whose it is would cost more than it takes to guess.
        drop(catalog);
        metrics::counter!("pull_unauthenticated_total").increment(1);
        Err(Refusal::Unauthenticated)
    }

    /// The agent's puller, where somebody else settled that it may ask.
    pub(crate) fn known(&self, workspace: &Slug, agent: JobAgentId) -> Result<Puller, Refusal> {
        let catalog = self.catalog.read();
        let found =
            catalog.workspace(workspace).and_then(|workspace| pull_agent(workspace, &agent.to_string()));
        match found {
            Some(_) => Ok(Puller { workspace: workspace.clone(), agent }),
            None => Err(Refusal::NotFound(format!("job agent {agent} whose jobs are pulled"))),
        }
    }

    fn opens(&self, workspace: &Slug, agent: &Record<JobAgent>, hash: &[u8; 32]) -> bool {
        let Some(name) = agent.spec.config.get(KEY_SECRET).and_then(|name| name.as_str()) else {
            return false;
        };
        let secret = match self.secrets.of_workspace(workspace.as_str(), name) {
            Ok(secret) => secret,
            Err(error) => {
                tracing::warn!(%workspace, agent = agent.meta.name, %error, "pullers of this agent cannot be admitted");
                return false;
            }
        };
        let hashes = hashes(secret.expose_secret());
        if hashes.is_empty() {
            tracing::warn!(%workspace, agent = agent.meta.name, "the secret {name} holds no SHA-256 of a key");
        }
        // Every one is compared, so that the time says nothing.
        hashes.iter().fold(false, |opens, known| opens | bool::from(known.ct_eq(hash)))
    }
}

/// The lines that are a SHA-256 of a key in hexadecimal: several while a key is changed.
fn hashes(text: &str) -> Vec<[u8; 32]> {
    let hash = |line: &str| {
        let mut hash = [0; 32];
        hex::decode_to_slice(line.trim().trim_start_matches("sha256:"), &mut hash).ok().map(|()| hash)
    };
    text.lines().filter_map(hash).collect()
}

fn is_named(workspace: &WorkspaceCatalog, text: &str) -> bool {
    workspace.slug().as_str() == text || WorkspaceId::of(workspace.slug()).to_string() == text
}

fn pull_agent<'a>(workspace: &'a WorkspaceCatalog, text: &str) -> Option<&'a Record<JobAgent>> {
    pull_agents(workspace).find(|agent| agent.meta.name == text || agent.meta.id.to_string() == text)
}

fn pull_agents(workspace: &WorkspaceCatalog) -> impl Iterator<Item = &Record<JobAgent>> {
    workspace.job_agents().filter(|agent| agent.spec.platform.as_str() == HTTP_PULL)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_holds_one_hash_a_line() {
        let one = hex::encode(Sha256::digest(b"one"));
        let two = hex::encode(Sha256::digest(b"two")).to_uppercase();
        let text = format!("{one}\n sha256:{two} \n# old\nsome-key-in-clear\n");
        let found = hashes(&text);
        assert_eq!(found.len(), 2);
        assert_eq!(found[0][..], Sha256::digest(b"one")[..]);
        assert_eq!(found[1][..], Sha256::digest(b"two")[..]);
        assert!(hashes("a-key-in-clear").is_empty(), "a key itself opens nothing");
    }
}
