//! `PUT /jobs/{j}/status`: how a job stands, told by whoever runs it.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use bus::topology::{ARGO_WORKFLOWS, GITHUB_ACTIONS, GITLAB_CI, HTTP_PULL, KUBERNETES_JOBS};
use bus::{Base, Recorded, crash_point};
use domain::audit::Documents;
use domain::id::derive;
use domain::job::{
    ActiveStatus, ExternalRef, JobState, JobStatus, Links, RawStatus, Snapshot, SnapshotStatus, Source,
    TerminalStatus,
};
use domain::verification;
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::jobs::{Told, missing, parse_id, told};
use crate::audit::{self, Deed};
use crate::audited;
use crate::auth::Role;
use crate::caller::Caller;
use crate::context::App;
use crate::openapi::shapes::Accepted;
use crate::problem::{Fault, Problem};
use crate::pulls::{self, is_pulled};
use crate::request::{Body, Segments};

const MESSAGE_CHARS_MAX: usize = 2_000;
const LINKS_MAX: usize = 20;
/// The platforms whose agents name their runs themselves.
const NAMED_BY_AGENTS: [&str; 6] =
    [GITHUB_ACTIONS, GITLAB_CI, ARGO_WORKFLOWS, KUBERNETES_JOBS, HTTP_PULL, verification::PLATFORM];

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Report {
    /// In lower camel or snake case.
    status: String,
    message: Option<String>,
    /// What the run is called where it runs.
    external_id: Option<String>,
    /// Names and addresses.
    #[serde(default)]
    links: Links,
    /// Of a job that was claimed: the fence of the claim. Left out: of the claim that there is.
    fence: Option<u32>,
}

/// `PUT /jobs/{j}/status`. A job that is over does not go back.
#[utoipa::path(put, path = "/jobs/{j}/status", request_body = Report, responses((status = 202, description = "It is recorded", body = Accepted)))]
pub(super) async fn report(
    State(app): State<App>,
    caller: Caller,
    Segments((w, j)): Segments<(String, String)>,
    Body(report): Body<Report>,
) -> Result<(StatusCode, Json<Value>), Problem> {
    let workspace = app.workspace(&caller, &w)?;
    caller.needs(Role::Operator)?;
    let id = parse_id(&j)?;
    let status = checked(&report)?;
    let told = told(&app, &workspace, id).await?.ok_or_else(|| missing(id))?;
    let before = told.state.status();
    let answer = |message: &str| Ok((StatusCode::ACCEPTED, Json(json!({ "id": id, "message": message }))));
    let says_more = says_more(&told.state, &report);
    if before == status && !says_more && report.fence.is_none() {
        return answer("it was so before");
    }
    if told.state.is_finished() {
        let is_same = before == status;
        return if is_same { answer("it was so before, and takes nothing more") } else { Err(over(before)) };
    }
    if let Some(agent) =
        told.state.assigned.as_ref().filter(|assigned| is_pulled(&assigned.dispatch.platform))
    {
        let body = json!({
            "job": id, "status": status.as_camel(), "message": report.message, "externalId": report.external_id,
            "links": report.links, "fence": report.fence,
        });
        pulls::ask(&app, &workspace, agent.dispatch.agent, "report", body).await?;
        note(&app, &caller, &told, status, None).await?;
        return answer("recorded");
    }
    let Some(snapshot) = seen(status) else {
        return Err(Problem::conflict(format!(
            "a job that is {} does not become {}",
            before.as_camel(),
            status.as_camel()
        )));
    };
    if report.fence.is_some() {
        return Err(Problem::invalid_field("fence", "is for jobs that are claimed"));
    }
    let external = run_of(&told.state, &report)?;
    let snapshot = Snapshot {
        status: snapshot,
        order: None,
        raw: Some(as_told(status, &report)),
        reason: None,
        message: report.message.or_else(|| told.state.message.clone().filter(|_| before == status)),
        links: report.links,
        source: Source::Ctrlplane,
        external,
    };
    let cause = match report.external_id {
        Some(external) => format!("{}: run {external}", caller.name),
        None => caller.name.clone(),
    };
    crash_point("api.wish.before");
    let recorded =
        app.bus.jobs().record(&told.state.job, snapshot.into_fact(), Base::Look, Some(cause)).await;
    crash_point("api.wish.after");
    match recorded? {
        Recorded::Appended { sequence } => {
            note(&app, &caller, &told, status, Some(sequence)).await?;
            answer("recorded")
        }
        Recorded::AlreadySo(known) if known.state.status() == status => answer("it was so before"),
        Recorded::AlreadySo(known) => Err(over(known.state.status())),
        Recorded::Refused(refusal, _) => {
            Err(Problem::conflict(format!("{} is not possible: {refusal}", status.as_camel())))
        }
    }
}

