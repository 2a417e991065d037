//! What pullers send and get, alike over HTTP and over the bus.

use crate::record::{Claim, Claimant, Record, Report, Reported, Stage};
use crate::refusal::Refusal;
use crate::settings::Settings;
use domain::Timestamp;
use domain::id::WorkflowRunId;
use domain::job::{ActiveStatus, JobRef, JobStatus, Links, TerminalStatus};
use platform::agent::Mask;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

const NAME_CHARS_MAX: usize = 100;
const MESSAGE_CHARS_MAX: usize = 2_000;
const URL_BYTES_MAX: usize = 2_000;
const LINKS_MAX: usize = 20;
/// How many jobs one list shows where it is not said.
const LIST: usize = 100;
const LIST_MAX: usize = 1_000;
const ANONYMOUS: &str = "a puller";

/// Which jobs to list.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct ListQuery {
    /// `queued` or `inProgress`; absent: queued.
    pub(crate) status: Option<String>,
    pub(crate) limit: Option<usize>,
    /// How long to wait for a first job.
    pub(crate) wait_seconds: Option<u32>,
}

/// How to claim.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub(crate) struct ClaimBody {
    /// As the puller calls itself; people see it.
    by: Option<String>,
    claim_id: Option<String>,
    lease_seconds: Option<u32>,
    /// How long to wait for a job, where none is named.
    pub(crate) wait_seconds: Option<u32>,
}

/// A sign of life.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct HeartbeatBody {
    pub(crate) fence: u32,
    #[serde(default)]
    lease_seconds: Option<u32>,
}

/// How the job stands.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct ReportBody {
    pub(crate) fence: u32,
    status: String,
    #[serde(default)]
    message: Option<String>,
    #[serde(default)]
    progress: Option<String>,
    #[serde(default)]
    external_id: Option<String>,
    #[serde(default)]
    url: Option<String>,
    #[serde(default)]
    links: Links,
}

/// Back to the queue.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct ReleaseBody {
    pub(crate) fence: u32,
    #[serde(default)]
    message: Option<String>,
}

/// A job that was claimed, with everything its puller needs. Holds secrets: it is sent and never kept, logged or shown.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Claimed {
    pub(crate) job: ClaimedJob,
    /// The platform's config of the job, secrets in place.
    pub(crate) config: Map<String, Value>,
    pub(crate) dispatch_context: Value,
    #[serde(flatten)]
    pub(crate) lease: Lease,
}

/// A job as its claimer is told of it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ClaimedJob {
    #[serde(flatten)]
    pub(crate) job: JobRef,
    #[serde(flatten)]
    in_run: InRun,
}

impl From<JobRef> for ClaimedJob {
    fn from(job: JobRef) -> Self {
        Self { in_run: InRun::of(&job), job }
    }
}

/// Where a job stands that a workflow asks for: it brings no version anywhere.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct InRun {
    /// The run of the workflow.
    #[serde(skip_serializing_if = "Option::is_none")]
    workflow_run: Option<WorkflowRunId>,
    /// Its name in the run.
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
}

impl InRun {
    fn of(job: &JobRef) -> Self {
        let workflow_run = job.purpose.run();
        Self { workflow_run, name: workflow_run.map(|_| job.tag.clone()) }
    }
}

/// Until when the job is the puller's, and whether somebody wishes it to end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Lease {
    pub(crate) fence: u32,
    pub(crate) status: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) lease_seconds: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) lease_until: Option<Timestamp>,
    pub(crate) cancel: bool,
}

impl Lease {
    pub(crate) fn of(record: &Record) -> Self {
        let claim = match &record.stage {
            Stage::Claimed(claim) => Some(claim),
            Stage::Waiting { .. } | Stage::Over { .. } | Stage::Withdrawn => None,
        };
        Self {
            fence: record.fence,
            status: status(record).to_owned(),
            lease_seconds: claim.map(|claim| claim.lease_seconds),
            lease_until: claim.map(|claim| claim.until),
            cancel: record.cancelling,
        }
    }
}

