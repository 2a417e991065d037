//! `ctrlplane serve <service>`: one service in this process, exactly as its own binary runs it.

use std::ffi::OsString;
use std::process::ExitCode;

use agent_argo_workflows::AgentArgoWorkflows;
use agent_github_actions::AgentGithubActions;
use agent_gitlab_ci::AgentGitlabCi;
use agent_http_pull::AgentHttpPull;
use agent_kubernetes_jobs::AgentKubernetesJobs;
use agent_verification::AgentVerification;
use api::Api;
use dispatcher::Dispatcher;
use policy_evaluator::PolicyEvaluator;
use service::Service;
use status_syncer::StatusSyncer;
use trigger_ingester::TriggerIngester;

use crate::args::{Passed, ServeCommand};

/// Runs it until a signal; the exit code is the service's.
pub(crate) fn run(command: ServeCommand) -> ExitCode {
    match command {
        ServeCommand::TriggerIngester(passed) => serve::<TriggerIngester>(passed),
        ServeCommand::PolicyEvaluator(passed) => serve::<PolicyEvaluator>(passed),
        ServeCommand::Dispatcher(passed) => serve::<Dispatcher>(passed),
        ServeCommand::AgentArgoWorkflows(passed) => serve::<AgentArgoWorkflows>(passed),
        ServeCommand::AgentGithubActions(passed) => serve::<AgentGithubActions>(passed),
        ServeCommand::AgentHttpPull(passed) => serve::<AgentHttpPull>(passed),
        ServeCommand::AgentGitlabCi(passed) => serve::<AgentGitlabCi>(passed),
        ServeCommand::AgentKubernetesJobs(passed) => serve::<AgentKubernetesJobs>(passed),
        ServeCommand::AgentVerification(passed) => serve::<AgentVerification>(passed),
        ServeCommand::StatusSyncer(passed) => serve::<StatusSyncer>(passed),
        ServeCommand::Api(passed) => serve::<Api>(passed),
    }
}

/// A service given a command line as if it had been started by its own name.
pub(crate) fn serve<S: Service>(passed: Passed) -> ExitCode {
    let name = OsString::from(format!("ctrlplane serve {}", S::NAME));
    service::main_with::<S>(std::iter::once(name).chain(passed.options))
}
