//! Both kinds of secrets: those the agent signs in with, and those that jobs' variables name. Neither reaches the other.

use cluster::SecretByName;
use platform::SecretSource;
use service::Secrets;
use std::sync::Arc;

/// What the agent itself signs in with.
pub(crate) fn of_the_agent(secrets: Arc<Secrets>) -> SecretByName {
    Arc::new(move |name: &str| secrets.get(name).map_err(|error| error.to_string()))
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
        let variables =
            [("CTRLPLANE_SECRET_KUBE", "the agent's own"), ("CTRLPLANE_SECRET_VAR_ACME_DB", "of acme")];
        let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let secrets = Arc::new(Secrets::new(None, variables));
        let (own, jobs) = (of_the_agent(Arc::clone(&secrets)), of_jobs(secrets));
        let acme = "acme".parse().expect("a slug");
        assert!(own("kube").is_ok() && jobs.secret(&acme, "db").is_ok());
        for why in [own("var-acme-db").expect_err("acme's"), own("VAR_ACME_DB").expect_err("acme's")] {
            assert!(!why.contains("of acme\""), "{why}");
        }
        assert!(jobs.secret(&acme, "kube").is_err() && own("nothing").is_err());
    }
}
