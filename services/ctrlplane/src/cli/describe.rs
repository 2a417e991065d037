//! `ctrlplane describe`: one thing as it would stand in a file, and what is around it.

use domain::entity::Kind;
use serde_json::{Value, json};

use super::args::DescribeArgs;
use super::failure::Failure;
use super::get::{Lookups, kind_and_name, targets_table, when};
use super::jobs;
use super::output::{self, Format};
use super::session::Session;
use super::table::Table;
use super::words::{plain, text_at, time_at};

/// How much of each list is shown.
const SHOWN: usize = 10;

pub(super) async fn run(session: &Session, args: &DescribeArgs) -> Result<(), Failure> {
    let (kind, name) = kind_and_name(&args.kind, args.name.as_deref())?;
    let entity = session.get(&["catalog", kind.token(), name], &[]).await?;
    let id = text_at(&entity, "/meta/id");
    let around = Around::of(kind);
    let targets = match around.targets {
        Some(parameter) => session.all(&["release-targets"], &[(parameter, id.as_str())]).await?,
        None => Vec::new(),
    };
    let jobs = match around.jobs {
        Some(parameter) => jobs::newest(session, vec![(parameter, id.clone())], SHOWN as u32).await?,
        None => Vec::new(),
    };
    let versions = match kind {
        Kind::Deployment => {
            session.get(&["deployments", &id, "versions"], &[("limit", "10")]).await?["items"].take()
        }
        Kind::Workspace
        | Kind::System
        | Kind::Environment
        | Kind::Resource
        | Kind::JobAgent
        | Kind::Policy
        | Kind::TriggerSource
        | Kind::Trigger
        | Kind::Version
        | Kind::Approval
        | Kind::Skip
        | Kind::Freeze
        | Kind::Pin
        | Kind::Redeploy
        | Kind::RolloutControl
        | Kind::VariableSet
        | Kind::RelationshipRule
        | Kind::ResourceProvider
        | Kind::Workflow
        | Kind::WorkflowRun => Value::Null,
    };
    match session.format {
        Format::Json => {
            output::json(&json!({ "entity": entity, "targets": targets, "jobs": jobs, "versions": versions }))
        }
        Format::Yaml => output::print(&session.manifest(kind, &id).await?),
        Format::Name => output::line(&Lookups::load(session, kind).await?.full_name(kind, &entity)),
        Format::Table => {
            let mut text = plain(&session.manifest(kind, &id).await?);
            text.push_str(&facts(&entity));
            if kind == Kind::TriggerSource {
                let name = text_at(&entity, "/meta/name");
                text.push_str(&format!("# webhooks go to /webhooks/{}/{name}\n", session.workspace().await?));
            }
            section(
                &mut text,
                "Versions",
                versions_table(&versions).render(),
                versions.as_array().map_or(0, Vec::len),
            );
            section(
                &mut text,
                "Release targets",
                targets_table(&targets[..targets.len().min(SHOWN)]).render(),
                targets.len(),
            );
            if !jobs.is_empty() {
                let places = jobs::Places::load(session).await?;
                section(&mut text, "Newest jobs", jobs::table(&jobs, &places).render(), 0);
            }
            output::print(&text)
        }
    }
}

/// Which lists belong to a kind, by the parameter that narrows them.
struct Around {
    targets: Option<&'static str>,
    jobs: Option<&'static str>,
}

impl Around {
    fn of(kind: Kind) -> Self {
        let both = |parameter| Self { targets: Some(parameter), jobs: Some(parameter) };
        match kind {
            Kind::Deployment => both("deployment"),
            Kind::Environment => both("environment"),
            Kind::Resource => both("resource"),
            Kind::Version => Self { targets: None, jobs: Some("version") },
            Kind::Workflow => Self { targets: None, jobs: Some("workflow") },
            Kind::WorkflowRun => Self { targets: None, jobs: Some("workflowRun") },
            Kind::Workspace
            | Kind::System
            | Kind::JobAgent
            | Kind::Policy
            | Kind::TriggerSource
            | Kind::Trigger
            | Kind::Approval
            | Kind::Skip
            | Kind::Freeze
            | Kind::Pin
            | Kind::Redeploy
            | Kind::RolloutControl
            | Kind::VariableSet
            | Kind::RelationshipRule
            | Kind::ResourceProvider => Self { targets: None, jobs: None },
        }
    }
}

/// What is no part of a file: comments below it.
fn facts(entity: &Value) -> String {
    let now = bus::clock::now();
    let mut text = format!("# id {}\n", text_at(entity, "/meta/id"));
    for (what, pointer) in [("created", "/meta/createdAt"), ("updated", "/meta/updatedAt")] {
        if let Some(at) = time_at(entity, pointer) {
            text.push_str(&format!("# {what} {}\n", when(at, now)));
        }
    }
    text
}

fn versions_table(versions: &Value) -> Table {
    let mut table = Table::new(["TAG", "STATUS", "NAME", "CREATED"]);
    for version in versions.as_array().into_iter().flatten().take(SHOWN) {
        let text = |pointer: &str| text_at(version, pointer);
        table.row([text("/tag"), text("/status"), text("/name"), text("/createdAt")]);
    }
    table
}

fn section(text: &mut String, title: &str, table: String, total: usize) {
    if table.is_empty() {
        return;
    }
    text.push_str(&format!("\n{title}\n"));
    for line in table.lines() {
        text.push_str(&format!("  {line}\n"));
    }
    if total > SHOWN {
        text.push_str(&format!("  … and {} more\n", total - SHOWN));
    }
}
