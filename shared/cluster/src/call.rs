//! Calls to one cluster: each with a deadline and from the budget, each telling whether it may have had its effect.

use crate::access::Access;
use crate::budget::{Share, Turn};
use crate::connect::{Clusters, said};
use crate::refusal::{Refused, of_answer};
use http::{Method, Request, StatusCode};
use http_body_util::BodyExt as _;
use hyper_util::client::legacy::Error as LegacyError;
use kube::Client;
use kube::client::Body;
use platform::CallError;
use platform::http::Effect;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use url::form_urlencoded::Serializer;

/// A cluster, as one config reaches it.
#[derive(Clone)]
pub struct Cluster {
    pub(crate) clusters: Arc<Clusters>,
    pub(crate) access: Access,
    pub(crate) client: Client,
    pub(crate) host: String,
    pub(crate) whose: String,
    pub(crate) deadline: Duration,
    pub(crate) is_new: bool,
    pub(crate) budget: Share,
}

/// How an object is changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Patch {
    /// Server-side apply: what is given is as given, whoever owned it; the object is made if it is not there.
    Apply {
        /// As whom.
        field_manager: &'static str,
    },
    /// JSON merge patch (RFC 7386).
    Merge,
}

/// What a write did.
#[derive(Debug, Clone, PartialEq)]
pub struct Done {
    /// Whether it made the object.
    pub created: bool,
    /// The object as it is now.
    pub object: Value,
}

pub(crate) struct Call<'a> {
    pub(crate) method: Method,
    pub(crate) path: &'a str,
    pub(crate) query: &'a [(&'a str, &'a str)],
    pub(crate) content_type: Option<&'static str>,
    pub(crate) body: Vec<u8>,
    pub(crate) effect: Effect,
    pub(crate) turn: Turn,
}

impl Cluster {
    /// The host of the API server, with its port.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The namespace of the config.
    pub fn namespace(&self) -> &str {
        &self.access.namespace
    }

    /// Takes the place in the budget for an object that is to be made: [`Cluster::create`] and [`Patch::Apply`] do not ask again.
    ///
    /// # Errors
    /// [`CallError::RateLimited`] with the time to come back.
    pub async fn reserve(&self) -> Result<(), CallError> {
        self.budget.reserve().await
    }

    /// Reads an object or a list.
    ///
    /// # Errors
    /// See [`Refused`].
    pub async fn get<T: DeserializeOwned>(&self, path: &str, query: &[(&str, &str)]) -> Result<T, Refused> {
        let call = Call {
            method: Method::GET,
            path,
            query,
            content_type: None,
            body: Vec::new(),
            effect: Effect::Read,
            turn: Turn::Ask,
        };
        let (_, body) = self.send(&call).await?;
        understood(&body, Effect::Read)
    }

    /// Changes an object, or with `dryRun` in the query says what would come of it.
    ///
    /// # Errors
    /// See [`Refused`].
    pub async fn patch(
        &self,
        path: &str,
        how: Patch,
        query: &[(&str, &str)],
        body: &Value,
    ) -> Result<Done, Refused> {
        let effect = effect_of(query);
        let mut query = query.to_vec();
        let (content_type, turn) = match how {
            Patch::Apply { field_manager } => {
                query.extend([("fieldManager", field_manager), ("force", "true")]);
                ("application/apply-patch+yaml", turn_of(effect))
            }
            Patch::Merge => ("application/merge-patch+json", Turn::Ask),
        };
        let body = body.to_string().into_bytes();
        let content_type = Some(content_type);
        self.write(&Call { method: Method::PATCH, path, query: &query, content_type, body, effect, turn })
            .await
    }

    /// Makes an object in the collection at `path`.
    ///
    /// # Errors
    /// See [`Refused`]; [`Refused::Conflict`] where there is one of that name.
    pub async fn create(&self, path: &str, query: &[(&str, &str)], body: &Value) -> Result<Done, Refused> {
        let effect = effect_of(query);
        let (body, content_type) = (body.to_string().into_bytes(), Some("application/json"));
        let turn = turn_of(effect);
        self.write(&Call { method: Method::POST, path, query, content_type, body, effect, turn }).await
    }

    /// Asks for the end of an object.
    ///
    /// # Errors
    /// See [`Refused`].
    pub async fn delete(&self, path: &str, options: &Value) -> Result<Done, Refused> {
        let (body, content_type) = (options.to_string().into_bytes(), Some("application/json"));
        let (effect, turn) = (Effect::Write, Turn::Ask);
        self.write(&Call { method: Method::DELETE, path, query: &[], content_type, body, effect, turn }).await
    }

