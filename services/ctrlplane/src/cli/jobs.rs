//! `ctrlplane jobs`: the newest jobs as a table, or all of them live, one line per change.

use domain::entity::Kind;
use domain::job::{JobView, Purpose};
use serde_json::{Value, json};

use super::args::JobsArgs;
use super::failure::Failure;
use super::feed::{Feed, News};
use super::names::{Names, short_id};
use super::output::{self, Format};
use super::session::Session;
use super::table::Table;
use super::told::Told;
use super::words::{ago, one_line, short, stamp};

const PAGE: u32 = 500;
const MESSAGE_CHARS: usize = 80;

pub(super) async fn run(session: &Session, args: &JobsArgs) -> Result<(), Failure> {
    if args.watch {
        return tokio::select! {
            ended = watch(session, args) => ended,
            pressed = tokio::signal::ctrl_c() => {
                pressed.map_err(|error| Failure::Refused(format!("signals cannot be received: {error}")))
            }
        };
    }
    let newest = || newest(session, filters(args), args.limit);
    match session.format {
        Format::Json => {
            let Page { items, total } = pages(session, &filters(args), args.limit).await?;
            output::json(&json!({ "items": items, "total": total }))
        }
        Format::Yaml => output::yaml(&newest().await?),
        Format::Name => {
            let jobs = newest().await?;
            output::print(&jobs.iter().map(|job| format!("job/{}\n", job.id)).collect::<String>())
        }
        Format::Table => {
            let text = table(&newest().await?, &Places::load(session).await?).render();
            if text.is_empty() {
                eprintln!("no jobs");
            }
            output::print(&text)
        }
    }
}

