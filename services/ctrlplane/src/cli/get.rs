//! `ctrlplane get`: what there is of a kind.

use std::collections::HashMap;

use domain::Timestamp;
use domain::entity::Kind;
use serde_json::{Value, json};

use super::args::{GetArgs, JobArgs, JobsArgs};
use super::failure::Failure;
use super::names::Names;
use super::output::{self, Format};
use super::session::Session;
use super::table::Table;
use super::words::{ago, one_line, plain, short, stamp, text_at, text_of, time_at};
use super::{job, jobs};

/// A selector or sentence takes no more of a table's width.
const SENTENCE_CHARS: usize = 60;

/// What can be listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Subject {
    Entities(Kind),
    Targets,
    Jobs,
}

pub(super) async fn run(session: &Session, args: &GetArgs) -> Result<(), Failure> {
    let (kind, name) = apart(&args.kind, args.name.as_deref());
    let (subject, cel) = (subject(kind)?, args.cel.as_deref());
    if cel.is_some() && !takes_cel(subject, name) {
        return Err(Failure::Usage("--cel is for lists of entities and of targets".to_owned()));
    }
    match (subject, name) {
        (Subject::Jobs, None) => {
            jobs::run(session, &JobsArgs { limit: 50, client: args.client.clone(), ..JobsArgs::default() })
                .await
        }
        (Subject::Jobs, Some(name)) => {
            job::show(session, &JobArgs { job: name.to_owned(), client: args.client.clone() }).await
        }
        (Subject::Targets, name) => targets(session, name, cel).await,
        (Subject::Entities(Kind::Workspace), None) => workspaces(session).await,
        (Subject::Entities(kind), None) => list(session, kind, args).await,
        (Subject::Entities(kind), Some(name)) => one(session, kind, name).await,
    }
}

/// Whether the API narrows it by an expression.
fn takes_cel(subject: Subject, name: Option<&str>) -> bool {
    match subject {
        Subject::Entities(kind) => kind != Kind::Workspace && name.is_none(),
        // Their name is a deployment's.
        Subject::Targets => true,
        Subject::Jobs => false,
    }
}

/// A kind and a name; also as `kind/name`, which `-o name` prints.
pub(super) fn apart<'a>(kind: &'a str, name: Option<&'a str>) -> (&'a str, Option<&'a str>) {
    match kind.split_once('/') {
        Some((kind, named)) if name.is_none() => (kind, Some(named)),
        Some(_) | None => (kind, name),
    }
}

/// As [`apart`], where a name must be given.
pub(super) fn kind_and_name<'a>(kind: &'a str, name: Option<&'a str>) -> Result<(Kind, &'a str), Failure> {
    let (kind, name) = apart(kind, name);
    let kind = parse_kind(kind)?;
    let name = name.ok_or_else(|| Failure::Usage(format!("which {}? Give its name or id", kind.token())))?;
    Ok((kind, name))
}

/// The kind of entity people mean.
fn parse_kind(text: &str) -> Result<Kind, Failure> {
    Kind::parse(text).ok_or_else(|| no_kind(text, &[]))
}

fn no_kind(text: &str, more: &[&str]) -> Failure {
    let kinds: Vec<&str> = Kind::ALL.iter().map(|kind| kind.token()).chain(more.iter().copied()).collect();
    Failure::Usage(format!("there is no kind {text:?}; there are {}", kinds.join(", ")))
}

fn subject(text: &str) -> Result<Subject, Failure> {
    match text.to_ascii_lowercase().replace(['-', '_'], "").as_str() {
        "target" | "targets" | "releasetarget" | "releasetargets" => Ok(Subject::Targets),
        "job" | "jobs" => Ok(Subject::Jobs),
        _ => {
            Kind::parse(text).map(Subject::Entities).ok_or_else(|| no_kind(text, &["release-target", "job"]))
        }
    }
}

async fn workspaces(session: &Session) -> Result<(), Failure> {
    let answer = session.api.get(&["workspaces"], &[]).await?;
    let all = answer["workspaces"].as_array().map(Vec::as_slice).unwrap_or_default();
    let now = bus::clock::now();
    match session.format {
        Format::Json => output::json(&answer),
        Format::Yaml => output::yaml(&answer["workspaces"]),
        Format::Name => output::print(
            &all.iter().map(|one| format!("workspace/{}\n", text_at(one, "/slug"))).collect::<String>(),
        ),
        Format::Table => {
            let mut table = Table::new(["WORKSPACE", "NAME", "AGE"]);
            for one in all {
                table.row([text_at(one, "/slug"), text_at(one, "/name"), age(one, "/createdAt", now)]);
            }
            shown(&table)
        }
    }
}

