//! The agent for verifications as a process of its own.

fn main() -> std::process::ExitCode {
    service::main::<agent_verification::AgentVerification>()
}