/// A job in a list.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Item {
    id: domain::id::JobId,
    status: &'static str,
    fence: u32,
    attempt: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    deployment: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    environment: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<String>,
    #[serde(flatten)]
    in_run: InRun,
    queued_at: Timestamp,
    lost_leases: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    claimed_by: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lease_until: Option<Timestamp>,
    cancel: bool,
}

impl Item {
    pub(crate) fn fence(&self) -> u32 {
        self.fence
    }

    pub(crate) fn of(record: &Record) -> Self {
        let job = &record.command.job;
        let in_run = InRun::of(job);
        let brought = |text: &str| in_run.workflow_run.is_none().then(|| text.to_owned());
        let (message, claim) = match &record.stage {
            Stage::Waiting { why, .. } => (why.clone(), None),
            Stage::Claimed(claim) => (record.words.message.clone(), Some(claim)),
            Stage::Over { message, .. } => (message.clone(), None),
            Stage::Withdrawn => (None, None),
        };
        Self {
            id: job.id,
            status: status(record),
            fence: record.fence,
            attempt: record.attempt,
            deployment: brought(job.deployment.as_str()),
            environment: brought(job.environment.as_str()),
            version: brought(&job.tag),
            in_run,
            queued_at: record.queued_at,
            lost_leases: record.lost,
            message,
            claimed_by: claim.map(|Claim { by, .. }| by.clone()),
            lease_until: claim.map(|claim| claim.until),
            cancel: record.cancelling,
        }
    }
}

/// The status by the words existing clients know: lower camel.
fn status(record: &Record) -> &'static str {
    match &record.stage {
        Stage::Waiting { .. } => "queued",
        Stage::Claimed(_) => match record.words.status {
            ActiveStatus::Queued => "queued",
            ActiveStatus::InProgress => "inProgress",
            ActiveStatus::ActionRequired => "actionRequired",
        },
        Stage::Over { status, .. } => match status {
            TerminalStatus::Successful => "successful",
            TerminalStatus::Failure => "failure",
            TerminalStatus::Cancelled => "cancelled",
            TerminalStatus::Skipped => "skipped",
            TerminalStatus::InvalidJobAgent => "invalidJobAgent",
            TerminalStatus::InvalidIntegration => "invalidIntegration",
            TerminalStatus::ExternalRunNotFound => "externalRunNotFound",
        },
        Stage::Withdrawn => "withdrawn",
    }
}

/// Reads a body. An empty one is `{}`.
pub(crate) fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Refusal> {
    let bytes = if bytes.is_empty() { b"{}" } else { bytes };
    serde_json::from_slice(bytes).map_err(|error| Refusal::invalid("body", error.to_string()))
}

impl ListQuery {
    pub(crate) fn limit(&self) -> usize {
        self.limit.unwrap_or(LIST).clamp(1, LIST_MAX)
    }

    /// Whether a record belongs in the list.
    pub(crate) fn wants(&self) -> Result<fn(&Record) -> bool, Refusal> {
        match self.status.as_deref().unwrap_or("queued") {
            "queued" => Ok(|record| matches!(record.stage, Stage::Waiting { .. })),
            "inProgress" | "in_progress" => Ok(|record| matches!(record.stage, Stage::Claimed(_))),
            other => Err(Refusal::invalid("status", format!("{other:?} is neither queued nor inProgress"))),
        }
    }
}

impl ClaimBody {
    pub(crate) fn claimant(self, settings: &Settings) -> Result<Claimant, Refusal> {
        let by = self.by.map(|by| line("by", by, NAME_CHARS_MAX)).transpose()?;
        let claim_id = self.claim_id.map(|id| line("claimId", id, NAME_CHARS_MAX)).transpose()?;
        let lease_seconds = lease(self.lease_seconds, settings)?.unwrap_or(settings.lease_seconds);
        Ok(Claimant {
            by: by.filter(|by| !by.is_empty()).unwrap_or_else(|| ANONYMOUS.to_owned()),
            claim_id: claim_id.filter(|id| !id.is_empty()),
            lease_seconds,
        })
    }
}

