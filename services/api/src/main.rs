//! The HTTP API as a process of its own.

use std::process::ExitCode;

fn main() -> ExitCode {
    service::main::<api::Api>()
}
