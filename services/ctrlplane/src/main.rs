//! The command line, and everything in one process: dev, demo and bench.

fn main() -> std::process::ExitCode {
    ctrlplane::main()
}
