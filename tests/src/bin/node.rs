//! One service as a process: what the tests start, kill and start again. `node SERVICE`

use std::process::ExitCode;

fn main() -> ExitCode {
    let name = std::env::args().nth(1).unwrap_or_default();
    let line = [std::ffi::OsString::from(&name)];
    match name.as_str() {
        "trigger-ingester" => service::main_with::<trigger_ingester::TriggerIngester>(line),
        "policy-evaluator" => service::main_with::<policy_evaluator::PolicyEvaluator>(line),
        "dispatcher" => service::main_with::<dispatcher::Dispatcher>(line),
        "agent-kubernetes-jobs" => service::main_with::<agent_kubernetes_jobs::AgentKubernetesJobs>(line),
        "agent-argo-workflows" => service::main_with::<agent_argo_workflows::AgentArgoWorkflows>(line),
        "agent-github-actions" => service::main_with::<agent_github_actions::AgentGithubActions>(line),
        "agent-http-pull" => service::main_with::<agent_http_pull::AgentHttpPull>(line),
        "agent-gitlab-ci" => service::main_with::<agent_gitlab_ci::AgentGitlabCi>(line),
        "agent-verification" => service::main_with::<agent_verification::AgentVerification>(line),
        "status-syncer" => service::main_with::<status_syncer::StatusSyncer>(line),
        "api" => service::main_with::<api::Api>(line),
        other => {
            eprintln!("no service {other:?}");
            ExitCode::from(2)
        }
    }
}
