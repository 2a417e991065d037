//! The stand-in for GitLab, with the project that the catalogs of the tests name, and what a system is told of it.

use crate::System;
use fake_gitlab::{FakeGitlab, Hook, Options, Project, Token};

/// Lets the agent in.
pub const TOKEN: &str = "glpat-planted0access0token01";
/// Signs webhooks.
pub const SIGNING_TOKEN: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// The project of the shop, whose pipelines carry the job's id in their names.
pub fn project() -> Project {
    Project {
        inputs: ["tag", "resource", "job_id"].map(str::to_owned).to_vec(),
        named_after: Some("job_id".to_owned()),
        ..Project::new("acme/shop")
    }
}

/// Starts one with that project, which takes inputs only.
///
/// # Panics
/// When no port is free.
pub async fn shop() -> FakeGitlab {
    let project = Project { takes_variables: false, ..project() };
    let (tokens, projects) = (vec![Token::new(TOKEN)], vec![project]);
    FakeGitlab::start(Options { tokens, projects, ..Options::default() }).await.expect("the stand-in starts")
}

/// Its secrets, as variables of the environment.
pub fn secrets() -> Vec<(&'static str, String)> {
    vec![
        ("CTRLPLANE_SECRET_FOR_ACME_GITLAB_TOKEN", TOKEN.to_owned()),
        ("CTRLPLANE_SECRET_FOR_ACME_GITLAB_WEBHOOK", SIGNING_TOKEN.to_owned()),
    ]
}

/// Where it sends its webhooks.
pub async fn webhooks_of(system: &System) -> String {
    format!("{}/webhooks/acme/gitlab", system.url_of("trigger-ingester").await)
}

/// Lets it tell the system of its pipelines and their jobs.
pub async fn attach(gitlab: &FakeGitlab, system: &System) {
    gitlab.set_hook(Some(Hook::signed(&webhooks_of(system).await, SIGNING_TOKEN).and_jobs()));
}
