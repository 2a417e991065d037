//! The calls this agent makes, typed. Each is admitted by the budget, signed with a fresh enough token, and refused in
//! the caller's terms. It knows runs, not jobs.

use super::auth::{AppIdentity, Minter, Token};
use super::budgets::Budgets;
use super::clocks::Clocks;
use super::config::{Credential, GithubConfig};
use super::run::Run;
use super::{budgets, headers, refusal, wire};
use chrono::TimeDelta;
use domain::Timestamp;
use http::StatusCode;
use platform::CallError;
use platform::budget::Kind;
use platform::http::{Call, Effect, HttpClient, Outcome};
use reqwest::Url;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// For this long after a token was minted, parts of GitHub may not know it yet.
const REPLICATION_LAG: TimeDelta = TimeDelta::seconds(5);
/// The pauses between tries with a token that young.
const LAG_PAUSES: [Duration; 4] =
    [Duration::from_millis(200), Duration::from_millis(500), Duration::from_secs(1), Duration::from_secs(2)];
/// The most results a page of a listing may have.
pub(super) const PAGE_MAX: usize = 100;
/// How many hosts are remembered to name no run at a dispatch.
const HOSTS_MAX: usize = 1_000;

/// What a dispatch brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Dispatched {
    /// This run.
    Run { id: u64, page: Option<String> },
    /// A run that GitHub did not name.
    Unnamed,
}

/// What became of a request about a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked {
    /// GitHub will.
    Accepted,
    /// It does not fit how the run stands.
    Conflict,
    /// There is no such run.
    Gone,
}

/// The client of GitHub's API.
pub(super) struct Api {
    http: HttpClient,
    minter: Minter,
    budgets: Budgets,
    clocks: Clocks,
    /// Hosts that refuse to name the run of a dispatch.
    nameless: Mutex<BTreeSet<String>>,
}

struct Request<'a> {
    url: Url,
    body: Option<&'a Value>,
    effect: Effect,
    /// Whether its place in the budget was taken before the intent was recorded.
    has_place: bool,
    /// Whether an answer that still holds is kept and asked for conditionally, which is free of the primary limit.
    keep: bool,
}

impl<'a> Request<'a> {
    fn read(url: Url) -> Self {
        Self { url, body: None, effect: Effect::Read, has_place: false, keep: false }
    }

    /// A write that may be made once only has its place already: see [`Api::ready`].
    fn write(url: Url, body: &'a Value, effect: Effect) -> Self {
        Self { url, body: Some(body), effect, has_place: effect == Effect::Write, keep: false }
    }
}

impl Api {
    pub(super) fn new(http: HttpClient, minter: Minter, budgets: Budgets, clocks: Clocks) -> Self {
        Self { http, minter, budgets, clocks, nameless: Mutex::default() }
    }

    /// Takes the place in the budget for a dispatch or a rerun, and makes sure of a token.
    pub(super) async fn ready(&self, config: &GithubConfig) -> Result<(), CallError> {
        self.minter.token(config).await?;
        self.budgets.of(config).admit(Kind::Write).await?;
        Ok(())
    }

    /// Starts a run. Servers that do not know how to name it are remembered and asked without.
    pub(super) async fn dispatch(
        &self,
        config: &GithubConfig,
        inputs: &BTreeMap<&str, String>,
    ) -> Result<Dispatched, CallError> {
        #[derive(Deserialize)]
        struct Details {
            workflow_run_id: u64,
            html_url: Option<String>,
        }
        let url = config.repo_url(["actions", "workflows", &config.workflow, "dispatches"]);
        loop {
            let names = !self.nameless().contains(&config.host);
            let mut body = json!({ "ref": config.git_ref, "inputs": inputs });
            if names {
                body["return_run_details"] = Value::Bool(true);
            }
            let outcome = self.call(config, Request::write(url.clone(), &body, Effect::Write)).await?;
            return match outcome.status {
                // Whatever the body says, the run was started.
                status if status.is_success() => Ok(match serde_json::from_slice(&outcome.body) {
                    Ok(Details { workflow_run_id: id, html_url: page }) => Dispatched::Run { id, page },
                    Err(_) => Dispatched::Unnamed,
                }),
                StatusCode::UNPROCESSABLE_ENTITY if names && refuses_to_name(&outcome) => {
                    tracing::info!(
                        host = config.host,
                        "the server names no run at a dispatch: runs are found by name"
                    );
                    self.remember_nameless(&config.host);
                    continue;
                }
                StatusCode::NOT_FOUND => Err(CallError::Invalid(format!(
                    "GitHub knows no workflow {} in {}/{}, or does not show it to this credential",
                    config.workflow, config.owner, config.repo
                ))),
                _ => Err(self.refused(&outcome, Effect::Write)),
            };
        }
    }

