//! The agent for GitLab CI/CD as a process of its own.

fn main() -> std::process::ExitCode {
    service::main::<agent_gitlab_ci::AgentGitlabCi>()
}