async fn list(session: &Session, kind: Kind, args: &GetArgs) -> Result<(), Failure> {
    let cel: Vec<(&str, &str)> = args.cel.iter().map(|cel| ("cel", cel.as_str())).collect();
    if session.format == Format::Yaml {
        return output::print(&session.manifests(&["catalog", kind.token()], &cel).await?);
    }
    let mut all = session.all(&["catalog", kind.token()], &cel).await?;
    match kind {
        Kind::Version
        | Kind::Approval
        | Kind::Skip
        | Kind::Freeze
        | Kind::Pin
        | Kind::Redeploy
        | Kind::RolloutControl
        | Kind::WorkflowRun => {
            all.sort_by_key(|entity| std::cmp::Reverse(time_at(entity, "/meta/createdAt")));
        }
        Kind::VariableSet
        | Kind::RelationshipRule
        | Kind::ResourceProvider
        | Kind::Workspace
        | Kind::System
        | Kind::Environment
        | Kind::Resource
        | Kind::JobAgent
        | Kind::Deployment
        | Kind::Policy
        | Kind::TriggerSource
        | Kind::Trigger
        | Kind::Workflow => all.sort_by_key(|entity| text_at(entity, "/meta/name")),
    }
    match session.format {
        Format::Json => output::json(&json!({ "items": all, "total": all.len() })),
        Format::Name => {
            let names = Lookups::load(session, kind).await?;
            output::print(
                &all.iter().map(|entity| format!("{}\n", names.full_name(kind, entity))).collect::<String>(),
            )
        }
        Format::Table | Format::Yaml => {
            let names = Lookups::load(session, kind).await?;
            shown(&table(kind, &all, &names, bus::clock::now()))
        }
    }
}

async fn one(session: &Session, kind: Kind, name: &str) -> Result<(), Failure> {
    if session.format == Format::Yaml {
        return output::print(&session.manifest(kind, name).await?);
    }
    let entity = session.get(&["catalog", kind.token(), name], &[]).await?;
    match session.format {
        Format::Json => output::json(&entity),
        Format::Name => output::line(&Lookups::load(session, kind).await?.full_name(kind, &entity)),
        Format::Table | Format::Yaml => {
            let names = Lookups::load(session, kind).await?;
            shown(&table(kind, std::slice::from_ref(&entity), &names, bus::clock::now()))
        }
    }
}

/// Release targets: how each stands.
async fn targets(session: &Session, deployment: Option<&str>, cel: Option<&str>) -> Result<(), Failure> {
    let mut query: Vec<(&str, &str)> = deployment.iter().map(|name| ("deployment", *name)).collect();
    query.extend(cel.map(|cel| ("cel", cel)));
    let all = session.all(&["release-targets"], &query).await?;
    match session.format {
        Format::Json => output::json(&json!({ "items": all, "total": all.len() })),
        Format::Yaml => output::yaml(&all),
        Format::Name => output::print(
            &all.iter().map(|one| format!("target/{}\n", text_at(one, "/key"))).collect::<String>(),
        ),
        Format::Table => shown(&targets_table(&all)),
    }
}

/// The table of release targets as the API lists them.
pub(super) fn targets_table(all: &[Value]) -> Table {
    let mut table =
        Table::new(["DEPLOYMENT", "ENVIRONMENT", "RESOURCE", "STATE", "CURRENT", "DESIRED", "WHY"]);
    for one in all {
        table.row([
            text_at(one, "/deployment/name"),
            text_at(one, "/environment/name"),
            text_at(one, "/resource/name"),
            text_at(one, "/state"),
            text_at(one, "/current/tag"),
            text_at(one, "/desired/tag"),
            short(&text_at(one, "/summary"), 2 * SENTENCE_CHARS),
        ]);
    }
    table
}

fn shown(table: &Table) -> Result<(), Failure> {
    let text = table.render();
    if text.is_empty() {
        eprintln!("there is none");
    }
    output::print(&text)
}

/// Names of what the entities of a kind point at by id.
pub(super) struct Lookups(HashMap<Kind, HashMap<String, String>>);

