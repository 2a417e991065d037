//! From a job's config to a token: personal tokens as they are, App tokens by JWT and installation.

use super::jwt;
use super::tokens::{Token, Tokens};
use crate::github::clocks::Clocks;
use crate::github::config::{Credential, GithubConfig};
use crate::github::{headers, refusal, wire};
use domain::Timestamp;
use http::StatusCode;
use platform::CallError;
use platform::config::SecretName;
use platform::http::{Call, Effect, HttpClient, Outcome};
use secrecy::SecretString;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use service::Secrets;
use std::sync::Arc;

/// Who we are, and where: what a token is minted for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Identity {
    host: String,
    scope: String,
    credential: Credential,
}

impl Identity {
    /// Who a job's config makes us.
    fn of(config: &GithubConfig) -> Self {
        Self { host: config.host.clone(), scope: config.scope(), credential: config.credential.clone() }
    }
}

/// Turns configs into tokens. Clones nothing secret but into the calls it makes.
pub(in crate::github) struct Minter {
    http: HttpClient,
    secrets: Arc<Secrets>,
    /// Hears only of refusals: an App that is let in has the right times, whatever a proxy writes into `Date`.
    clocks: Clocks,
    tokens: Tokens<Identity>,
}

impl Minter {
    /// One that reads secrets there, and the time there.
    pub(in crate::github) fn new(http: HttpClient, secrets: Arc<Secrets>, clocks: Clocks) -> Self {
        Self { http, secrets, clocks, tokens: Tokens::new() }
    }

    /// A token for the config's repository, minted when there is none.
    ///
    /// # Errors
    /// [`CallError::Unauthorized`] when the secret, the App or its installation does not reach.
    pub(in crate::github) async fn token(&self, config: &GithubConfig) -> Result<Token, CallError> {
        match &config.credential {
            Credential::Token { secret } => Ok(Token::personal(self.secret(secret)?)),
            Credential::App { id, key_secret, installation } => {
                let app = App { config, id, key_secret, installation: *installation };
                self.tokens.get(&Identity::of(config), || self.clocks.now(), self.mint(app)).await
            }
        }
    }

    /// Forgets a token that GitHub refused.
    pub(in crate::github) async fn forget(&self, config: &GithubConfig, refused: &Token) {
        self.tokens.forget(&Identity::of(config), refused).await;
    }

    /// What only a mint can have: asked for the one repository and for no more than the calls need.
    async fn mint(&self, app: App<'_>) -> Result<Token, CallError> {
        #[derive(Deserialize)]
        struct Minted {
            token: String,
            expires_at: Timestamp,
        }
        let installation = match app.installation {
            Some(installation) => installation,
            None => self.find_installation(&app).await?,
        };
        let segments = ["app", "installations", &installation.to_string(), "access_tokens"];
        let url = app.config.url(segments);
        let asked = json!({ "repositories": [app.config.repo], "permissions": { "actions": "write" } });
        let outcome =
            self.as_app(&app.identity(), |headers| Call::post(url.as_str(), headers, &asked)).await?;
        match outcome.status {
            StatusCode::CREATED => {
                let Minted { token, expires_at } = parse(&outcome)?;
                let now = self.clocks.now();
                let lifetime = expires_at - self.clocks.by(&app.config.host, now);
                tracing::debug!(host = app.config.host, installation, %expires_at, "minted an installation token");
                Ok(Token::minted(SecretString::from(token), now, lifetime))
            }
            StatusCode::NOT_FOUND => {
                Err(CallError::Unauthorized(format!("the App {} has no installation {installation}", app.id)))
            }
            _ => Err(self.refused(&outcome)),
        }
    }

