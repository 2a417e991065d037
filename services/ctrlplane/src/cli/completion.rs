//! `ctrlplane completion`: what a shell completes, for it to read at its start.

use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

use super::failure::Failure;
use super::output;

#[derive(Debug, Args)]
pub(crate) struct CompletionArgs {
    /// The shell, as in `source <(ctrlplane completion bash)`
    #[arg(value_enum)]
    shell: Shell,
}

pub(super) fn run(args: &CompletionArgs) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut crate::args::Cli::command(), "ctrlplane", &mut script);
    output::print(&String::from_utf8_lossy(&script))
}