    async fn write(&self, call: &Call<'_>) -> Result<Done, Refused> {
        let (status, body) = self.send(call).await?;
        Ok(Done { created: status == StatusCode::CREATED, object: understood(&body, call.effect)? })
    }

    /// Sends, and once more after signing in anew where a connection's credentials have become old.
    async fn send(&self, call: &Call<'_>) -> Result<(StatusCode, Vec<u8>), Refused> {
        let _slot = self.budget.enter(call.turn).await?;
        let (status, headers, body) = self.send_once(&self.client, call).await?;
        let (status, headers, body) = if status == StatusCode::UNAUTHORIZED && !self.is_new {
            self.clusters.forget(&self.access.sign_in);
            let anew = self.clusters.of(&self.access).await?;
            self.send_once(&anew.client, call).await?
        } else {
            (status, headers, body)
        };
        if status.is_success() {
            return Ok((status, body));
        }
        let refused = of_answer(status, &headers, &body, call.effect, &self.whose);
        self.budget.learn(&refused).await;
        Err(refused)
    }

    async fn send_once(
        &self,
        client: &Client,
        call: &Call<'_>,
    ) -> Result<(StatusCode, http::HeaderMap, Vec<u8>), Refused> {
        let request = request(call)?.map(Body::from);
        let answered = async {
            let answer = client.send(request).await?;
            let (status, headers) = (answer.status(), answer.headers().clone());
            let body = answer.into_body().collect().await?.to_bytes().to_vec();
            Ok::<_, kube::Error>((status, headers, body))
        };
        match tokio::time::timeout(self.deadline, answered).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(Refused::Call(of_error(&error, call.effect))),
            Err(_) => {
                let why = format!("no answer within {} s", self.deadline.as_secs_f32());
                Err(Refused::Call(not_answered(why, call.effect)))
            }
        }
    }
}

impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cluster")
            .field("host", &self.host)
            .field("namespace", &self.access.namespace)
            .finish_non_exhaustive()
    }
}

/// The request, relative to the API server.
pub(crate) fn request(call: &Call<'_>) -> Result<Request<Vec<u8>>, CallError> {
    let query = Serializer::new(String::new()).extend_pairs(call.query).finish();
    let target = if query.is_empty() { call.path.to_owned() } else { format!("{}?{query}", call.path) };
    let mut request = Request::builder()
        .method(call.method.clone())
        .uri(target)
        .header(http::header::USER_AGENT, concat!("ctrlplane/", env!("CARGO_PKG_VERSION")))
        .header(http::header::ACCEPT, "application/json");
    if let Some(content_type) = call.content_type {
        request = request.header(http::header::CONTENT_TYPE, content_type);
    }
    request.body(call.body.clone()).map_err(|error| CallError::Invalid(error.to_string()))
}

fn effect_of(query: &[(&str, &str)]) -> Effect {
    if query.iter().any(|(name, _)| *name == "dryRun") { Effect::Read } else { Effect::Write }
}

/// What makes an object has its place already; a dry run makes none.
fn turn_of(effect: Effect) -> Turn {
    match effect {
        Effect::Read => Turn::Ask,
        Effect::Write => Turn::Reserved,
    }
}

fn understood<T: DeserializeOwned>(body: &[u8], effect: Effect) -> Result<T, Refused> {
    serde_json::from_slice(body).map_err(|error| {
        Refused::Call(not_answered(format!("the answer is not understood: {error}"), effect))
    })
}

/// Sent, but nobody knows what came of it.
fn not_answered(why: String, effect: Effect) -> CallError {
    match effect {
        Effect::Read => CallError::Transient(why),
        Effect::Write => CallError::Ambiguous(why),
    }
}

/// What an error of the client means: was it sent, and may it have had its effect?
pub(crate) fn of_error(error: &kube::Error, effect: Effect) -> CallError {
    let words = said(error);
    if words.contains("invalid peer certificate") {
        return CallError::Unauthorized(format!(
            "the API server's certificate is not one of the cluster's CA: {words}"
        ));
    }
    if let kube::Error::Auth(_) = error {
        return CallError::Unauthorized(format!("signing in to the cluster failed: {words}"));
    }
    if let kube::Error::Service(inner) = error
        && inner.downcast_ref::<LegacyError>().is_some_and(LegacyError::is_connect)
    {
        return CallError::Transient(format!("not sent: {words}"));
    }
    not_answered(words, effect)
}
