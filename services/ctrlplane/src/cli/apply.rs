//! `ctrlplane apply`: the catalog from files.

use domain::entity::Kind;
use reqwest::Method;
use serde_json::{Value, json};

use super::args::ApplyArgs;
use super::failure::Failure;
use super::files;
use super::output::{self, Format};
use super::session::Session;
use super::words::{plain, text_at};

pub(super) async fn run(session: &Session, args: &ApplyArgs) -> Result<(), Failure> {
    let answer = send(session, args).await?;
    let results = answer["results"].as_array().map(Vec::as_slice).unwrap_or_default();
    match session.format {
        Format::Json => output::json(&answer),
        Format::Yaml => output::yaml(&answer),
        Format::Name => {
            output::print(&results.iter().map(|result| format!("{}\n", name(result))).collect::<String>())
        }
        Format::Table => output::print(&results.iter().map(|result| told(result, args)).collect::<String>()),
    }
}

/// What became of each document, as the API says it.
pub(super) async fn send(session: &Session, args: &ApplyArgs) -> Result<Value, Failure> {
    let sources = files::collect(&args.files)?;
    let files: Vec<Value> =
        sources.iter().map(|source| json!({ "name": source.name, "content": source.text })).collect();
    let body = json!({ "files": files, "workspace": session.given_workspace() });
    let dry_run = if args.dry_run { "true" } else { "false" };
    let answer = session.api.send_json(Method::POST, &["apply"], &[("dryRun", dry_run)], &body).await?;
    if answer["results"].as_array().is_none_or(Vec::is_empty) {
        return Err(Failure::Usage("the files declare nothing".to_owned()));
    }
    Ok(answer)
}

/// `kind/name`, as `delete` and `get` take them apart again.
pub(super) fn name(result: &Value) -> String {
    let kind = text_at(result, "/kind");
    let kind = Kind::parse(&kind).map_or(kind, |known| known.token().to_owned());
    plain(&format!("{kind}/{}", text_at(result, "/name")))
}

pub(super) fn told(result: &Value, args: &ApplyArgs) -> String {
    let suffix = if args.dry_run { " (dry run)" } else { "" };
    let mut text = format!("{} {}{suffix}\n", name(result), text_at(result, "/action"));
    if (args.dry_run || args.diff)
        && let Some(diff) = result["diff"].as_str()
    {
        // The two lines that name the sides say nothing here.
        for line in diff.lines().filter(|line| !line.starts_with("---") && !line.starts_with("+++")) {
            text.push_str(&format!("    {}\n", plain(line)));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    fn args(dry_run: bool) -> ApplyArgs {
        ApplyArgs {
            files: vec![PathBuf::from("-")],
            dry_run,
            diff: false,
            client: super::super::args::ClientArgs::default(),
        }
    }

    #[test]
    fn a_dry_run_shows_what_would_change() {
        let result = json!({ "kind": "Environment", "name": "staging", "action": "updated",
            "diff": "--- catalog\n+++ declared\n@@ -1 +1 @@\n-a: 1\n+a: 2\n" });
        assert_eq!(told(&result, &args(false)), "environment/staging updated\n");
        assert_eq!(
            told(&result, &args(true)),
            "environment/staging updated (dry run)\n    @@ -1 +1 @@\n    -a: 1\n    +a: 2\n"
        );
    }
}
