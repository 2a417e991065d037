//! Both kinds of secrets: those the agent signs in with, and those that jobs' variables name. Neither reaches the other.

use cluster::SecretByName;
use platform::SecretSource;
use platform::config::SecretName;
use service::Secrets;
use std::sync::Arc;

/// What the agent itself signs in with, as the workspace names it.
pub(crate) fn of_the_agent(secrets: Arc<Secrets>) -> SecretByName {
    Arc::new(move |SecretName { workspace, name }: &SecretName| {
        secrets.for_workspace(workspace.as_str(), name).map_err(|error| error.to_string())
    })
}

/// The secrets of the job's workspace.
pub(crate) fn of_jobs(secrets: Arc<Secrets>) -> impl SecretSource {
    move |workspace: &domain::token::Slug, name: &str| {
        secrets.of_workspace(workspace.as_str(), name).map_err(|error| error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neither_kind_reaches_the_other() {
        let variables = [
            ("CTRLPLANE_SECRET_FOR_ACME_KUBE", "the agent's own"),
            ("CTRLPLANE_SECRET_VAR_ACME_DB", "of acme"),
        ];
        let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let secrets = Arc::new(Secrets::new(None, variables));
        let (own, jobs) = (of_the_agent(Arc::clone(&secrets)), of_jobs(secrets));
        let acme: domain::token::Slug = "acme".parse().expect("a slug");
        let own_of = |workspace: &str, name: &str| {
            own(&SecretName { workspace: workspace.parse().expect("a slug"), name: name.to_owned() })
        };
        assert!(own_of("acme", "kube").is_ok() && jobs.secret(&acme, "db").is_ok());
        for why in [
            own_of("acme", "var-acme-db").expect_err("acme's"),
            own_of("acme", "VAR_ACME_DB").expect_err("acme's"),
        ] {
            assert!(!why.contains("of acme\""), "{why}");
        }
        assert!(jobs.secret(&acme, "kube").is_err() && own_of("acme", "nothing").is_err());
        assert!(own_of("globex", "kube").is_err() && own_of("globex", "for-acme-kube").is_err());
    }
}
