//! The four platforms of the story: stand-ins for GitHub, GitLab and Argo, and Kubernetes, which may be a real cluster. It
//! starts them, tells the catalog where they are, and reads their runs; what is played on them is the story's.

mod chaos;
mod kubernetes;
mod run;

use std::time::Duration;

use fake_argo::FakeArgo;
use fake_github::FakeGithub;
use fake_gitlab::{FakeGitlab, Hook, Project, Token};

use crate::args::ClusterArgs;
use crate::stage::{Prop, Stage};
use crate::world::{WORKSPACE, World};
use kubernetes::Kubernetes;

pub(crate) use chaos::{github_options, hurried};
pub(crate) use run::{Platform, Run};

/// The project with the pipelines.
const PROJECT: &str = "acme/deploy";
/// The inputs of a run, the same on all platforms.
pub(crate) const INPUTS: [&str; 3] = ["environment", "resource", "version"];
/// The input of a pipeline that carries the job's id.
const JOB_ID: &str = "job_id";
/// Where Argo's workflows and the pretended cluster's Jobs are.
const NAMESPACE: &str = "ci";
/// The template that workflows are made of.
const TEMPLATE: &str = "deploy";
/// Names of secrets, and of the trigger source for GitLab's webhooks.
const GITLAB_TOKEN: &str = "gitlab-token";
const GITLAB_WEBHOOK: &str = "gitlab-webhook";
const GITLAB_SOURCE: &str = "gitlab";
const ARGO_TOKEN: &str = "argo-token";

/// How long a run waits, and how long it takes: long enough to watch.
pub(crate) const QUEUED: Duration = Duration::from_millis(300);
/// See [`QUEUED`].
pub(crate) const RUNS: Duration = Duration::from_millis(900);

/// All of them.
pub(crate) struct Platforms {
    github: FakeGithub,
    gitlab: FakeGitlab,
    argo: FakeArgo,
    kubernetes: Kubernetes,
}

impl Platforms {
    /// Starts what is not there yet, and gives the agents what they sign in with. GitHub stands in the world already.
    ///
    /// # Errors
    /// When a stand-in cannot listen, or the cluster cannot be reached.
    pub(crate) async fn start(
        world: &World,
        cluster: &ClusterArgs,
        chaos: Option<u64>,
        stage: &Stage,
    ) -> anyhow::Result<Self> {
        let gitlab = gitlab(world, chaos, stage).await?;
        let argo = argo(world, chaos, stage).await?;
        let kubernetes = Kubernetes::start(world, cluster, chaos, stage).await?;
        let github = world.github.clone();
        if let Some(seed) = chaos {
            chaos::let_loose(seed, &github, &gitlab, &argo);
        }
        Ok(Self { github, gitlab, argo, kubernetes })
    }

    /// Puts what only this run knows into a catalog's text: where the platforms are, and who we are to them.
    pub(crate) fn fill(&self, catalog: &str) -> String {
        [
            ("<GITLAB_URL>", self.gitlab.base_url()),
            ("<GITLAB_PROJECT>", PROJECT.to_owned()),
            ("<GITLAB_TOKEN>", GITLAB_TOKEN.to_owned()),
            ("<GITLAB_WEBHOOK>", GITLAB_WEBHOOK.to_owned()),
            ("<GITLAB_SOURCE>", GITLAB_SOURCE.to_owned()),
            ("<ARGO_URL>", self.argo.base_url()),
            ("<ARGO_TOKEN>", ARGO_TOKEN.to_owned()),
            ("<ARGO_NAMESPACE>", NAMESPACE.to_owned()),
            ("<ARGO_TEMPLATE>", TEMPLATE.to_owned()),
            ("<KUBERNETES>", self.kubernetes.config()),
            ("<IMAGE>", self.kubernetes.image().to_owned()),
        ]
        .iter()
        .fold(catalog.to_owned(), |text, (place, value)| text.replace(place, value))
    }