impl Lookups {
    pub(super) async fn load(session: &Session, kind: Kind) -> Result<Self, Failure> {
        let needed: &[Kind] = match kind {
            Kind::Environment | Kind::Deployment => &[Kind::System],
            Kind::Version => &[Kind::Deployment],
            Kind::Trigger => &[Kind::Deployment, Kind::Workflow],
            Kind::Approval => &[Kind::Version, Kind::Environment],
            Kind::Skip => &[Kind::Policy, Kind::Version, Kind::Environment, Kind::Resource],
            Kind::Pin => &[Kind::Deployment, Kind::Version, Kind::Environment, Kind::Resource],
            Kind::Redeploy => &[Kind::Deployment, Kind::Environment, Kind::Resource],
            Kind::RolloutControl => &[Kind::Version, Kind::Environment],
            Kind::Workspace
            | Kind::System
            | Kind::Resource
            | Kind::JobAgent
            | Kind::Policy
            | Kind::TriggerSource
            | Kind::Freeze
            | Kind::VariableSet
            | Kind::RelationshipRule
            | Kind::ResourceProvider
            | Kind::Workflow
            | Kind::WorkflowRun => &[],
        };
        let mut names = HashMap::new();
        for kind in needed {
            names.insert(*kind, Names::load(session, *kind).await?.into_texts());
        }
        Ok(Self(names))
    }

    fn of(&self, kind: Kind, ids: &Value) -> String {
        let name = |id: &Value| {
            let id = text_of(id);
            self.0.get(&kind).and_then(|names| names.get(&id)).cloned().unwrap_or_else(|| short(&id, 9))
        };
        match ids {
            Value::Array(ids) => ids.iter().map(name).collect::<Vec<_>>().join(","),
            Value::Null => String::new(),
            Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => name(ids),
        }
    }

    /// `kind/name`, with a name by which the entity can be asked for.
    pub(super) fn full_name(&self, kind: Kind, entity: &Value) -> String {
        let name = match kind {
            Kind::Version => {
                format!(
                    "{}:{}",
                    self.of(Kind::Deployment, &entity["spec"]["deployment"]),
                    text_at(entity, "/spec/tag")
                )
            }
            Kind::Resource => text_at(entity, "/spec/identifier"),
            Kind::Approval
            | Kind::Skip
            | Kind::Pin
            | Kind::Redeploy
            | Kind::RolloutControl
            | Kind::WorkflowRun => text_at(entity, "/meta/id"),
            Kind::Workspace
            | Kind::System
            | Kind::Environment
            | Kind::JobAgent
            | Kind::Deployment
            | Kind::Policy
            | Kind::TriggerSource
            | Kind::Trigger
            | Kind::Freeze
            | Kind::VariableSet
            | Kind::RelationshipRule
            | Kind::ResourceProvider
            | Kind::Workflow => text_at(entity, "/meta/name"),
        };
        plain(&format!("{}/{name}", kind.token()))
    }
}

fn columns(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::Workspace => &["NAME", "DISPLAY NAME", "AGE"],
        Kind::System => &["NAME", "DESCRIPTION", "AGE"],
        Kind::Environment => &["NAME", "SYSTEMS", "RESOURCES", "AGE"],
        Kind::Resource => &["NAME", "IDENTIFIER", "TYPE", "AGE"],
        Kind::JobAgent => &["NAME", "TYPE", "MAX CONCURRENT", "AGE"],
        Kind::Deployment => &["NAME", "SYSTEMS", "AGENTS", "ON NEW VERSION", "AGE"],
        Kind::Policy => &["NAME", "ENABLED", "RULES", "SELECTOR", "AGE"],
        Kind::TriggerSource => &["NAME", "SENDER", "SECRETS", "EVENTS", "AGE"],
        Kind::Trigger => &["NAME", "SOURCE", "EVENT", "CREATES OR RUNS", "AGE"],
        Kind::Version => &["DEPLOYMENT", "TAG", "STATUS", "NAME", "AGE"],
        Kind::Approval => &["VERSION", "ENVIRONMENT", "USER", "STATUS", "REASON", "AGE"],
        Kind::Skip => {
            &["POLICY", "RULE", "VERSION", "ENVIRONMENT", "RESOURCE", "EXPIRES", "BY", "REASON", "AGE"]
        }
        Kind::Freeze => &["NAME", "SELECTOR", "OWNER", "FROM", "UNTIL", "REASON", "AGE"],
        Kind::Pin => &["DEPLOYMENT", "ENVIRONMENT", "RESOURCE", "VERSION", "BY", "REASON", "AGE"],
        Kind::Redeploy => &["DEPLOYMENT", "ENVIRONMENT", "RESOURCE", "BY", "REASON", "AGE"],
        Kind::RolloutControl => &["VERSION", "ENVIRONMENT", "ACTION", "BY", "REASON", "AGE"],
        Kind::VariableSet => &["NAME", "PRIORITY", "SELECTOR", "VARIABLES", "AGE"],
        Kind::ResourceProvider => &["NAME", "DESCRIPTION", "AGE"],
        Kind::Workflow => &["NAME", "SLUG", "INPUTS", "JOBS", "AGE"],
        Kind::WorkflowRun => &["NAME", "WORKFLOW", "BEGUN BY", "CANCELLED BY", "AGE"],
        Kind::RelationshipRule => &["NAME", "REFERENCE", "FROM", "TO", "MATCHER", "AGE"],
    }
}

