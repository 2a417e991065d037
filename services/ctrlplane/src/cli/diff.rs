//! `ctrlplane diff`: what `apply` would change. Nothing is written.

use clap::Args;
use serde_json::{Value, json};
use std::path::PathBuf;

use super::apply;
use super::args::{ApplyArgs, ClientArgs};
use super::failure::Failure;
use super::output::{self, Format};
use super::session::Session;

#[derive(Debug, Args)]
pub(crate) struct DiffArgs {
    /// A file, a directory (*.yaml, *.yml, *.json in it and below), or - for stdin; may be given several times
    #[arg(long = "filename", short, value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

pub(super) async fn run(session: &Session, args: DiffArgs) -> Result<(), Failure> {
    let args = ApplyArgs { files: args.files, dry_run: true, diff: true, client: args.client };
    let answer = apply::send(session, &args).await?;
    let all = answer["results"].as_array().map(Vec::as_slice).unwrap_or_default();
    let changed: Vec<&Value> = all.iter().filter(|result| result["action"] != "unchanged").collect();
    match session.format {
        Format::Json => output::json(&json!({ "results": changed }))?,
        Format::Yaml => output::yaml(&changed)?,
        Format::Name => output::print(
            &changed.iter().map(|result| format!("{}\n", apply::name(result))).collect::<String>(),
        )?,
        Format::Table => {
            output::print(&changed.iter().map(|result| apply::told(result, &args)).collect::<String>())?;
        }
    }
    match changed.len() {
        0 => Ok(()),
        count => Err(Failure::Differs(format!("{count} of {} would change", all.len()))),
    }
}