/// The newest jobs that fit, each by itself.
pub(super) async fn newest(
    session: &Session,
    mut filters: Vec<(&'static str, String)>,
    limit: u32,
) -> Result<Vec<JobView>, Failure> {
    filters.push(("brief", true.to_string()));
    let page = pages(session, &filters, limit).await?;
    let jobs = page.items.into_iter().map(|mut item| serde_json::from_value(item["job"].take()));
    jobs.collect::<Result<_, _>>()
        .map_err(|error| Failure::Refused(format!("the API's jobs cannot be read: {error}")))
}

/// A part of the list, as the API answers.
struct Page {
    items: Vec<Value>,
    /// How many there are in all.
    total: Value,
}

async fn pages(session: &Session, filters: &[(&'static str, String)], limit: u32) -> Result<Page, Failure> {
    let (mut all, mut cursor): (Page, Option<String>) = (Page { items: Vec::new(), total: json!(0) }, None);
    let mut rest = limit;
    while rest > 0 {
        let page = rest.min(PAGE).to_string();
        let mut query: Vec<(&str, &str)> =
            filters.iter().map(|(name, value)| (*name, value.as_str())).collect();
        query.push(("limit", page.as_str()));
        query.extend(cursor.as_deref().map(|cursor| ("cursor", cursor)));
        let mut answer = session.get(&["jobs"], &query).await?;
        let Value::Array(items) = answer["items"].take() else {
            return Err(Failure::Refused("the API's jobs cannot be read: they are no list".to_owned()));
        };
        rest = rest.saturating_sub(u32::try_from(items.len()).unwrap_or(u32::MAX));
        let is_last = items.is_empty();
        all.items.extend(items);
        all.total = answer["total"].take();
        cursor = answer["cursor"].as_str().map(str::to_owned);
        if is_last || cursor.is_none() {
            break;
        }
    }
    Ok(all)
}

/// The names of what jobs are for.
pub(super) struct Places<'a> {
    resources: Names<'a>,
    workflows: Names<'a>,
}

impl<'a> Places<'a> {
    pub(super) async fn load(session: &'a Session) -> Result<Self, Failure> {
        Ok(Self {
            resources: Names::load(session, Kind::Resource).await?,
            workflows: Names::load(session, Kind::Workflow).await?,
        })
    }

    /// The resource of a job, or the workflow that asks for it; asks for what is not known.
    pub(super) async fn find(&mut self, job: &JobView) -> Result<String, Failure> {
        match job.purpose {
            Purpose::Workflow { workflow, .. } => self.workflows.find(workflow.0).await,
            Purpose::Deploy | Purpose::Verify { .. } => self.resources.find(job.target.resource.0).await,
        }
    }

    /// What is brought, and onto what; of a workflow's job, the workflow.
    fn of(&self, job: &JobView) -> (String, String) {
        match job.purpose {
            Purpose::Workflow { workflow, .. } => {
                (format!("workflow {}", self.workflows.of(workflow.0)), String::new())
            }
            Purpose::Deploy | Purpose::Verify { .. } => {
                (job.deployment.to_string(), self.resources.of(job.target.resource.0))
            }
        }
    }
}

/// The table of jobs.
pub(super) fn table(jobs: &[JobView], places: &Places<'_>) -> Table {
    let now = bus::clock::now();
    let mut table = Table::new([
        "JOB",
        "STATUS",
        "DEPLOYMENT",
        "VERSION",
        "ENVIRONMENT",
        "RESOURCE",
        "PLATFORM",
        "AGE",
        "CONFIRMED",
        "MESSAGE",
    ]);
    for job in jobs {
        let (brought, resource) = places.of(job);
        table.row([
            short_id(job.id.0),
            status(job),
            brought,
            job.label().to_owned(),
            environment(job),
            resource,
            job.platform.as_ref().map(ToString::to_string).unwrap_or_default(),
            ago(job.created_at, now),
            // Of a job that is over nothing more is to be confirmed.
            job.confirmed_at
                .filter(|_| !job.status.is_terminal())
                .map(|at| format!("{} ago", ago(at, now)))
                .unwrap_or_default(),
            short(job.message.as_deref().unwrap_or_default(), MESSAGE_CHARS),
        ]);
    }
    table
}

fn filters(args: &JobsArgs) -> Vec<(&'static str, String)> {
    [
        ("status", &args.status),
        ("deployment", &args.deployment),
        ("environment", &args.environment),
        ("platform", &args.platform),
    ]
    .into_iter()
    .filter_map(|(name, value)| Some((name, value.clone()?)))
    .collect()
}

/// The jobs that are not over, then every change. A status that was asked for is shown also where the job is over.
async fn watch(session: &Session, args: &JobsArgs) -> Result<(), Failure> {
    let mut feed = Feed::open(session, filters(args)).await?;
    let mut places = Places::load(session).await?;
    let (mut told, mut is_live) = (Told::default(), false);
    loop {
        match feed.next().await? {
            News::Job(job, said) => {
                let is_shown = is_live || args.status.is_some() || !job.status.is_terminal();
                if told.is_news(&job) && is_shown {
                    let place = places.find(&job).await?;
                    match session.format {
                        Format::Json => output::line(&said)?,
                        Format::Yaml => output::print(&format!("---\n{}", yaml(&job)?))?,
                        Format::Name => output::line(&format!("job/{}", job.id))?,
                        Format::Table => output::line(&change(&job, &place))?,
                    }
                }
            }
            News::Live if !is_live => {
                is_live = true;
                eprintln!("watching: each change follows");
            }
            News::Live => {}
            News::Lost(why) => eprintln!("the connection is lost, trying again: {why}"),
            News::Back => eprintln!("connected again"),
        }
    }
}

fn yaml(job: &JobView) -> Result<String, Failure> {
    serde_yaml_ng::to_string(job)
        .map_err(|error| Failure::Refused(format!("this cannot be written as YAML: {error}")))
}

/// Time, status, what goes where, message, link.
fn change(job: &JobView, place: &str) -> String {
    let mut line = format!(
        "{}  {:<15}  {}  {}",
        stamp(job.updated_at),
        status(job),
        short_id(job.id.0),
        what(job, place),
    );
    for more in [job.message.as_deref(), link(job)].into_iter().flatten() {
        line.push_str("  ");
        line.push_str(more);
    }
    one_line_keeping_columns(&line)
}

/// What goes where; of a workflow's job, the workflow and its name there.
fn what(job: &JobView, place: &str) -> String {
    if job.purpose.run().is_some() {
        return format!("workflow {place}: {}", job.label());
    }
    format!("{} {} → {} {place}", job.deployment, job.version, job.environment)
}

/// Where it is brought; a workflow's job brings nothing.
fn environment(job: &JobView) -> String {
    if job.purpose.run().is_some() { String::new() } else { job.environment.to_string() }
}

/// Control characters and line breaks go, the spaces that make columns stay.
fn one_line_keeping_columns(line: &str) -> String {
    line.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// The status, and whether somebody wished it to end.
fn status(job: &JobView) -> String {
    if job.cancelling && !job.status.is_terminal() {
        format!("{}*", job.status)
    } else {
        job.status.to_string()
    }
}

/// Where people look at the run.
pub(super) fn link(job: &JobView) -> Option<&str> {
    let run = job.links.get("run").or_else(|| job.external.as_ref()?.url.as_ref());
    run.or_else(|| job.links.values().next()).map(String::as_str)
}

/// What there is of a job, one line each.
pub(super) fn details(job: &JobView, place: &str) -> Vec<(&'static str, String)> {
    let mut lines = vec![("job", job.id.to_string()), ("status", status(job))];
    match job.purpose {
        Purpose::Workflow { run, .. } => {
            lines.extend([
                ("workflow", place.to_owned()),
                ("name", job.label().to_owned()),
                ("workflow run", run.to_string()),
            ]);
        }
        Purpose::Deploy | Purpose::Verify { .. } => lines.extend([
            ("deployment", job.deployment.to_string()),
            ("version", job.version.clone()),
            ("environment", job.environment.to_string()),
            ("resource", place.to_owned()),
        ]),
    }
    lines.push(("attempt", job.attempt.to_string()));
    let optional = [
        ("reason", job.reason.and_then(|reason| json!(reason).as_str().map(str::to_owned))),
        ("message", job.message.as_deref().map(one_line)),
        ("agent", job.job_agent.clone()),
        ("platform", job.platform.as_ref().map(ToString::to_string)),
        ("run", job.external.as_ref().map(|run| format!("{} {} attempt {}", run.scope, run.id, run.attempt))),
        ("started", job.started_at.map(stamp)),
        ("completed", job.completed_at.map(stamp)),
        ("confirmed", job.confirmed_at.map(stamp)),
    ];
    lines.push(("created", stamp(job.created_at)));
    lines.extend(optional.into_iter().filter_map(|(name, value)| Some((name, value?))));
    lines
}

#[cfg(test)]
mod tests {
    use super::super::told::tests::job;
    use super::*;
    use domain::id::{WorkflowId, WorkflowRunId};
    use domain::job::JobStatus;

    #[test]
    fn a_change_is_one_line() {
        let mut view = job(1, 1, JobStatus::InProgress);
        view.message = Some("line one\nline two\u{1b}[31m".to_owned());
        view.links.insert("run".to_owned(), "https://github.com/acme/shop/actions/runs/30".to_owned());
        view.cancelling = true;
        let id = short_id(view.id.0);
        assert_eq!(
            change(&view, "eu-1"),
            format!(
                "2026-01-01T00:00:00Z  in_progress*     {id}  web v1 → staging eu-1  line one line two [31m  \
                 https://github.com/acme/shop/actions/runs/30"
            )
        );
        let (workflow, run) = (view.target.resource.0, view.target.environment.0);
        view.purpose = Purpose::Workflow { workflow: WorkflowId(workflow), run: WorkflowRunId(run) };
        view.name = Some("build".to_owned());
        assert!(change(&view, "ship").contains(&format!("{id}  workflow ship: build  line one")));
    }
}
