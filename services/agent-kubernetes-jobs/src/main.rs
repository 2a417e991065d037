//! The agent for Kubernetes Jobs as a process of its own.

fn main() -> std::process::ExitCode {
    service::main::<agent_kubernetes_jobs::AgentKubernetesJobs>()
}
