//! The same over the bus: a request to `ctrlplane.pull.<workspace>.<agent>.<verb>`, an answer to the puller's inbox. Errors are told
//! as services of NATS tell them: in two headers, with problem details as the payload.

use crate::auth::Puller;
use crate::http::App;
use crate::refusal::Refusal;
use crate::wire::{ClaimBody, ListQuery, read};
use async_trait::async_trait;
use bus::{Answer, HeaderMap, Request, Responder};
use domain::id::JobId;
use domain::subject;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

/// What pullers ask.
pub(crate) const REQUESTS: &str = "ctrlplane.pull.*.*.*";
/// Shared by all replicas.
pub(crate) const QUEUE_GROUP: &str = "agent-http-pull";
/// What the api asks for those it has let in.
pub(crate) const DESK_REQUESTS: &str = "ctrlplane.desk.*.*.*";
/// Where the api hears answers.
const API_INBOX: &str = "_INBOX_api.";
/// The headers in which services of NATS tell an error.
const ERROR: &str = "Nats-Service-Error";
const ERROR_CODE: &str = "Nats-Service-Error-Code";
/// The fence of a job's first claim.
const FIRST_FENCE: u32 = 1;
const AUTHORIZATION: &str = "Authorization";

#[async_trait]
impl Responder for App {
    async fn respond(&self, request: Request) -> Answer {
        match self.work(&request).await {
            Ok(payload) => Answer { headers: HeaderMap::new(), payload: payload.into() },
            Err(refusal) => refused(&refusal),
        }
    }

    /// Only an inbox of the agent that is asked for: what is answered is nobody else's.
    fn may_answer(&self, asked: &str, reply: &str) -> bool {
        subject::parse_pull(asked).is_some_and(|(workspace, agent, _)| {
            let inbox = subject::pull_inbox(&workspace, agent);
            reply.strip_prefix(&inbox).is_some_and(|rest| rest.starts_with('.') && rest.len() > 1)
        })
    }
}

/// Answers the api, which has settled who asks. The permissions of the bus let nobody else ask here.
pub(crate) struct ForApi(pub(crate) App);

#[async_trait]
impl Responder for ForApi {
    async fn respond(&self, request: Request) -> Answer {
        match self.work(&request).await {
            Ok(payload) => Answer { headers: HeaderMap::new(), payload: payload.into() },
            Err(refusal) => refused(&refusal),
        }
    }

    fn may_answer(&self, _asked: &str, reply: &str) -> bool {
        reply.strip_prefix(API_INBOX).is_some_and(|rest| !rest.is_empty())
    }
}

impl ForApi {
    async fn work(&self, request: &Request) -> Result<Vec<u8>, Refusal> {
        let (workspace, agent, verb) = subject::parse_desk(&request.subject)
            .ok_or_else(|| Refusal::NotFound(format!("subject {}", request.subject)))?;
        let puller = self.0.door.known(&workspace, agent)?;
        let mut body: Map<String, Value> = read(&request.payload)?;
        body.retain(|_field, value| !value.is_null());
        let job = body.get("job").cloned();
        // Clients that know no fences mean the claim that there is. Once there may have been another, they must say which.
        if matches!(verb, "report" | "heartbeat" | "release") && !body.contains_key("fence") {
            let job = job.and_then(|job| serde_json::from_value(job).ok());
            let fence = self.0.desk.get(&puller, named(job)?).await?.fence();
            if fence > FIRST_FENCE {
                return Err(Refusal::invalid(
                    "fence",
                    "is missing: this job was given out more than once, so say by its fence which claim is yours",
                ));
            }
            body.insert("fence".to_owned(), fence.into());
        }
        // Nor do they give signs of life.
        if verb == "claim" && !body.contains_key("leaseSeconds") {
            body.insert("leaseSeconds".to_owned(), self.0.desk.settings.lease_seconds_max.into());
        }
        let payload = Value::Object(body).to_string();
        self.0.verb(&puller, verb, payload.as_bytes()).await
    }
}

impl App {
    async fn work(&self, request: &Request) -> Result<Vec<u8>, Refusal> {
        let (workspace, agent, verb) = subject::parse_pull(&request.subject)
            .ok_or_else(|| Refusal::NotFound(format!("subject {}", request.subject)))?;
        let key = request.headers.get(AUTHORIZATION).map(|value| value.as_str());
        let key = key.and_then(|value| value.split_once(' ')).map(|(_, key)| key.trim());
        let puller = self.door.admit(workspace.as_str(), &agent.to_string(), key)?;
        self.limits.request(&puller)?;
        self.verb(&puller, verb, &request.payload).await
    }

    async fn verb(&self, puller: &Puller, verb: &str, payload: &[u8]) -> Result<Vec<u8>, Refusal> {
        let desk = &self.desk;
        match verb {
            "list" => json(&desk.list(puller, &read::<ListQuery>(payload)?).await?),
            "claim" => {
                let (job, body) = split::<ClaimBody>(payload)?;
                let wait = desk.settings.wait(body.wait_seconds);
                let claimant = body.claimant(&desk.settings)?;
                match job {
                    Some(job) => json(&desk.claim(puller, job, claimant).await?),
                    None => json(&desk.claim_next(puller, claimant, wait).await?),
                }
            }
            "get" => {
                let job = split::<Map<String, Value>>(payload)?.0;
                json(&desk.get(puller, named(job)?).await?)
            }
            "heartbeat" => {
                let (job, body) = split(payload)?;
                json(&desk.heartbeat(puller, named(job)?, &body).await?)
            }
            "report" => {
                let (job, body) = split(payload)?;
                json(&desk.report(puller, named(job)?, body).await?)
            }
            "release" => {
                let (job, body) = split(payload)?;
                json(&desk.release(puller, named(job)?, body).await?)
            }
            other => Err(Refusal::NotFound(format!("verb {other}"))),
        }
    }
}

/// The job a request names beside its body.
fn split<T: DeserializeOwned>(payload: &[u8]) -> Result<(Option<JobId>, T), Refusal> {
    let mut all: Map<String, Value> = read(payload)?;
    let job = match all.remove("job") {
        None => None,
        Some(job) => {
            Some(serde_json::from_value(job).map_err(|error| Refusal::invalid("job", error.to_string()))?)
        }
    };
    let body = serde_json::from_value(Value::Object(all));
    Ok((job, body.map_err(|error| Refusal::invalid("body", error.to_string()))?))
}

fn named(job: Option<JobId>) -> Result<JobId, Refusal> {
    job.ok_or_else(|| Refusal::invalid("job", "which job?"))
}

fn json(body: &impl Serialize) -> Result<Vec<u8>, Refusal> {
    serde_json::to_vec(body).map_err(|error| {
        tracing::error!(%error, "an answer cannot be written");
        Refusal::Internal
    })
}

fn refused(refusal: &Refusal) -> Answer {
    let mut headers = HeaderMap::new();
    headers.insert(ERROR_CODE, refusal.status().to_string());
    // A header is one line.
    headers.insert(ERROR, refusal.to_string().replace(char::is_control, " "));
    Answer { headers, payload: refusal.problem().to_string().into() }
}