impl HeartbeatBody {
    pub(crate) fn lease_seconds(&self, settings: &Settings) -> Result<Option<u32>, Refusal> {
        lease(self.lease_seconds, settings)
    }
}

impl ReleaseBody {
    pub(crate) fn message(self, mask: &Mask) -> Option<String> {
        self.message.map(|message| words(message, mask))
    }
}

impl ReportBody {
    /// The report, checked and without secrets.
    pub(crate) fn report(self, mask: &Mask) -> Result<Report, Refusal> {
        if self.links.len() > LINKS_MAX {
            return Err(Refusal::invalid("links", format!("more than {LINKS_MAX}")));
        }
        let link = |(name, url)| Ok((words(name, mask), web_address("links", url, mask)?));
        Ok(Report {
            status: reported(&self.status)?,
            message: self.message.map(|text| words(text, mask)),
            progress: self.progress.map(|text| short("progress", text, mask)).transpose()?,
            external_id: self.external_id.map(|text| short("externalId", text, mask)).transpose()?,
            url: self.url.map(|url| web_address("url", url, mask)).transpose()?,
            links: self.links.into_iter().map(link).collect::<Result<_, Refusal>>()?,
        })
    }
}

fn reported(word: &str) -> Result<Reported, Refusal> {
    let status = JobStatus::parse(word)
        .ok_or_else(|| Refusal::invalid("status", format!("{word:?} is no status of a job")))?;
    match status {
        JobStatus::InProgress => Ok(Reported::Active(ActiveStatus::InProgress)),
        JobStatus::ActionRequired => Ok(Reported::Active(ActiveStatus::ActionRequired)),
        JobStatus::Pending | JobStatus::Queued => {
            let why = format!("a claimed job is not {status}; release gives it back to the queue");
            Err(Refusal::invalid("status", why))
        }
        JobStatus::Successful
        | JobStatus::Failure
        | JobStatus::Cancelled
        | JobStatus::Skipped
        | JobStatus::InvalidJobAgent
        | JobStatus::InvalidIntegration
        | JobStatus::ExternalRunNotFound => TerminalStatus::try_from(status)
            .map(Reported::Terminal)
            .map_err(|status| Refusal::invalid("status", format!("{status} ends nothing"))),
    }
}

fn lease(asked: Option<u32>, settings: &Settings) -> Result<Option<u32>, Refusal> {
    match asked {
        Some(seconds) if seconds == 0 || seconds > settings.lease_seconds_max => {
            let why = format!("is not between 1 and {}", settings.lease_seconds_max);
            Err(Refusal::invalid("leaseSeconds", why))
        }
        asked => Ok(asked),
    }
}

fn line(field: &'static str, text: String, chars_max: usize) -> Result<String, Refusal> {
    if text.chars().count() > chars_max || text.contains(char::is_control) {
        return Err(Refusal::invalid(field, format!("is not one line of at most {chars_max} characters")));
    }
    Ok(text.trim().to_owned())
}

/// Text for people: cut where it is too long, and without secrets.
fn words(text: String, mask: &Mask) -> String {
    let masked = mask.text(text);
    let masked = telemetry::redact(&masked);
    match masked.char_indices().nth(MESSAGE_CHARS_MAX) {
        Some((at, _)) => format!("{}…", &masked[..at]),
        None => masked.into_owned(),
    }
}

fn short(field: &'static str, text: String, mask: &Mask) -> Result<String, Refusal> {
    Ok(mask.text(line(field, text, NAME_CHARS_MAX)?))
}

/// An address people may click on.
fn web_address(field: &'static str, url: String, mask: &Mask) -> Result<String, Refusal> {
    let is_web = url.starts_with("https://") || url.starts_with("http://");
    if !is_web || url.len() > URL_BYTES_MAX || url.contains(|c: char| c.is_control() || c.is_whitespace()) {
        return Err(Refusal::invalid(
            field,
            "an address begins with https:// or http:// and is not too long",
        ));
    }
    Ok(telemetry::redact(&mask.text(url)).into_owned())
}
