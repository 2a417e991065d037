//! The command line, and everything in one process: dev, demo and bench.
//! It wires services and servers together and knows nothing of how a service does its work.

pub mod all_in_one;
mod args;
mod bench;
mod cli;
mod client;
mod demo;
mod dev;
mod measure;
mod process;
mod serve;
mod setup;
mod stage;
mod world;

use std::process::ExitCode;

use clap::Parser as _;

use crate::args::{BenchArgs, BenchCommand, Cli, Command};
use crate::process::Purpose;

/// Does what the command line asks for.
pub fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Dev(args) => process::run("dev", &args.log, Purpose::Serve, |supervisor, stage| {
            dev::run(&args, supervisor, stage)
        }),
        Command::Demo(args) => {
            let purpose = if args.once { Purpose::Finish } else { Purpose::Serve };
            process::run("demo", &args.log, purpose, |supervisor, stage| demo::run(&args, supervisor, stage))
        }
        Command::Bench(BenchArgs { other: Some(BenchCommand::Sse(args)), .. }) => {
            process::run("bench sse", &args.log, Purpose::Finish, |supervisor, stage| {
                bench::sse::run(&args, supervisor, stage)
            })
        }
        Command::Bench(BenchArgs { other: Some(BenchCommand::Lists(args)), .. }) => {
            process::run("bench lists", &args.log, Purpose::Finish, |supervisor, stage| {
                bench::lists::run(&args, supervisor, stage)
            })
        }
        Command::Bench(args) => process::run("bench", &args.log, Purpose::Finish, |supervisor, stage| {
            bench::run(&args, supervisor, stage)
        }),
        Command::Serve(service) => serve::run(service),
        Command::Setup(passed) => setup::run(passed),
        Command::Client(command) => cli::run(*command),
    }
}