    /// Reads a run; `None` where there is none.
    pub(super) async fn run(
        &self,
        config: &GithubConfig,
        id: &str,
        fresh: bool,
    ) -> Result<Option<Run>, CallError> {
        let url = config.repo_url(["actions", "runs", id]);
        let outcome = self.call(config, Request { keep: !fresh, ..Request::read(url) }).await?;
        match outcome.status {
            StatusCode::OK => parse(&outcome).map(Some),
            StatusCode::NOT_FOUND => self.sees_repository(config).await.map(|()| None),
            _ => Err(self.refused(&outcome, Effect::Read)),
        }
    }

    /// A moment of our clock by the clock of the config's host, as its last answer told it.
    pub(super) fn by_its_clock(&self, config: &GithubConfig, moment: Timestamp) -> Timestamp {
        self.clocks.by(&config.host, moment)
    }

    /// A page of the workflow's dispatched runs, newest first.
    pub(super) async fn runs(
        &self,
        config: &GithubConfig,
        created: &str,
        page: usize,
    ) -> Result<Vec<Run>, CallError> {
        #[derive(Deserialize)]
        struct Page {
            workflow_runs: Vec<Run>,
        }
        let mut url = config.repo_url(["actions", "workflows", &config.workflow, "runs"]);
        url.query_pairs_mut()
            .append_pair("event", "workflow_dispatch")
            .append_pair("created", created)
            .append_pair("per_page", &PAGE_MAX.to_string())
            .append_pair("page", &page.to_string());
        let outcome = self.call(config, Request::read(url)).await?;
        match outcome.status {
            StatusCode::OK => parse(&outcome).map(|page: Page| page.workflow_runs),
            StatusCode::NOT_FOUND => Err(CallError::Invalid(format!(
                "GitHub knows no workflow {} in {}/{}, or does not show it to this credential",
                config.workflow, config.owner, config.repo
            ))),
            _ => Err(self.refused(&outcome, Effect::Read)),
        }
    }

    /// The environments for which a waiting run waits for a review; empty where it waits for something else.
    pub(super) async fn reviewed_environments(
        &self,
        config: &GithubConfig,
        id: &str,
    ) -> Result<Vec<String>, CallError> {
        #[derive(Deserialize)]
        struct Pending {
            environment: Environment,
            #[serde(default)]
            reviewers: Vec<Value>,
        }
        #[derive(Deserialize)]
        struct Environment {
            name: Option<String>,
        }
        let url = config.repo_url(["actions", "runs", id, "pending_deployments"]);
        let outcome = self.call(config, Request::read(url)).await?;
        if outcome.status != StatusCode::OK {
            return Err(self.refused(&outcome, Effect::Read));
        }
        let pending: Vec<Pending> = parse(&outcome)?;
        let reviewed = pending.into_iter().filter(|pending| !pending.reviewers.is_empty());
        Ok(reviewed.map(|pending| pending.environment.name.unwrap_or_else(|| "?".to_owned())).collect())
    }

    /// Asks for the end of a run. Asking twice is the same.
    pub(super) async fn cancel(
        &self,
        config: &GithubConfig,
        id: &str,
        force: bool,
    ) -> Result<Asked, CallError> {
        let verb = if force { "force-cancel" } else { "cancel" };
        let body = json!({});
        let url = config.repo_url(["actions", "runs", id, verb]);
        let outcome = self.call(config, Request::write(url, &body, Effect::Read)).await?;
        match outcome.status {
            status if status.is_success() => Ok(Asked::Accepted),
            StatusCode::CONFLICT => Ok(Asked::Conflict),
            StatusCode::NOT_FOUND => self.sees_repository(config).await.map(|()| Asked::Gone),
            _ => Err(self.refused(&outcome, Effect::Read)),
        }
    }

    /// Asks for another attempt of a run that is over.
    pub(super) async fn rerun(&self, config: &GithubConfig, id: &str) -> Result<Asked, CallError> {
        let body = json!({});
        let url = config.repo_url(["actions", "runs", id, "rerun"]);
        let outcome = self.call(config, Request::write(url, &body, Effect::Write)).await?;
        match outcome.status {
            status if status.is_success() => Ok(Asked::Accepted),
            StatusCode::FORBIDDEN if refusal::words(&outcome).contains("already running") => {
                Ok(Asked::Conflict)
            }
            StatusCode::NOT_FOUND => self.sees_repository(config).await.map(|()| Asked::Gone),
            _ => Err(self.refused(&outcome, Effect::Write)),
        }
    }

    /// GitHub says "not found" of what we may not see. Before a run is called gone, its repository must be in sight.
    async fn sees_repository(&self, config: &GithubConfig) -> Result<(), CallError> {
        let outcome = self.call(config, Request::read(config.repo_url([]))).await?;
        match outcome.status {
            StatusCode::OK => Ok(()),
            StatusCode::NOT_FOUND => Err(CallError::Unauthorized(format!(
                "GitHub does not show {}/{} to this credential",
                config.owner, config.repo
            ))),
            _ => Err(self.refused(&outcome, Effect::Read)),
        }
    }