fn table(kind: Kind, entities: &[Value], names: &Lookups, now: Timestamp) -> Table {
    let mut table = Table::with(columns(kind).to_vec());
    for entity in entities {
        let mut cells = cells(kind, entity, names);
        cells.push(age(entity, "/meta/createdAt", now));
        table.row(cells);
    }
    table
}

fn cells(kind: Kind, entity: &Value, names: &Lookups) -> Vec<String> {
    let (name, spec) = (text_at(entity, "/meta/name"), &entity["spec"]);
    let text = |pointer: &str| text_at(spec, pointer);
    let sentence = |pointer: &str| short(&text_at(spec, pointer), SENTENCE_CHARS);
    let at = |pointer: &str| time_at(spec, pointer).map(stamp).unwrap_or_default();
    match kind {
        Kind::Workspace => vec![name, text("/displayName")],
        Kind::System => vec![name, sentence("/description")],
        Kind::Environment => {
            vec![name, names.of(Kind::System, &spec["systems"]), sentence("/resourceSelector")]
        }
        Kind::Resource => vec![name, text("/identifier"), text("/type")],
        Kind::JobAgent => vec![name, text("/type"), text("/maxConcurrent")],
        Kind::Deployment => {
            vec![name, names.of(Kind::System, &spec["systems"]), agents(spec), text("/onNewVersion")]
        }
        Kind::Policy => vec![name, text("/enabled"), keys(&spec["rules"]), sentence("/selector")],
        Kind::TriggerSource => {
            vec![name, text("/sender/type"), text("/secretRefs"), one_line(&text("/events"))]
        }
        Kind::Trigger => {
            let then = &spec["then"];
            let made = match then.get("runWorkflow") {
                Some(run) => names.of(Kind::Workflow, &run["workflow"]),
                None => names.of(Kind::Deployment, &then["createVersion"]["deployment"]),
            };
            vec![name, text("/source"), text("/event"), made]
        }
        Kind::Version => {
            vec![names.of(Kind::Deployment, &spec["deployment"]), text("/tag"), text("/status"), name]
        }
        Kind::Approval => vec![
            names.of(Kind::Version, &spec["version"]),
            names.of(Kind::Environment, &spec["environment"]),
            text("/user"),
            text("/status"),
            sentence("/reason"),
        ],
        Kind::Skip => vec![
            names.of(Kind::Policy, &spec["policy"]),
            text("/rule"),
            names.of(Kind::Version, &spec["version"]),
            names.of(Kind::Environment, &spec["environment"]),
            names.of(Kind::Resource, &spec["resource"]),
            at("/expiresAt"),
            text("/createdBy"),
            sentence("/reason"),
        ],
        Kind::Freeze => {
            let until = match text("/thawedBy") {
                by if by.is_empty() => at("/until"),
                by => format!("{} (thawed by {by})", at("/until")),
            };
            let bounds = [at("/from"), until];
            [vec![name, sentence("/selector"), text("/owner")], bounds.to_vec(), vec![sentence("/reason")]]
                .concat()
        }
        Kind::Pin => vec![
            names.of(Kind::Deployment, &spec["deployment"]),
            names.of(Kind::Environment, &spec["environment"]),
            names.of(Kind::Resource, &spec["resource"]),
            names.of(Kind::Version, &spec["version"]),
            text("/createdBy"),
            sentence("/reason"),
        ],
        Kind::Redeploy => vec![
            names.of(Kind::Deployment, &spec["target"]["deployment"]),
            names.of(Kind::Environment, &spec["target"]["environment"]),
            names.of(Kind::Resource, &spec["target"]["resource"]),
            text("/by"),
            sentence("/reason"),
        ],
        Kind::RolloutControl => vec![
            names.of(Kind::Version, &spec["version"]),
            names.of(Kind::Environment, &spec["environment"]),
            text("/action"),
            text("/by"),
            sentence("/reason"),
        ],
        Kind::VariableSet => {
            let keys = spec["variables"].as_object().into_iter().flatten();
            let keys = keys.map(|(key, _)| key.as_str()).collect::<Vec<_>>().join(",");
            vec![name, text("/priority"), sentence("/selector"), short(&keys, SENTENCE_CHARS)]
        }
        Kind::ResourceProvider => vec![name, sentence("/description")],
        Kind::Workflow => {
            let of = |list: &str, field: &str| {
                let all = spec[list].as_array().into_iter().flatten();
                all.map(|one| text_at(one, field)).collect::<Vec<_>>().join(",")
            };
            let (inputs, jobs) = (of("inputs", "/key"), of("jobs", "/name"));
            vec![name, text("/slug"), short(&inputs, SENTENCE_CHARS), short(&jobs, SENTENCE_CHARS)]
        }
        Kind::WorkflowRun => {
            let by = ["/begunBy/user", "/begunBy/trigger/name"].map(text);
            vec![name, text("/workflowName"), by.concat(), text("/cancel/by")]
        }
        Kind::RelationshipRule => {
            vec![name, text("/reference"), sentence("/from"), sentence("/to"), sentence("/matcher")]
        }
    }
}

