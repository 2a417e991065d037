//! The status syncer as a process of its own.

fn main() -> std::process::ExitCode {
    service::main::<status_syncer::StatusSyncer>()
}
