//! The story, on four platforms at once: a push that goes all the way, one that fails on GitLab, one that hangs on GitHub and is
//! cancelled. Each step waits for what the API shows, for a bounded time, and names what it waited for when that does not come.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{bail, ensure};
use domain::Timestamp;
use domain::id::{DeploymentId, EnvironmentId, ResourceId, VersionId};
use domain::job::{JobStatus, JobView};
use domain::target::TargetKey;
use domain::token::Slug;
use fake_github::{Conclusion, Ending, Plan, Script, When};

use super::narrator::Narrator;
use super::platforms::{Platform, Platforms, QUEUED, RUNS};
use super::reasons::{Explanation, explanation};
use super::summary::{ByStatus, OnPlatform, Push, Summary, summarise};
use crate::client::{JobWatch, Jobs};
use crate::world::World;

/// How often an explanation is asked for while waiting for it to say something else.
const ASK_AGAIN: Duration = Duration::from_millis(100);

pub(crate) const REPO: &str = "acme/shop";
pub(crate) const WORKFLOW: &str = "deploy.yml";
const DEPLOYMENT: &str = "web";
const STAGING: &str = "staging";
const PRODUCTION: &str = "production";

/// All resources the catalog of the story has.
pub(crate) fn resources() -> impl Iterator<Item = String> {
    let of = |environment| Platform::ALL.into_iter().map(move |platform| resource(environment, platform));
    of(STAGING).chain(of(PRODUCTION))
}

/// The part of an environment that a platform deploys to.
fn resource(environment: &str, platform: Platform) -> String {
    format!("{environment}-{}", platform.region())
}

/// How runs on GitHub go.
pub(crate) fn script() -> Script {
    Script::success().taking(QUEUED, RUNS)
}

/// Who plays.
pub(crate) struct Story<'a> {
    pub(crate) world: &'a World,
    pub(crate) platforms: &'a Platforms,
    pub(crate) jobs: JobWatch,
    pub(crate) narrator: Narrator,
    /// What was pushed so far.
    pub(crate) pushes: Vec<Push>,
}