    /// Where they are, for people.
    pub(crate) fn describe(&self) -> Vec<String> {
        vec![
            format!("a pretended GitHub is at {}", self.github.base_url()),
            format!("a pretended GitLab is at {}", self.gitlab.base_url()),
            format!("a pretended Argo Server is at {}", self.argo.base_url()),
            self.kubernetes.describe(),
        ]
    }

    /// How GitLab's pipelines go from now on: all end with that status.
    pub(crate) fn pipelines_end(&self, status: &str) -> anyhow::Result<()> {
        let known = self.gitlab.set_script(PROJECT, pipelines(status));
        anyhow::ensure!(known, "the project {PROJECT} is not there");
        Ok(())
    }

    /// How long one step of the story may take here.
    pub(crate) fn patience(&self) -> Duration {
        self.kubernetes.patience()
    }

    /// Every run on every platform.
    ///
    /// # Errors
    /// When the cluster does not answer.
    pub(crate) async fn runs(&self) -> anyhow::Result<Vec<Run>> {
        let mut runs: Vec<Run> = self.github.runs().iter().map(Run::of_github).collect();
        runs.extend(self.gitlab.pipelines().iter().map(|pipeline| Run::of_gitlab(pipeline, JOB_ID)));
        runs.extend(self.argo.workflows().iter().map(Run::of_argo));
        runs.extend(self.kubernetes.jobs().await?.iter().map(Run::of_kubernetes));
        Ok(runs)
    }
}

async fn gitlab(world: &World, chaos: Option<u64>, stage: &Stage) -> anyhow::Result<FakeGitlab> {
    let (token, signing) = (format!("glpat-{}", random()), format!("whsec_{}{}", random(), random()));
    world.dev.data.write_secret(GITLAB_TOKEN, &token)?;
    world.dev.data.write_secret(GITLAB_WEBHOOK, &signing)?;
    let url = format!("{}/webhooks/{WORKSPACE}/{GITLAB_SOURCE}", world.dev.running.webhooks_url());
    let project = Project {
        inputs: INPUTS.iter().chain(&[JOB_ID]).map(|input| (*input).to_owned()).collect(),
        named_after: Some(JOB_ID.to_owned()),
        takes_variables: false,
        ..Project::new(PROJECT).script(pipelines("success"))
    };
    let fake = FakeGitlab::start(fake_gitlab::Options {
        tokens: vec![Token::new(&token)],
        projects: vec![project],
        hook: Some(Hook::signed(&url, &signing)),
        seed: chaos.unwrap_or_default(),
        ..fake_gitlab::Options::default()
    })
    .await?;
    stage.add(Prop::Gitlab(fake.clone()));
    Ok(fake)
}

fn pipelines(status: &str) -> fake_gitlab::Script {
    let ending = fake_gitlab::Ending::Finish(status.to_owned());
    fake_gitlab::Script::of(fake_gitlab::Plan::new(ending).taking(QUEUED, RUNS))
}

async fn argo(world: &World, chaos: Option<u64>, stage: &Stage) -> anyhow::Result<FakeArgo> {
    let token = random();
    world.dev.data.write_secret(ARGO_TOKEN, &token)?;
    let plan = fake_argo::Plan { queued: QUEUED, runs: RUNS, ending: fake_argo::Ending::Succeeds };
    let template = fake_argo::Template::new(NAMESPACE, TEMPLATE).plan(plan);
    let template = INPUTS.iter().fold(template, |template, input| template.parameter(input, None));
    let fake = FakeArgo::start(fake_argo::Options {
        tokens: vec![token],
        namespaces: vec![NAMESPACE.to_owned()],
        templates: vec![template],
        chaos: chaos.map(|_| chaos::NEWS).unwrap_or_default(),
        seed: chaos.unwrap_or_default(),
        ..fake_argo::Options::default()
    })
    .await?;
    stage.add(Prop::Argo(fake.clone()));
    Ok(fake)
}

/// 122 random bits, as 32 letters and digits.
fn random() -> String {
    uuid::Uuid::new_v4().simple().to_string()
}
