//! The agent for Argo Workflows as a process of its own.

fn main() -> std::process::ExitCode {
    service::main::<agent_argo_workflows::AgentArgoWorkflows>()
}
