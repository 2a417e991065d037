//! `ctrlplane config`: the user's contexts, each a system: where its API is, where its key comes from, and a workspace.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use domain::token::Slug;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::failure::Failure;
use super::output::{self, Format};
use super::table::Table;

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Make a context, or change what is given of it
    SetContext(SetArgs),
    /// Let a context count when no other is asked for
    UseContext(UseArgs),
    /// List the contexts; the current one has a star
    GetContexts(ListArgs),
    /// Forget a context
    DeleteContext(UseArgs),
}

#[derive(Debug, Args)]
pub(crate) struct SetArgs {
    /// What it is called
    name: String,
    /// Where its API is; needed for a new one
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// A file that holds its API key
    #[arg(long, value_name = "FILE", group = "from")]
    key_file: Option<PathBuf>,
    /// A command that prints its API key, as in "pass show ctrlplane"; run by sh at each use
    #[arg(long, value_name = "COMMAND", group = "from")]
    key_command: Option<String>,
    /// Read its API key from stdin, and keep it in the config file
    #[arg(long, group = "from")]
    key_stdin: bool,
    /// Its workspace
    #[arg(long, short)]
    workspace: Option<Slug>,
    /// Use it from now on; the first one is used anyway
    #[arg(long = "use")]
    is_current: bool,
}

#[derive(Debug, Args)]
pub(crate) struct UseArgs {
    /// What it is called
    name: String,
}

#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// How to print
    #[arg(long, short, value_enum, default_value_t = Format::Table)]
    output: Format,
}

/// The config file.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Contexts {
    #[serde(alias = "current-context", skip_serializing_if = "Option::is_none")]
    pub(super) current_context: Option<String>,
    #[serde(default)]
    pub(super) contexts: BTreeMap<String, Context>,
}

/// One system.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Context {
    pub(super) url: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) key: Option<String>,
    /// Relative to the config file.
    #[serde(alias = "key-file", skip_serializing_if = "Option::is_none")]
    pub(super) key_file: Option<PathBuf>,
    /// Prints the key.
    #[serde(alias = "key-command", skip_serializing_if = "Option::is_none")]
    pub(super) key_command: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) workspace: Option<Slug>,
}

/// `ctrlplane config`, with the config file's path.
pub(super) fn run(command: ConfigCommand, file: Option<PathBuf>) -> Result<(), Failure> {
    let file = file.ok_or_else(|| {
        Failure::Usage("there is no place for a config file: set HOME or XDG_CONFIG_HOME".to_owned())
    })?;
    let mut all = read(&file)?.unwrap_or_default();
    match command {
        ConfigCommand::GetContexts(args) => list(&all, args.output),
        ConfigCommand::SetContext(args) => {
            let key = if args.key_stdin { Some(key_from(std::io::stdin())?) } else { None };
            let key_file = args.key_file.as_deref().map(std::path::absolute).transpose();
            let key_file = key_file.map_err(|error| Failure::Usage(format!("--key-file: {error}")))?;
            let name = args.name.clone();
            set(&mut all, args, key, key_file)?;
            write(&file, &all)?;
            let star = if all.current_context.as_ref() == Some(&name) { ", the current one" } else { "" };
            output::line(&format!("context/{name} is set{star}"))
        }
        ConfigCommand::UseContext(UseArgs { name }) => {
            known(&all, &name, &file)?;
            all.current_context = Some(name.clone());
            write(&file, &all)?;
            output::line(&format!("context/{name} is the current one"))
        }
        ConfigCommand::DeleteContext(UseArgs { name }) => {
            known(&all, &name, &file)?;
            all.contexts.remove(&name);
            all.current_context.take_if(|current| *current == name);
            write(&file, &all)?;
            output::line(&format!("context/{name} is forgotten"))
        }
    }
}

/// The config file, if it is there. One that holds a key and that others can read is told of.
pub(super) fn read(file: &Path) -> Result<Option<Contexts>, Failure> {
    let text = match fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(wrong(file, &error)),
    };
    let contexts: Contexts = serde_yaml_ng::from_str(&text).map_err(|error| wrong(file, &error))?;
    let holds_keys = contexts.contexts.values().any(|context| context.key.is_some());
    let mode = fs::metadata(file).map_err(|error| wrong(file, &error))?.permissions().mode();
    if holds_keys && mode & 0o077 != 0 {
        eprintln!("{}: others can read the keys in it: chmod 600", file.display());
    }
    Ok(Some(contexts))
}

fn set(
    all: &mut Contexts,
    args: SetArgs,
    key: Option<String>,
    key_file: Option<PathBuf>,
) -> Result<(), Failure> {
    let before = all.contexts.get(&args.name);
    let url = match (args.url, before) {
        (Some(url), _) => url,
        (None, Some(before)) => before.url.clone(),
        (None, None) => {
            return Err(Failure::Usage(format!("{} is a new context: give its --url", args.name)));
        }
    };
    let parsed: Result<reqwest::Url, _> = url.parse();
    if !parsed.is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.host_str().is_some()) {
        return Err(Failure::Usage(format!("--url {url}: give http://HOST or https://HOST")));
    }
    let mut context = Context { url, key: None, key_file: None, key_command: None, workspace: None };
    if key.is_some() || key_file.is_some() || args.key_command.is_some() {
        (context.key, context.key_file, context.key_command) = (key, key_file, args.key_command);
    // A key belongs to the URL it was given for.
    } else if let Some(before) = before.filter(|before| before.url == context.url).cloned() {
        (context.key, context.key_file, context.key_command) =
            (before.key, before.key_file, before.key_command);
    }
    context.workspace = args.workspace.or_else(|| before.and_then(|before| before.workspace.clone()));
    all.contexts.insert(args.name.clone(), context);
    if args.is_current || all.current_context.is_none() {
        all.current_context = Some(args.name);
    }
    Ok(())
}