/// Whether the report says anything beside the status that is not known of the job.
fn says_more(state: &JobState, report: &Report) -> bool {
    let run = state.external.as_ref().map(|run| &run.id);
    (report.message.is_some() && report.message != state.message)
        || (report.external_id.is_some() && report.external_id.as_ref() != run)
        || report.links.iter().any(|(name, url)| state.links.get(name) != Some(url))
}

/// The run, where this report is the first to name it. On platforms of which we have agents it is theirs to tell, and
/// the name of a job's first run stays when it is run again: what the caller calls it then stands in the history alone.
fn run_of(state: &JobState, report: &Report) -> Result<Option<ExternalRef>, Problem> {
    let (Some(id), Some(assigned)) = (&report.external_id, &state.assigned) else { return Ok(None) };
    let dispatch = &assigned.dispatch;
    if NAMED_BY_AGENTS.contains(&dispatch.platform.as_str()) {
        return Ok(None);
    }
    if let Some(known) = &state.external {
        if known.id == *id || known.attempt < state.external_attempt {
            return Ok(None);
        }
        let message = format!("is not that of the job's run, which is {}", known.id);
        let fault = Fault::of_field("externalId", message.clone());
        return Err(Problem::conflict(format!("externalId: {message}")).with(vec![fault]));
    }
    Ok(Some(ExternalRef {
        platform: dispatch.platform.clone(),
        host: dispatch.platform.to_string(),
        scope: dispatch.agent.to_string(),
        id: id.clone(),
        attempt: state.external_attempt,
        url: report.links.get("run").cloned(),
    }))
}

/// The teller's words, in short: another run or other links are other words, so that they are news.
fn as_told(status: JobStatus, report: &Report) -> RawStatus {
    let run = report.external_id.as_deref().unwrap_or_default();
    let words = derive(&["report", run, &json!(report.links).to_string()]);
    RawStatus { status: format!("{} ({words})", status.as_camel()), conclusion: None }
}

async fn note(
    app: &App,
    caller: &Caller,
    told: &Told,
    status: JobStatus,
    after: Option<u64>,
) -> Result<(), Problem> {
    let job = &told.state.job;
    let documents = Documents::between(
        Some(json!({ "status": told.state.status() })),
        Some(json!({ "status": status, "reported": true })),
    );
    let object = audited::job(&app.catalog, job);
    let before = Some(told.sequence);
    let deed = Deed { action: "report", workspace: &job.workspace, object, before, after, documents };
    audit::note(&app.bus, caller, deed).await
}

fn over(status: JobStatus) -> Problem {
    Problem::conflict(format!("the job is over: {}", status.as_camel()))
}

fn checked(report: &Report) -> Result<JobStatus, Problem> {
    let mut faults = Vec::new();
    let status = JobStatus::parse(&report.status);
    if status.is_none() {
        let all = JobStatus::ALL.map(JobStatus::as_camel).join(", ");
        faults.push(Fault::of_field("status", format!("{:?} is none of {all}", report.status)));
    }
    if report.message.as_ref().is_some_and(|message| message.chars().count() > MESSAGE_CHARS_MAX) {
        faults.push(Fault::of_field("message", format!("is longer than {MESSAGE_CHARS_MAX} characters")));
    }
    if report.external_id.as_ref().is_some_and(|id| id.len() > 200 || id.contains(char::is_control)) {
        faults.push(Fault::of_field("externalId", "is not one line of at most 200 bytes"));
    }
    if report.links.len() > LINKS_MAX {
        faults.push(Fault::of_field("links", format!("are more than {LINKS_MAX}")));
    }
    for (name, url) in &report.links {
        if !url.starts_with("https://") && !url.starts_with("http://") {
            faults.push(Fault::of_field(
                format!("links.{name}"),
                "is no address that begins with https:// or http://",
            ));
        }
    }
    match status {
        Some(status) if faults.is_empty() => Ok(status),
        Some(_) | None => Err(Problem::invalid_fields(faults)),
    }
}

/// What a look at a run can say.
fn seen(status: JobStatus) -> Option<SnapshotStatus> {
    match status {
        JobStatus::Pending => None,
        JobStatus::Queued => Some(SnapshotStatus::Active(ActiveStatus::Queued)),
        JobStatus::InProgress => Some(SnapshotStatus::Active(ActiveStatus::InProgress)),
        JobStatus::ActionRequired => Some(SnapshotStatus::Active(ActiveStatus::ActionRequired)),
        JobStatus::Successful
        | JobStatus::Failure
        | JobStatus::Cancelled
        | JobStatus::Skipped
        | JobStatus::InvalidJobAgent
        | JobStatus::InvalidIntegration
        | JobStatus::ExternalRunNotFound => {
            TerminalStatus::try_from(status).ok().map(SnapshotStatus::Terminal)
        }
    }
}
