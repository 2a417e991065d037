//! Decides which version each release target should run, and asks for the job that brings it there.

fn main() -> std::process::ExitCode {
    service::main::<policy_evaluator::PolicyEvaluator>()
}
