//! `PUT /jobs/{j}/status`: how a job stands, told by whoever runs it.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use bus::{Base, Recorded, crash_point};
use domain::audit::{Documents, Object};
use domain::job::{ActiveStatus, JobStatus, Links, Snapshot, SnapshotStatus, Source, TerminalStatus};
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::jobs::{Told, missing, parse_id, told};
use crate::audit::{self, Deed};
use crate::auth::Role;
use crate::caller::Caller;
use crate::context::App;
use crate::openapi::shapes::Accepted;
use crate::problem::{Fault, Problem};
use crate::pulls::{self, is_pulled};
use crate::request::{Body, Segments};

const MESSAGE_CHARS_MAX: usize = 2_000;
const LINKS_MAX: usize = 20;

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Report {
    /// In lower camel or snake case.
    status: String,
    message: Option<String>,
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
    if before == status && (told.state.is_finished() || report.message.is_none()) {
        return answer("it was so before");
    }
    if told.state.is_finished() {
        return Err(over(before));
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
        return Err(Problem::conflict(format!("a job that is {before} does not become {status}")));
    };
    let snapshot = Snapshot {
        status: snapshot,
        order: None,
        raw: None,
        reason: None,
        message: report.message,
        links: report.links,
        source: Source::Ctrlplane,
        external: None,
    };
    // The run's name is the platform's to tell; what the caller calls it stands in the history.
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
            Err(Problem::conflict(format!("{status} is not possible: {refusal}")))
        }
    }
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
    let object = Object { kind: "Job".to_owned(), id: job.id.to_string(), name: job.tag.clone() };
    let before = Some(told.sequence);
    let deed = Deed { action: "report", workspace: &job.workspace, object, before, after, documents };
    audit::note(&app.bus, caller, deed).await
}

fn over(status: JobStatus) -> Problem {
    Problem::conflict(format!("the job is over: {status}"))
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
