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
            let text = table(&newest().await?, &Names::load(session, Kind::Resource).await?).render();
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

/// The table of jobs.
pub(super) fn table(jobs: &[JobView], resources: &Names<'_>) -> Table {
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
        table.row([
            short_id(job.id.0),
            status(job),
            place(job, job.deployment.as_str()),
            job.label().to_owned(),
            place(job, job.environment.as_str()),
            if job.target.is_none() { String::new() } else { resources.of(job.target.resource.0) },
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
    let mut resources = Names::load(session, Kind::Resource).await?;
    let (mut told, mut is_live) = (Told::default(), false);
    loop {
        match feed.next().await? {
            News::Job(job, said) => {
                let is_shown = is_live || args.status.is_some() || !job.status.is_terminal();
                if told.is_news(&job) && is_shown {
                    let resource = match job.target.is_none() {
                        true => String::new(),
                        false => resources.find(job.target.resource.0).await?,
                    };
                    match session.format {
                        Format::Json => output::line(&said)?,
                        Format::Yaml => output::print(&format!("---\n{}", yaml(&job)?))?,
                        Format::Name => output::line(&format!("job/{}", job.id))?,
                        Format::Table => output::line(&change(&job, &resource))?,
                    }
                }
            }
            News::Live => is_live = true,
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
fn change(job: &JobView, resource: &str) -> String {
    let mut line = format!(
        "{}  {:<15}  {}  {}",
        stamp(job.updated_at),
        status(job),
        short_id(job.id.0),
        what(job, resource),
    );
    for more in [job.message.as_deref(), link(job)].into_iter().flatten() {
        line.push_str("  ");
        line.push_str(more);
    }
    one_line_keeping_columns(&line)
}

/// What goes where; of a workflow's job, its name in the run.
fn what(job: &JobView, resource: &str) -> String {
    if job.purpose.run().is_some() {
        return format!("workflow job {}", job.label());
    }
    format!("{} {} → {} {resource}", job.deployment, job.version, job.environment)
}

/// A place of what is brought; a workflow's job brings nothing.
fn place(job: &JobView, token: &str) -> String {
    if job.purpose.run().is_some() { String::new() } else { token.to_owned() }
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
pub(super) fn details(job: &JobView, resource: &str) -> Vec<(&'static str, String)> {
    let mut lines = vec![("job", job.id.to_string()), ("status", status(job))];
    match job.purpose {
        Purpose::Workflow { run, .. } => {
            lines.extend([("name", job.label().to_owned()), ("workflow run", run.to_string())]);
        }
        Purpose::Deploy | Purpose::Verify { .. } => lines.extend([
            ("deployment", job.deployment.to_string()),
            ("version", job.version.clone()),
            ("environment", job.environment.to_string()),
            ("resource", resource.to_owned()),
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
    }
}