fn agents(spec: &Value) -> String {
    let listed: Vec<String> =
        spec["jobAgents"].as_array().into_iter().flatten().map(|agent| text_at(agent, "/ref")).collect();
    match listed.is_empty() {
        true => short(&text_at(spec, "/jobAgentSelector"), SENTENCE_CHARS),
        false => listed.join(","),
    }
}

/// The keys of a list of maps: the names of a policy's rules.
fn keys(rules: &Value) -> String {
    let rules = rules.as_array().into_iter().flatten().filter_map(Value::as_object);
    rules.flat_map(|rule| rule.keys().cloned()).collect::<Vec<_>>().join(",")
}

fn age(value: &Value, pointer: &str, now: Timestamp) -> String {
    time_at(value, pointer).map(|at| ago(at, now)).unwrap_or_default()
}

/// When, exactly and roughly.
pub(super) fn when(at: Timestamp, now: Timestamp) -> String {
    let rough = ago(at, now);
    if at > now { format!("{} (in {rough})", stamp(at)) } else { format!("{} ({rough} ago)", stamp(at)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn every_kind_has_as_many_cells_as_columns() {
        let entity = json!({ "meta": { "name": "n", "createdAt": "2026-01-01T00:00:00Z" }, "spec": {} });
        for kind in Kind::ALL {
            let cells = cells(*kind, &entity, &Lookups(HashMap::new()));
            assert_eq!(cells.len() + 1, columns(*kind).len(), "{kind:?}");
        }
    }

    #[test]
    fn ids_become_names() {
        let names = Lookups([(Kind::System, [("id-1".to_owned(), "shop".to_owned())].into())].into());
        let deployment = json!({
            "meta": { "name": "web", "createdAt": "2026-01-01T00:00:00Z" },
            "spec": { "systems": ["id-1", "0123456789"], "jobAgents": [{ "ref": "github" }], "onNewVersion": "wait" },
        });
        let rendered = table(Kind::Deployment, &[deployment], &names, at("2026-01-01T00:10:00Z")).render();
        assert_eq!(
            rendered,
            "NAME  SYSTEMS         AGENTS  ON NEW VERSION  AGE\nweb   shop,01234567…  github  wait            10m\n"
        );
    }

    #[test]
    fn people_may_also_mean_targets_and_jobs() {
        for (text, subject) in [
            ("targets", Subject::Targets),
            ("release-target", Subject::Targets),
            ("jobs", Subject::Jobs),
            ("policies", Subject::Entities(Kind::Policy)),
        ] {
            assert_eq!(super::subject(text), Ok(subject), "{text}");
        }
        assert!(matches!(super::subject("pods"), Err(Failure::Usage(why)) if why.contains("deployment")));
    }
}
