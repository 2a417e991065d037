//! The agent for jobs that any program may pull, as a process of its own.

fn main() -> std::process::ExitCode {
    service::main::<agent_http_pull::AgentHttpPull>()
}
