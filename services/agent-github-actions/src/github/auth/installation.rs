//! From a job's config to a token: personal tokens as they are, App tokens by JWT and installation.

use super::jwt;
use super::tokens::{Token, Tokens};
use crate::github::config::{Credential, GithubConfig};
use crate::github::{headers, refusal, wire};
use chrono::{DateTime, TimeDelta};
use domain::Timestamp;
use http::StatusCode;
use http::header::DATE;
use platform::http::{Call, Effect, HttpClient, Outcome, text};
use platform::{CallError, Clock};
use secrecy::SecretString;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use service::Secrets;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// How many hosts' clocks are remembered.
const HOSTS_MAX: usize = 1_000;

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
    clock: Clock,
    tokens: Tokens<Identity>,
    /// How far the clock of each host is ahead of ours, where an App's JWT was refused for it.
    ahead: Mutex<HashMap<String, TimeDelta>>,
}

impl Minter {
    /// One that reads secrets there, and the time there.
    pub(in crate::github) fn new(http: HttpClient, secrets: Arc<Secrets>, clock: Clock) -> Self {
        Self { http, secrets, clock, tokens: Tokens::new(), ahead: Mutex::default() }
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
                self.tokens.get(&Identity::of(config), || self.clock.now(), self.mint(app)).await
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
        let outcome = self.as_app(&app, |headers| Call::post(url.as_str(), headers, &asked)).await?;
        match outcome.status {
            StatusCode::CREATED => {
                let Minted { token, expires_at } = parse(&outcome)?;
                let now = self.clock.now();
                let lifetime = expires_at - self.by_clock_of(&app.config.host, now);
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
        let outcome = self.as_app(app, |headers| Call::get(url.as_str(), headers)).await?;
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
    async fn as_app(
        &self,
        app: &App<'_>,
        call: impl Fn(http::HeaderMap) -> Call,
    ) -> Result<Outcome, CallError> {
        let key = self.secret(app.key_secret)?;
        let host = &app.config.host;
        let mut corrected = false;
        loop {
            let now = self.by_clock_of(host, self.clock.now());
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
        if !(words.contains("'exp'") || words.contains("'iat'")) {
            return false;
        }
        let date = text(&outcome.headers, DATE.as_str()).and_then(|d| DateTime::parse_from_rfc2822(d).ok());
        let Some(date) = date else { return false };
        let ahead = date.to_utc() - self.clock.now();
        tracing::warn!(host, ahead_seconds = ahead.num_seconds(), "our clock differs from GitHub's");
        let mut known = self.ahead.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= HOSTS_MAX {
            known.clear();
        }
        known.insert(host.to_owned(), ahead);
        true
    }

    fn by_clock_of(&self, host: &str, now: Timestamp) -> Timestamp {
        let known = self.ahead.lock().unwrap_or_else(PoisonError::into_inner);
        now + known.get(host).copied().unwrap_or_else(TimeDelta::zero)
    }

    fn secret(&self, name: &str) -> Result<SecretString, CallError> {
        self.secrets.get(name).map_err(|error| CallError::Unauthorized(error.to_string()))
    }

    /// Whatever does not fit about an App is about its credentials.
    fn refused(&self, outcome: &Outcome) -> CallError {
        match refusal::of(outcome, Effect::Read, self.clock.now()) {
            CallError::Invalid(why) => CallError::Unauthorized(why),
            other @ (CallError::Unauthorized(_)
            | CallError::RateLimited { .. }
            | CallError::Ambiguous(_)
            | CallError::Transient(_)) => other,
        }
    }
}

#[derive(Clone, Copy)]
struct App<'a> {
    config: &'a GithubConfig,
    id: &'a str,
    key_secret: &'a str,
    installation: Option<u64>,
}

/// Never shows the body: it holds the token.
fn parse<T: DeserializeOwned>(outcome: &Outcome) -> Result<T, CallError> {
    serde_json::from_slice(&outcome.body).map_err(|_| {
        CallError::Transient(format!("GitHub answered {} with what we cannot read", outcome.status))
    })
}
