//! Which job a run belongs to: the `runs` bucket, so that a webhook that names only the run finds its job.

use super::Agent;
use super::effects::RUN;
use crate::platform::{Platform, RunKey};
use bus::BusError;
use domain::id::{JobId, derive};
use domain::job::{ExternalRef, JobRef};
use domain::token::Slug;
use serde::{Deserialize, Serialize};

/// Whose run it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Owner {
    /// The tenant.
    pub(super) workspace: Slug,
    /// The job.
    pub(super) job: JobId,
}

impl<P: Platform> Agent<P> {
    /// Writes down that the run is this job's.
    pub(super) async fn own(&self, job: &JobRef, run: &ExternalRef) -> Result<(), BusError> {
        let key = key(&self.platform.name(), &run.host, &run.scope, &run.id);
        let owner = Owner { workspace: job.workspace.clone(), job: job.id };
        RUN.effect(self.runs.put_json(&key, &owner)).await.map(|_revision| ())
    }

    /// Whose run it is.
    pub(super) async fn owner(&self, run: &RunKey) -> Result<Option<Owner>, BusError> {
        let key = key(&self.platform.name(), &run.host, &run.scope, &run.id);
        Ok(self.runs.get_json(&key).await?.map(|(owner, _revision)| owner))
    }
}

/// `<platform>.<host>.<scope's hash>.<run>`. Lower case: where a platform ignores case, both spellings are one run.
fn key(platform: &Slug, host: &str, scope: &str, id: &str) -> String {
    let host = Slug::of_name(&host.to_ascii_lowercase());
    let scope = derive(&["run scope", &scope.to_lowercase()]);
    let id = match id.parse::<Slug>() {
        Ok(id) => id.to_string(),
        Err(_) => derive(&["run", id]).simple().to_string(),
    };
    format!("{platform}.{host}.{}.{id}", scope.simple())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_made_of_tokens_and_names_one_run() {
        let github: Slug = "github-actions".parse().unwrap();
        let of = |host: &str, scope: &str, id: &str| key(&github, host, scope, id);
        let one = of("api.github.com", "acme/shop", "42");
        assert_eq!(one, of("API.github.com", "Acme/Shop", "42"));
        for other in [
            of("api.github.com", "acme/shop", "43"),
            of("api.github.com", "acme/shops", "42"),
            of("ghe.acme.org", "acme/shop", "42"),
            of("api.github.com", "acme/shop", "ns/42.7 *"),
        ] {
            assert_ne!(one, other);
            assert!(other.split('.').all(|token| token.parse::<Slug>().is_ok()), "{other}");
        }
    }
}
