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
    use domain::token::Slug;
    use secrecy::ExposeSecret as _;

    fn asked(workspace: &str, name: &str) -> Result<String, String> {
        let variables = [
            ("CTRLPLANE_SECRET_GITHUB_APP_KEY", "the agent's own"),
            ("CTRLPLANE_SECRET_VAR_ACME_SHOP_DB", "of acme"),
            ("CTRLPLANE_SECRET_VAR_GLOBEX_TOKEN", "of globex"),
        ];
        let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let source = of_jobs(Arc::new(Secrets::new(None, variables)));
        let workspace: Slug = workspace.parse().expect("a slug");
        source.secret(&workspace, name).map(|secret| secret.expose_secret().to_owned())
    }

    #[test]
    fn a_workspace_has_its_own_secrets() {
        assert_eq!(asked("acme", "shop-db").as_deref(), Ok("of acme"));
        assert_eq!(asked("globex", "token").as_deref(), Ok("of globex"));
    }

    #[test]
    fn a_workspace_reaches_neither_another_s_secrets_nor_the_agent_s_own() {
        let names = ["token", "globex-token", "var-globex-token", "-globex-token", "../var-globex-token"];
        let own = ["github-app-key", "GITHUB_APP_KEY", "CTRLPLANE_SECRET_GITHUB_APP_KEY"];
        for name in names.into_iter().chain(own) {
            let why = asked("acme", name).expect_err(name);
            assert!(!why.contains("of globex") && !why.contains("the agent's own"), "{why}");
        }
    }

    #[test]
    fn what_is_missing_is_said_with_where_it_was_looked_for() {
        let why = asked("acme", "lost").expect_err("there is none");
        for said in ["var-acme-lost", "secrets.dir", "CTRLPLANE_SECRET_VAR_ACME_LOST"] {
            assert!(why.contains(said), "{why}");
        }
    }
}
