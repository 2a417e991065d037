//! The secrets that jobs' variables name: those of the job's workspace, and never what the agent itself signs in with.

use platform::SecretSource;
use service::Secrets;
use std::sync::Arc;

/// Looks where the agent's own secrets are, under the names that belong to workspaces.
pub(crate) fn of_jobs(secrets: Arc<Secrets>) -> impl SecretSource {
    move |workspace: &domain::token::Slug, name: &str| {
        secrets.of_workspace(workspace.as_str(), name).map_err(|error| error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use secrecy::ExposeSecret as _;

    #[test]
    fn a_workspace_reaches_its_own_secrets_and_not_the_agent_s() {
        let variables = [
            ("CTRLPLANE_SECRET_ARGO_TOKEN", "the agent's own"),
            ("CTRLPLANE_SECRET_VAR_ACME_SHOP_DB", "of acme"),
        ];
        let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let source = of_jobs(Arc::new(Secrets::new(None, variables)));
        let acme = "acme".parse().expect("a slug");
        let found = source.secret(&acme, "shop-db").map(|secret| secret.expose_secret().to_owned());
        assert_eq!(found.as_deref(), Ok("of acme"));
        let why = source.secret(&acme, "argo-token").expect_err("it is not the workspace's");
        assert!(why.contains("var-acme-argo-token") && !why.contains("the agent's own"), "{why}");
    }
}