impl Story<'_> {
    /// Plays it to its end.
    ///
    /// # Errors
    /// Where it stuck or took another turn.
    pub(crate) async fn play(&mut self) -> anyhow::Result<()> {
        self.goes_all_the_way().await?;
        self.fails_on_staging().await?;
        self.is_cancelled().await?;
        self.counts_are_right().await
    }

    async fn goes_all_the_way(&mut self) -> anyhow::Result<()> {
        self.narrator.act("1. A push goes to staging on four platforms and, once approved, to production");
        let tag = self.push("Add a basket", script()).await?;
        let staged = self.reach_all(&tag, STAGING).await?;
        let waiting = self.blocked_by(&tag, &["anyApproval"], staged).await?;
        let somewhere = resource(PRODUCTION, Platform::Github);
        self.narrator
            .note(&format!("production waits: ctrlplane explain {DEPLOYMENT} {PRODUCTION} {somewhere}"));
        self.narrator.why(&waiting.lines());
        let version = VersionId::of(self.deployment(), &tag);
        self.narrator.deed("a person", &format!("approves {tag} for production"));
        let production = EnvironmentId::of(self.workspace(), PRODUCTION);
        self.world.client.approve(version, production, "looks good on staging").await?;
        self.reach_all(&tag, PRODUCTION).await?;
        self.narrator.note(&format!("{tag} runs everywhere"));
        Ok(())
    }

    async fn fails_on_staging(&mut self) -> anyhow::Result<()> {
        self.narrator.act("2. A push that fails on one part of staging, by GitLab, goes no further");
        self.platforms.pipelines_end("failed")?;
        let tag = self.push("Remove the basket", script()).await?;
        let bad = self.see_become(&tag, (STAGING, Platform::Gitlab), JobStatus::Failure).await?;
        let good =
            self.reach(&tag, STAGING, &[Platform::Github, Platform::Kubernetes, Platform::Argo]).await?;
        self.platforms.pipelines_end("success")?;
        let rules = ["environmentProgression", "anyApproval"];
        let denied = self.blocked_by(&tag, &rules, good.max(bad.updated_at)).await?;
        self.narrator.note("production keeps what it has. Why:");
        self.narrator.why(&denied.lines());
        let went_on =
            self.jobs.now().values().any(|job| job.version == tag && job.environment.as_str() == PRODUCTION);
        ensure!(!went_on, "{tag} failed on staging and went to production all the same");
        Ok(())
    }

    async fn is_cancelled(&mut self) -> anyhow::Result<()> {
        self.narrator.act("3. A push whose run on GitHub hangs is cancelled");
        let hangs = (STAGING, Platform::Github);
        let held = Plan::new(Ending::Hold).taking(QUEUED, Duration::ZERO);
        let on = resource(STAGING, Platform::Github);
        let tag = self.push("Rewrite the basket", script().when(When::input("resource", &on), held)).await?;
        self.reach(&tag, STAGING, &[Platform::Gitlab, Platform::Kubernetes, Platform::Argo]).await?;
        let job = self.see_become(&tag, hangs, JobStatus::InProgress).await?;
        self.narrator.deed("a person", &format!("cancels the job of {tag} on {on}"));
        self.world.client.cancel(job.id).await?;
        let job = self.see_become(&tag, hangs, JobStatus::Cancelled).await?;
        let run = job.external.as_ref().and_then(|external| external.id.parse().ok());
        match run.and_then(|run| self.world.github.run(run)) {
            Some(run) if run.conclusion == Some(Conclusion::Cancelled) => Ok(()),
            Some(run) => bail!(
                "the job is cancelled, but GitHub's run is {} {:?}",
                run.status.as_str(),
                run.conclusion
            ),
            None => bail!("the job is cancelled, and GitHub does not know its run"),
        }
    }

    async fn counts_are_right(&self) -> anyhow::Result<()> {
        let summary = self.summary(true).await?;
        let expected = platforms_expected();
        ensure!(
            summary.platforms == expected,
            "the platforms should have {expected:?} and have {:?}",
            summary.platforms
        );
        ensure!(summary.duplicates == 0, "{} jobs have more than one run", summary.duplicates);
        ensure!(summary.lost == 0, "{} pushes or jobs were lost", summary.lost);
        Ok(())
    }

    /// The story so far in numbers.
    ///
    /// # Errors
    /// When a platform cannot be asked for its runs.
    pub(crate) async fn summary(&self, ok: bool) -> anyhow::Result<Summary> {
        let runs = self.platforms.runs().await?;
        Ok(summarise(ok, &self.pushes, self.jobs.now().values(), &runs))
    }

    /// Somebody pushes a commit whose runs go by this script; the version's tag.
    async fn push(&mut self, message: &str, script: Script) -> anyhow::Result<String> {
        let sha =
            format!("{}{}", uuid::Uuid::new_v4().simple(), &uuid::Uuid::new_v4().simple().to_string()[..8]);
        let tag = sha[..7].to_owned();
        ensure!(self.world.github.set_script(REPO, WORKFLOW, script), "the workflow is not there");
        self.narrator.deed("a person", &format!("pushes {tag} \"{message}\" to {REPO}"));
        let (delivery, status) = self.world.github.push(REPO, "main", &sha, message).await?;
        let accepted = Instant::now();
        ensure!(status == 202, "the webhook {delivery} was answered {status}, not 202");
        self.narrator.deed("GitHub", &format!("delivers webhook {delivery}, accepted with {status}"));
        self.pushes.push(Push { tag: tag.clone(), accepted });
        Ok(tag)
    }

    /// Waits until the version's jobs in an environment are successful on every platform; since when all are.
    async fn reach_all(&self, tag: &str, environment: &str) -> anyhow::Result<Timestamp> {
        self.reach(tag, environment, &Platform::ALL).await
    }

    /// The same for some platforms.
    async fn reach(&self, tag: &str, environment: &str, on: &[Platform]) -> anyhow::Result<Timestamp> {
        let mut since = Timestamp::MIN_UTC;
        for platform in on {
            let job = self.see_become(tag, (environment, *platform), JobStatus::Successful).await?;
            since = since.max(job.updated_at);
        }
        Ok(since)
    }

    /// Waits until the version's job on a target has that status. A job that ends otherwise ends the wait.
    async fn see_become(
        &self,
        tag: &str,
        (environment, platform): (&str, Platform),
        status: JobStatus,
    ) -> anyhow::Result<JobView> {
        let target = self.target(environment, platform);
        let place = format!("{environment}/{}", resource(environment, platform));
        let settled = |jobs: &Jobs| {
            let mut mine = jobs.values().filter(|job| job.version == tag && job.target == target);
            mine.find(|job| job.status == status || job.status.is_terminal()).cloned()
        };
        let what = format!("the job of {tag} on {place} to be {status}");
        let job = self.jobs.until(&what, self.platforms.patience(), settled).await?;
        if job.status != status {
            let message = job.message.as_deref().unwrap_or("without a message");
            bail!("the job of {tag} on {place} should be {status} and is {} ({message})", job.status);
        }
        Ok(job)
    }

    /// Waits until the API explains, by a decision not older than `since`, that these rules hold the version back from production.
    async fn blocked_by(&self, tag: &str, rules: &[&str], since: Timestamp) -> anyhow::Result<Explanation> {
        let target = self.target(PRODUCTION, Platform::Github);
        let asked = async {
            let mut again = tokio::time::interval(ASK_AGAIN);
            loop {
                again.tick().await;
                let answer = self.world.client.explain(&target).await?;
                if let Some(found) =
                    explanation(&answer, tag).filter(|found| found.is_held_by(rules) && found.is_since(since))
                {
                    return anyhow::Ok(found);
                }
            }
        };
        let what = format!("production to be held back from {tag} by {}", rules.join(" and "));
        match tokio::time::timeout(self.platforms.patience(), asked).await {
            Ok(found) => found,
            Err(_elapsed) => Err(self.jobs.stuck(&what, self.platforms.patience()).into()),
        }
    }

    fn target(&self, environment: &str, platform: Platform) -> TargetKey {
        TargetKey {
            deployment: self.deployment(),
            environment: EnvironmentId::of(self.workspace(), environment),
            resource: ResourceId::of(self.workspace(), &resource(environment, platform)),
        }
    }

    fn deployment(&self) -> DeploymentId {
        DeploymentId::of(self.workspace(), DEPLOYMENT)
    }

    fn workspace(&self) -> &Slug {
        self.world.client.workspace()
    }
}

/// What a story that went as it should leaves behind: four jobs on each platform, each with one run.
fn platforms_expected() -> BTreeMap<String, OnPlatform> {
    let part = |platform| {
        let jobs: &[(&'static str, usize)] = match platform {
            Platform::Github => &[("cancelled", 1), ("successful", 3)],
            Platform::Gitlab => &[("failure", 1), ("successful", 3)],
            Platform::Kubernetes | Platform::Argo => &[("successful", 4)],
        };
        OnPlatform { jobs: ByStatus::from_iter(jobs.iter().copied()), runs: 4 }
    };
    Platform::ALL.into_iter().map(|platform| (platform.slug().to_owned(), part(platform))).collect()
}
