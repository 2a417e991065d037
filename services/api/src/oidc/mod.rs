//! Logging in at the console with OpenID Connect: authorization code with PKCE, state and nonce, at any issuer that
//! describes itself. It ends in who somebody is and what they may do; sessions are begun elsewhere.

mod attempt;
mod id_token;
mod provider;
mod roles;

use anyhow::Context as _;
use bus::clock;
use domain::access::Grants;
use secrecy::{ExposeSecret as _, SecretString};
use url::Url;

use crate::settings::{AuthSettings, OidcSettings};
use id_token::{Expected, Unfit, verify};
use provider::{Exchange, Provider};

pub(crate) use attempt::Attempt;
pub(crate) use provider::{ProviderError, is_safe};
pub(crate) use roles::GroupRole;

/// Where the issuer sends people back to, below the public address.
pub(crate) const CALLBACK: &str = "/api/v1/login/oidc/callback";

/// The issuer, and what is agreed with it.
pub(crate) struct Oidc {
    settings: OidcSettings,
    rules: Vec<GroupRole>,
    issuer: String,
    client_id: String,
    client_secret: Option<SecretString>,
    redirect_uri: String,
    provider: Provider,
}

/// Somebody whom the issuer let in.
pub(crate) struct Person {
    pub(crate) user: String,
    pub(crate) groups: Vec<String>,
    pub(crate) roles: Grants,
}

/// Why somebody is not let in.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotLetIn {
    #[error("{0}")]
    Provider(#[from] ProviderError),
    #[error("the issuer's ID token is not accepted: {0}")]
    Token(Unfit),
    #[error("{0}")]
    Unknown(String),
    #[error("{user} is in no group that may do anything here")]
    NoRole { user: String },
}

impl Oidc {
    /// As the settings have it; `None`: not at all. The issuer is not asked yet.
    pub(crate) fn of(settings: &OidcSettings, auth: &AuthSettings) -> anyhow::Result<Option<Self>> {
        let Some(issuer) = settings.issuer.clone() else { return Ok(None) };
        let client_id = settings.client_id.clone().context("oidc.client_id is missing")?;
        let public_url = auth.public_url.as_deref().context("auth.public_url is missing")?;
        let client_secret = settings.client_secret_file.as_ref().map(|path| {
            let text = std::fs::read_to_string(path);
            let text = text.with_context(|| format!("oidc.client_secret_file {}", path.display()))?;
            anyhow::Ok(SecretString::from(text.trim()))
        });
        let rules = settings.roles.iter().map(|text| text.parse::<GroupRole>().map_err(anyhow::Error::msg));
        Ok(Some(Self {
            rules: rules.collect::<Result<_, _>>().context("oidc.roles")?,
            client_id,
            client_secret: client_secret.transpose()?,
            redirect_uri: format!("{}{CALLBACK}", public_url.trim_end_matches('/')),
            provider: Provider::new(&issuer).context("oidc.issuer")?,
            issuer,
            settings: settings.clone(),
        }))
    }

    /// What people know the issuer by.
    pub(crate) fn name(&self) -> String {
        let host = || Url::parse(&self.issuer).ok().and_then(|url| url.host_str().map(str::to_owned));
        self.settings.name.clone().or_else(host).unwrap_or_else(|| self.issuer.clone())
    }

    /// As it calls itself.
    pub(crate) fn issuer(&self) -> &str {
        &self.issuer
    }

    /// What members of these groups may do, by the settings of now.
    pub(crate) fn granted(&self, groups: &[String]) -> Grants {
        roles::granted(&self.rules, groups)
    }

    /// Where the browser goes to log in.
    pub(crate) async fn begin(&self, attempt: &Attempt) -> Result<Url, ProviderError> {
        let mut url = self.provider.describe().await?.authorization_endpoint;
        url.query_pairs_mut()
            .append_pair("response_type", "code")
            .append_pair("client_id", &self.client_id)
            .append_pair("redirect_uri", &self.redirect_uri)
            .append_pair("scope", &self.settings.scopes.join(" "))
            .append_pair("state", &attempt.state())
            .append_pair("nonce", &attempt.nonce())
            .append_pair("code_challenge", &attempt.challenge())
            .append_pair("code_challenge_method", "S256");
        Ok(url)
    }

    /// Whom the code is of. The state is checked already.
    pub(crate) async fn finish(&self, attempt: &Attempt, code: &str) -> Result<Person, NotLetIn> {
        let verifier = attempt.verifier();
        let exchange = Exchange {
            code,
            redirect_uri: &self.redirect_uri,
            verifier: &verifier,
            client_id: &self.client_id,
            client_secret: self.client_secret.as_ref(),
        };
        let token = self.provider.exchange(exchange).await?;
        let nonce = attempt.nonce();
        let expected =
            Expected { issuer: &self.issuer, client_id: &self.client_id, nonce: &nonce, now: clock::now() };
        let keys = self.provider.keys(false).await?;
        let verified = match verify(token.expose_secret(), &keys, expected) {
            // The issuer may have a new key.
            Err(Unfit::UnknownKey) => {
                verify(token.expose_secret(), &self.provider.keys(true).await?, expected)
            }
            settled => settled,
        };
        let claims = verified.map_err(NotLetIn::Token)?;
        let user = roles::user(&claims, &self.settings.user_claim).map_err(NotLetIn::Unknown)?;
        let groups = roles::groups(&claims, &self.settings.groups_claim);
        let roles = roles::granted(&self.rules, &groups);
        if roles.is_empty() {
            return Err(NotLetIn::NoRole { user });
        }
        Ok(Person { user, groups, roles })
    }
}
