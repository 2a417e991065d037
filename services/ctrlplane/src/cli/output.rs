//! What is printed on stdout: tables for people, JSON and YAML for programs.

use std::io::Write as _;

use clap::ValueEnum;
use serde::Serialize;

use super::failure::Failure;

/// How to print.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people
    #[default]
    Table,
    /// As the API answers; what takes several answers, put together
    Json,
    /// As it would stand in a file, where it can
    Yaml,
    /// Names only
    Name,
}

/// Prints a text as it is.
pub(super) fn print(text: &str) -> Result<(), Failure> {
    let mut stdout = std::io::stdout().lock();
    let written = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
    written.map_err(|error| {
        if error.kind() == std::io::ErrorKind::BrokenPipe {
            return Failure::Closed;
        }
        Failure::Refused(format!("stdout: {error}"))
    })
}

/// Prints one line.
pub(super) fn line(text: &str) -> Result<(), Failure> {
    print(&format!("{text}\n"))
}

/// Prints a value as JSON.
pub(super) fn json(value: &impl Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(value).expect("an answer is JSON");
    line(&text)
}

/// Prints a value as YAML.
pub(super) fn yaml(value: &impl Serialize) -> Result<(), Failure> {
    let text = serde_yaml_ng::to_string(value)
        .map_err(|error| Failure::Refused(format!("this cannot be written as YAML: {error}")))?;
    print(&text)
}