fn known(all: &Contexts, name: &str, file: &Path) -> Result<(), Failure> {
    if all.contexts.contains_key(name) {
        return Ok(());
    }
    Err(missing(all, name, file))
}

/// What to say when there is no such context.
pub(super) fn missing(all: &Contexts, name: &str, file: &Path) -> Failure {
    let names: Vec<&str> = all.contexts.keys().map(String::as_str).collect();
    let there = match names.as_slice() {
        [] => "it has none: `ctrlplane config set-context`".to_owned(),
        names => format!("it has: {}", names.join(", ")),
    };
    Failure::Usage(format!("{} has no context {name}; {there}", file.display()))
}

fn list(all: &Contexts, format: Format) -> Result<(), Failure> {
    let is_current = |name: &String| all.current_context.as_ref() == Some(name);
    // Keys are never shown: only where each comes from.
    let shown = |(name, context): (&String, &Context)| {
        json!({ "name": name, "current": is_current(name), "url": context.url, "key": key_from_where(context),
            "workspace": context.workspace })
    };
    match format {
        Format::Json => output::json(&json!({ "items": all.contexts.iter().map(shown).collect::<Vec<_>>() })),
        Format::Yaml => output::yaml(&all.contexts.iter().map(shown).collect::<Vec<_>>()),
        Format::Name => {
            output::print(&all.contexts.keys().map(|name| format!("context/{name}\n")).collect::<String>())
        }
        Format::Table => {
            let mut table = Table::new(["CURRENT", "NAME", "URL", "KEY", "WORKSPACE"]);
            for (name, context) in &all.contexts {
                let star = if is_current(name) { "*" } else { "" };
                let workspace = context.workspace.as_ref().map(ToString::to_string).unwrap_or_default();
                let from = key_from_where(context);
                table.row([star.to_owned(), name.clone(), context.url.clone(), from, workspace]);
            }
            if all.contexts.is_empty() {
                eprintln!("no contexts");
            }
            output::print(&table.render())
        }
    }
}

fn key_from_where(context: &Context) -> String {
    match context {
        Context { key: Some(_), .. } => "in the config file".to_owned(),
        Context { key_file: Some(file), .. } => format!("file {}", file.display()),
        Context { key_command: Some(command), .. } => format!("command {command}"),
        Context { .. } => String::new(),
    }
}

fn key_from(mut input: impl std::io::Read) -> Result<String, Failure> {
    let mut text = String::new();
    input.read_to_string(&mut text).map_err(|error| Failure::Usage(format!("stdin: {error}")))?;
    match text.trim() {
        "" => Err(Failure::Usage("the API key on stdin is empty".to_owned())),
        key => Ok(key.to_owned()),
    }
}

/// The whole file or none of it, for its owner only.
fn write(file: &Path, all: &Contexts) -> Result<(), Failure> {
    let text = serde_yaml_ng::to_string(all).map_err(|error| wrong(file, &error))?;
    let dir = file.parent().unwrap_or(Path::new(""));
    DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(|error| wrong(dir, &error))?;
    let new = file.with_extension(format!("yaml.{}", std::process::id()));
    let put = || {
        let mut opened = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
        opened.write_all(text.as_bytes())?;
        opened.sync_all()?;
        fs::rename(&new, file)
    };
    put().map_err(|error| {
        // What cannot be removed was not made.
        let _there = fs::remove_file(&new).is_ok();
        wrong(file, &error)
    })
}

fn wrong(path: &Path, error: &dyn std::fmt::Display) -> Failure {
    Failure::Usage(format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(name: &str, url: Option<&str>) -> SetArgs {
        SetArgs {
            name: name.to_owned(),
            url: url.map(str::to_owned),
            key_file: None,
            key_command: None,
            key_stdin: false,
            workspace: None,
            is_current: false,
        }
    }

    #[test]
    fn what_is_given_changes_and_a_key_stays_with_its_url() {
        let mut all = Contexts::default();
        assert!(matches!(set(&mut all, args("a", None), None, None), Err(Failure::Usage(_))));
        assert!(matches!(set(&mut all, args("a", Some("a.example")), None, None), Err(Failure::Usage(_))));
        set(&mut all, args("a", Some("https://a.example")), Some("secret".to_owned()), None).unwrap();
        assert_eq!(all.current_context.as_deref(), Some("a"), "the first is used");
        let workspace = Some("acme".parse().unwrap());
        set(&mut all, SetArgs { workspace, ..args("a", None) }, None, None).unwrap();
        let context = &all.contexts["a"];
        assert_eq!(context.key.as_deref(), Some("secret"));
        assert_eq!(context.workspace.as_ref().map(Slug::as_str), Some("acme"));
        set(&mut all, args("a", Some("https://b.example")), None, None).unwrap();
        assert_eq!(all.contexts["a"].key, None, "it was a key for another URL");
    }

    #[test]
    fn the_file_is_for_its_owner_only_and_reads_back() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("ctrlplane").join("config.yaml");
        let mut all = Contexts::default();
        set(&mut all, args("a", Some("https://a.example")), Some("secret".to_owned()), None).unwrap();
        for _again in 0..2 {
            write(&file, &all).unwrap();
            assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        }
        assert_eq!(fs::metadata(file.parent().unwrap()).unwrap().permissions().mode() & 0o777, 0o700);
        assert_eq!(fs::read_dir(file.parent().unwrap()).unwrap().count(), 1, "nothing else is left");
        let back = read(&file).unwrap().unwrap();
        assert_eq!(back.contexts["a"].key.as_deref(), Some("secret"));
    }
}
