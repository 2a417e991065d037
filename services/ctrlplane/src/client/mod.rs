//! The HTTP API as demo and bench call it: apply, approve, cancel, explain, and live jobs. It knows routes and their
//! answers, and nothing of what stands behind them.

pub(crate) mod sse;
mod watch;

use std::time::Duration;

use anyhow::{Context as _, bail};
use domain::id::{EnvironmentId, JobId, VersionId, WorkspaceId};
use domain::target::TargetKey;
use domain::token::Slug;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

pub(crate) use watch::{JobWatch, Jobs};

/// No answer takes longer, except live events, which never end.
const ANSWER_WITHIN: Duration = Duration::from_secs(60);
/// How much of a refusal is shown.
const REFUSAL_CHARS: usize = 600;

/// A caller of one workspace's API; clones share its connections.
#[derive(Clone)]
pub(crate) struct Client {
    http: reqwest::Client,
    base: String,
    key: String,
    workspace: Slug,
}

impl Client {
    /// For the API at `base`, `http://host:port`.
    pub(crate) fn new(base: &str, key: &str, workspace: Slug) -> anyhow::Result<Self> {
        let http = reqwest::Client::builder().no_proxy().build().context("an HTTP client")?;
        Ok(Self { http, base: base.to_owned(), key: key.to_owned(), workspace })
    }

    /// The workspace it calls for.
    pub(crate) fn workspace(&self) -> &Slug {
        &self.workspace
    }

    /// Makes the catalog what the manifests say.
    pub(crate) async fn apply(&self, manifests: &str) -> anyhow::Result<Value> {
        let body =
            json!({ "files": [{ "name": "catalog.yaml", "text": manifests }], "workspace": self.workspace });
        let request = self.at(Method::POST, "/api/v1/apply".to_owned()).json(&body);
        answer(request).await.context("applying the catalog")
    }

    /// Says yes to a version in an environment.
    pub(crate) async fn approve(
        &self,
        version: VersionId,
        environment: EnvironmentId,
        reason: &str,
    ) -> anyhow::Result<()> {
        let path = self.path(&format!("deployment-versions/{version}/user-approval-records"));
        let body = json!({ "status": "approved", "environmentIds": [environment], "reason": reason });
        answer(self.at(Method::PUT, path).json(&body)).await.context("approving the version")?;
        Ok(())
    }

    /// Wishes a job to end.
    pub(crate) async fn cancel(&self, job: JobId) -> anyhow::Result<()> {
        let path = self.path(&format!("jobs/{job}/cancel"));
        answer(self.at(Method::POST, path).json(&json!({}))).await.context("cancelling the job")?;
        Ok(())
    }

    /// Why a target is as it is.
    pub(crate) async fn explain(&self, target: &TargetKey) -> anyhow::Result<Value> {
        let path = self.path(&format!("release-targets/{target}/explain"));
        answer(self.at(Method::GET, path)).await.context("asking why")
    }

    /// Live events, from the beginning or after the event of that id.
    pub(crate) async fn events(&self, after: Option<&str>) -> anyhow::Result<sse::Events> {
        let request = self.http.request(Method::GET, format!("{}{}", self.base, self.path("events")));
        let mut request = request.header("x-api-key", &self.key).header("accept", "text/event-stream");
        if let Some(id) = after {
            request = request.header("last-event-id", id);
        }
        let response = request.send().await.context("listening to live events")?;
        if !response.status().is_success() {
            bail!("listening to live events: {}", refusal(response).await);
        }
        Ok(sse::Events::of(response))
    }

    fn path(&self, rest: &str) -> String {
        format!("/api/v1/workspaces/{}/{rest}", WorkspaceId::of(&self.workspace))
    }

    fn at(&self, method: Method, path: String) -> RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.base));
        request.header("x-api-key", &self.key).timeout(ANSWER_WITHIN)
    }
}

async fn answer(request: RequestBuilder) -> anyhow::Result<Value> {
    let response = request.send().await?;
    if !response.status().is_success() {
        bail!("the API refused: {}", refusal(response).await);
    }
    let bytes = response.bytes().await?;
    if bytes.is_empty() {
        return Ok(Value::Null);
    }
    serde_json::from_slice(&bytes).context("the API's answer is no JSON")
}

async fn refusal(response: reqwest::Response) -> String {
    let status = response.status();
    let text = response.text().await.unwrap_or_else(|error| format!("no body: {error}"));
    format!("{status} {}", text.chars().take(REFUSAL_CHARS).collect::<String>())
}
