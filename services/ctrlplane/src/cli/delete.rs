//! `ctrlplane delete`: one thing by kind and name, or everything that files declare, the last first.

use domain::entity::Kind;
use serde::Deserialize as _;
use serde_json::{Value, json};

use super::api::ApiError;
use super::args::DeleteArgs;
use super::failure::Failure;
use super::files::{self, Source};
use super::get::parse_kind;
use super::output::{self, Format};
use super::session::Session;
use super::words::plain;

/// What a document names.
#[derive(Debug, PartialEq, Eq)]
struct Declared {
    kind: Kind,
    name: String,
    workspace: Option<String>,
}

pub(super) async fn run(session: &Session, args: &DeleteArgs) -> Result<(), Failure> {
    let mut declared = match (&args.kind, &args.name) {
        (Some(kind), Some(name)) => {
            vec![Declared { kind: parse_kind(kind)?, name: name.clone(), workspace: None }]
        }
        _ => all(&files::collect(&args.files)?)?,
    };
    if declared.is_empty() {
        return Err(Failure::Usage("the files declare nothing".to_owned()));
    }
    // What names others goes before what is named.
    declared.sort_by_key(|one| std::cmp::Reverse(one.kind));
    let mut told = Vec::new();
    for one in &declared {
        let gone = delete(session, one, args).await?;
        let name = plain(&format!("{}/{}", one.kind.name().to_lowercase(), one.name));
        let action = if gone { "deleted" } else { "absent" };
        match session.format {
            Format::Table => output::line(&format!("{name} {action}"))?,
            Format::Name => output::line(&name)?,
            Format::Json | Format::Yaml => {
                told.push(json!({ "kind": one.kind.name(), "name": one.name, "action": action }));
            }
        }
    }
    match session.format {
        Format::Json => output::json(&json!({ "results": told })),
        Format::Yaml => output::yaml(&json!({ "results": told })),
        Format::Table | Format::Name => Ok(()),
    }
}

/// Whether it was there. That it is not is an answer where files say what should be gone, and a refusal else.
async fn delete(session: &Session, one: &Declared, args: &DeleteArgs) -> Result<bool, Failure> {
    let workspace = match (&one.workspace, one.kind) {
        (Some(workspace), _) => workspace.as_str(),
        (None, Kind::Workspace) => one.name.as_str(),
        (None, _) => session.workspace().await?.as_str(),
    };
    let path = ["workspaces", workspace, "catalog", one.kind.token(), &one.name];
    let cascade = if args.cascade { "true" } else { "false" };
    match session.api.delete(&path, &[("cascade", cascade)]).await {
        Ok(_) => Ok(true),
        Err(ApiError::Refused(refusal)) if refusal.status == 404 && !args.files.is_empty() => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Everything the files declare.
fn all(sources: &[Source]) -> Result<Vec<Declared>, Failure> {
    let mut declared = Vec::new();
    for source in sources {
        for (n, document) in serde_yaml_ng::Deserializer::from_str(&source.text).enumerate() {
            let place = || format!("{}: document {}", source.name, n + 1);
            let value = Value::deserialize(document)
                .map_err(|error| Failure::Refused(format!("{}: {error}", place())))?;
            let documents = match value {
                Value::Null => continue,
                Value::Array(items) => items,
                one => vec![one],
            };
            for document in documents {
                declared
                    .push(read(&document).map_err(|why| Failure::Refused(format!("{}: {why}", place())))?);
            }
        }
    }
    // A workspace declared in the files is that of documents that name none, as for `apply`.
    let mut workspaces = declared.iter().filter(|one| one.kind == Kind::Workspace);
    if let (Some(only), None) = (workspaces.next(), workspaces.next()) {
        let only = only.name.clone();
        for one in declared.iter_mut().filter(|one| one.workspace.is_none()) {
            one.workspace = Some(only.clone());
        }
    }
    Ok(declared)
}

fn read(document: &Value) -> Result<Declared, String> {
    let text = |pointer: &str| document.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
    let kind = text("/kind").ok_or("has no kind")?;
    let kind = Kind::parse(&kind).ok_or_else(|| format!("there is no kind {kind:?}"))?;
    let name = match kind {
        Kind::Version => {
            let tag = text("/spec/tag").or_else(|| text("/metadata/name")).ok_or("has no spec.tag")?;
            format!("{}:{tag}", text("/spec/deployment").ok_or("has no spec.deployment")?)
        }
        Kind::Resource => text("/spec/identifier").or_else(|| text("/metadata/name")).ok_or("has no name")?,
        Kind::Workspace
        | Kind::System
        | Kind::Environment
        | Kind::JobAgent
        | Kind::Deployment
        | Kind::Policy
        | Kind::TriggerSource
        | Kind::Trigger
        | Kind::Approval => text("/metadata/name").ok_or("has no metadata.name")?,
    };
    Ok(Declared { kind, name, workspace: text("/metadata/workspace") })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Result<Vec<String>, Failure> {
        let declared = all(&[Source { name: "a.yaml".into(), text: text.into() }])?;
        Ok(declared
            .into_iter()
            .map(|one| format!("{}/{} {}", one.kind.token(), one.name, one.workspace.unwrap_or_default()))
            .collect())
    }

    #[test]
    fn every_document_names_something() {
        let text = "# first\nkind: Workspace\nmetadata: { name: acme }\n---\nkind: Version\nmetadata: {}\n\
                    spec: { deployment: web, tag: v1 }\n---\n---\n- kind: Resource\n  metadata: { name: EU, workspace: b }\n  \
                    spec: { identifier: eu-1 }\n";
        assert_eq!(names(text).unwrap(), ["workspace/acme acme", "version/web:v1 acme", "resource/eu-1 b"]);
    }

    #[test]
    fn what_cannot_be_read_is_refused() {
        for text in ["kind: Pod\nmetadata: {name: a}", "metadata: {name: a}", "kind: System", "a: [", "text"]
        {
            assert!(matches!(names(text), Err(Failure::Refused(why)) if why.contains("a.yaml")), "{text}");
        }
    }
}
