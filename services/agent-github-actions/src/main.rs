//! The agent for GitHub Actions as a process of its own.

fn main() -> std::process::ExitCode {
    service::main::<agent_github_actions::AgentGithubActions>()
}