    async fn find_installation(&self, app: &App<'_>) -> Result<u64, CallError> {
        #[derive(Deserialize)]
        struct Installation {
            id: u64,
            suspended_at: Option<String>,
        }
        let url = app.config.repo_url(["installation"]);
        let outcome = self.as_app(&app.identity(), |headers| Call::get(url.as_str(), headers)).await?;
        let GithubConfig { owner, repo, .. } = app.config;
        match outcome.status {
            StatusCode::OK => match parse(&outcome)? {
                Installation { id, suspended_at: None } => Ok(id),
                Installation { suspended_at: Some(_), .. } => Err(CallError::Unauthorized(format!(
                    "the installation of the App {} on {owner} is suspended",
                    app.id
                ))),
            },
            StatusCode::NOT_FOUND => Err(CallError::Unauthorized(format!(
                "the App {} is not installed on {owner}/{repo}, or the repository does not exist",
                app.id
            ))),
            _ => Err(self.refused(&outcome)),
        }
    }

    /// A call as the App itself. When GitHub refuses our times, it is made once more with times by GitHub's clock.
    pub(in crate::github) async fn as_app(
        &self,
        app: &AppIdentity<'_>,
        call: impl Fn(http::HeaderMap) -> Call,
    ) -> Result<Outcome, CallError> {
        let key = self.secret(app.key_secret)?;
        let host = app.host;
        let mut corrected = false;
        loop {
            let now = self.clocks.by(host, self.clocks.now());
            let jwt = jwt::sign(app.id, &key, now)
                .map_err(|error| CallError::Unauthorized(format!("the secret {} {error}", app.key_secret)))?;
            let call = call(headers::of(&jwt)?);
            let outcome =
                wire::send(&self.http, call, None).await.map_err(|error| error.for_effect(Effect::Read))?;
            if outcome.status == StatusCode::UNAUTHORIZED && !corrected && self.learn_clock(host, &outcome) {
                corrected = true;
                continue;
            }
            return Ok(outcome);
        }
    }

    /// Whether a refusal was about the JWT's times, and GitHub told its own.
    fn learn_clock(&self, host: &str, outcome: &Outcome) -> bool {
        let words = refusal::words(outcome);
        (words.contains("'exp'") || words.contains("'iat'")) && self.clocks.heard(host, &outcome.headers)
    }

    fn secret(&self, SecretName { workspace, name }: &SecretName) -> Result<SecretString, CallError> {
        self.secrets
            .for_workspace(workspace.as_str(), name)
            .map_err(|error| CallError::Unauthorized(error.to_string()))
    }

    /// Whatever does not fit about an App is about its credentials.
    fn refused(&self, outcome: &Outcome) -> CallError {
        match refusal::of(outcome, Effect::Read, self.clocks.now()) {
            CallError::Invalid(why) => CallError::Unauthorized(why),
            other @ (CallError::Unauthorized(_)
            | CallError::RateLimited { .. }
            | CallError::Ambiguous(_)
            | CallError::Transient(_)) => other,
        }
    }
}

/// What an App proves itself with, and to whom.
#[derive(Clone, Copy)]
pub(in crate::github) struct AppIdentity<'a> {
    /// The host of the API.
    pub(in crate::github) host: &'a str,
    /// The App's id.
    pub(in crate::github) id: &'a str,
    /// The name of the secret with its private key.
    pub(in crate::github) key_secret: &'a SecretName,
}

impl<'a> App<'a> {
    fn identity(&self) -> AppIdentity<'a> {
        AppIdentity { host: &self.config.host, id: self.id, key_secret: self.key_secret }
    }
}

#[derive(Clone, Copy)]
struct App<'a> {
    config: &'a GithubConfig,
    id: &'a str,
    key_secret: &'a SecretName,
    installation: Option<u64>,
}

/// Never shows the body: it holds the token.
fn parse<T: DeserializeOwned>(outcome: &Outcome) -> Result<T, CallError> {
    serde_json::from_slice(&outcome.body).map_err(|_| {
        CallError::Transient(format!("GitHub answered {} with what we cannot read", outcome.status))
    })
}