    /// One call with a token that should be good. A refused token is no effect, so the call may be made again: with the
    /// same token while it is so young that parts of GitHub may not know it, then once with another.
    async fn call(&self, config: &GithubConfig, request: Request<'_>) -> Result<Outcome, CallError> {
        let mut reminted = false;
        let mut pauses = LAG_PAUSES.iter();
        loop {
            let token = self.minter.token(config).await?;
            let outcome = self.call_with(config, &token, &request).await?;
            if outcome.status != StatusCode::UNAUTHORIZED {
                return Ok(outcome);
            }
            let Some(minted_at) = token.minted_at else { return Err(self.refused(&outcome, request.effect)) };
            let is_young = self.clocks.now() - minted_at < REPLICATION_LAG;
            match pauses.next().filter(|_| is_young) {
                Some(pause) => tokio::time::sleep(*pause).await,
                None if reminted => return Err(self.refused(&outcome, request.effect)),
                None => {
                    self.minter.forget(config, &token).await;
                    (reminted, pauses) = (true, LAG_PAUSES.iter());
                }
            }
        }
    }

    async fn call_with(
        &self,
        config: &GithubConfig,
        token: &Token,
        request: &Request<'_>,
    ) -> Result<Outcome, CallError> {
        let budget = self.budgets.of(config);
        if !request.has_place {
            budget.admit(Kind::Read).await?;
        }
        let _slot = budget.slot().await;
        let headers = headers::of(&token.secret)?;
        let call = match request.body {
            Some(body) => Call::post(request.url.as_str(), headers, body),
            None => Call::get(request.url.as_str(), headers),
        };
        let who = config.counted_as();
        let kept_for = request.keep.then_some(who.as_str());
        let outcome =
            wire::send(&self.http, call, kept_for).await.map_err(|error| error.for_effect(request.effect))?;
        self.clocks.heard(&config.host, &outcome.headers);
        budget.learned(budgets::learned(&outcome, self.clocks.now())).await;
        Ok(outcome)
    }

    /// A call as the App itself, from the App's own budget.
    async fn call_as_app(
        &self,
        app: &AppIdentity<'_>,
        call: impl Fn(http::HeaderMap) -> Call,
    ) -> Result<Outcome, CallError> {
        let budget = self.budgets.of_app(app.host, app.id);
        budget.admit(Kind::Read).await?;
        let _slot = budget.slot().await;
        let outcome = self.minter.as_app(app, call).await?;
        budget.learned(budgets::learned(&outcome, self.clocks.now())).await;
        Ok(outcome)
    }

    /// A call about webhooks: as the App where there is one, else as the token's owner.
    pub(super) async fn call_about_hooks(
        &self,
        config: &GithubConfig,
        url: Url,
        kind: Kind,
    ) -> Result<Outcome, CallError> {
        let body = json!({});
        match &config.credential {
            Credential::App { id, key_secret, .. } => {
                let app = AppIdentity { host: &config.host, id, key_secret };
                let call = |headers| match kind {
                    Kind::Write => Call::post(url.as_str(), headers, &body),
                    Kind::Read => Call::get(url.as_str(), headers),
                };
                self.call_as_app(&app, call).await
            }
            Credential::Token { .. } => match kind {
                Kind::Write => self.call(config, Request::write(url, &body, Effect::Read)).await,
                Kind::Read => self.call(config, Request::read(url)).await,
            },
        }
    }

    /// What an answer that is no success means, where nothing was written.
    pub(super) fn refused_read(&self, outcome: &Outcome) -> CallError {
        self.refused(outcome, Effect::Read)
    }

    fn refused(&self, outcome: &Outcome, effect: Effect) -> CallError {
        refusal::of(outcome, effect, self.clocks.now())
    }

    fn remember_nameless(&self, host: &str) {
        let mut hosts = self.nameless();
        if hosts.len() >= HOSTS_MAX {
            hosts.clear();
        }
        hosts.insert(host.to_owned());
    }

    fn nameless(&self) -> std::sync::MutexGuard<'_, BTreeSet<String>> {
        // A panic while the lock was held leaves at worst a host to be asked again.
        self.nameless.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a 422 is about our wish to have the run named, which GHES up to 3.19 does not know.
fn refuses_to_name(outcome: &Outcome) -> bool {
    let words = refusal::words(outcome);
    words.contains("return_run_details") || words.contains("not a permitted key")
}

pub(super) fn parse<T: DeserializeOwned>(outcome: &Outcome) -> Result<T, CallError> {
    serde_json::from_slice(&outcome.body)
        .map_err(|error| CallError::Transient(format!("GitHub's answer cannot be read: {error}")))
}
