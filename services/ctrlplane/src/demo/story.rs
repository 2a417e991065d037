//! The story: a push that goes all the way, one that fails, one that is cancelled. Each step waits for what the API
//! shows, for a bounded time, and names what it waited for when that does not come.

use std::time::{Duration, Instant};

use anyhow::{bail, ensure};
use domain::Timestamp;
use domain::id::{DeploymentId, EnvironmentId, ResourceId, VersionId};
use domain::job::{JobStatus, JobView};
use domain::target::TargetKey;
use domain::token::Slug;
use fake_github::{Conclusion, Ending, Plan, Script, When};

use super::narrator::Narrator;
use super::reasons::{Explanation, explanation};
use super::summary::Push;
use crate::client::{JobWatch, Jobs};
use crate::world::World;

/// How long one step may take.
const STEP_WITHIN: Duration = Duration::from_secs(60);
/// How often an explanation is asked for while waiting for it to say something else.
const ASK_AGAIN: Duration = Duration::from_millis(100);

pub(crate) const REPO: &str = "acme/shop";
pub(crate) const WORKFLOW: &str = "deploy.yml";
const DEPLOYMENT: &str = "web";
const STAGING: (&str, [&str; 2]) = ("staging", ["staging-eu-1", "staging-us-1"]);
const PRODUCTION: (&str, [&str; 2]) = ("production", ["production-eu-1", "production-us-1"]);

/// All resources the catalog of the story has.
pub(crate) fn resources() -> impl Iterator<Item = &'static str> {
    STAGING.1.into_iter().chain(PRODUCTION.1)
}

/// How runs go: long enough to watch.
pub(crate) fn script() -> Script {
    Script::success().taking(Duration::from_millis(300), Duration::from_millis(900))
}

/// Who plays.
pub(crate) struct Story<'a> {
    pub(crate) world: &'a World,
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
        self.counts_are_right()
    }

    async fn goes_all_the_way(&mut self) -> anyhow::Result<()> {
        self.narrator.act("1. A push goes to staging and, once approved, to production");
        let tag = self.push("Add a basket", script()).await?;
        let staged = self.reach(&tag, STAGING, JobStatus::Successful).await?;
        let waiting = self.blocked_by(&tag, &["anyApproval"], staged).await?;
        let [somewhere, _] = PRODUCTION.1;
        self.narrator
            .note(&format!("production waits: ctrlplane explain {DEPLOYMENT} {} {somewhere}", PRODUCTION.0));
        self.narrator.why(&waiting.lines());
        let version = VersionId::of(self.deployment(), &tag);
        self.narrator.deed("a person", &format!("approves {tag} for production"));
        let production = EnvironmentId::of(self.workspace(), PRODUCTION.0);
        self.world.client.approve(version, production, "looks good on staging").await?;
        self.reach(&tag, PRODUCTION, JobStatus::Successful).await?;
        self.narrator.note(&format!("{tag} runs everywhere"));
        Ok(())
    }

    async fn fails_on_staging(&mut self) -> anyhow::Result<()> {
        self.narrator.act("2. A push that fails on one part of staging goes no further");
        let [well, badly] = STAGING.1;
        let fails =
            Plan::ends(Conclusion::Failure).taking(Duration::from_millis(300), Duration::from_millis(700));
        let tag =
            self.push("Remove the basket", script().when(When::input("resource", badly), fails)).await?;
        let good = self.see_become(&tag, (STAGING.0, well), JobStatus::Successful).await?;
        let bad = self.see_become(&tag, (STAGING.0, badly), JobStatus::Failure).await?;
        let rules = ["environmentProgression", "anyApproval"];
        let denied = self.blocked_by(&tag, &rules, good.updated_at.max(bad.updated_at)).await?;
        self.narrator.note("production keeps what it has. Why:");
        self.narrator.why(&denied.lines());
        let went_on = self
            .jobs
            .now()
            .values()
            .any(|job| job.version == tag && job.environment.as_str() == PRODUCTION.0);
        ensure!(!went_on, "{tag} failed on staging and went to production all the same");
        Ok(())
    }

    async fn is_cancelled(&mut self) -> anyhow::Result<()> {
        self.narrator.act("3. A push whose run hangs is cancelled");
        let [well, hangs] = STAGING.1;
        let held = Plan::new(Ending::Hold).taking(Duration::from_millis(300), Duration::ZERO);
        let tag =
            self.push("Rewrite the basket", script().when(When::input("resource", hangs), held)).await?;
        self.see_become(&tag, (STAGING.0, well), JobStatus::Successful).await?;
        let job = self.see_become(&tag, (STAGING.0, hangs), JobStatus::InProgress).await?;
        self.narrator.deed("a person", &format!("cancels the job of {tag} on {hangs}"));
        self.world.client.cancel(job.id).await?;
        let job = self.see_become(&tag, (STAGING.0, hangs), JobStatus::Cancelled).await?;
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

    fn counts_are_right(&self) -> anyhow::Result<()> {
        let summary = self.summary(true);
        let expected = [("cancelled", 1), ("failure", 1), ("successful", 6)];
        ensure!(summary.jobs == expected.into(), "jobs should be {expected:?} and are {:?}", summary.jobs);
        ensure!(
            summary.external_runs == 8,
            "8 runs should be on GitHub, there are {}",
            summary.external_runs
        );
        ensure!(summary.duplicates == 0, "{} jobs have more than one run", summary.duplicates);
        ensure!(summary.lost == 0, "{} pushes or jobs were lost", summary.lost);
        Ok(())
    }

    /// The story so far in numbers.
    pub(crate) fn summary(&self, ok: bool) -> super::summary::Summary {
        super::summary::summarise(ok, &self.pushes, self.jobs.now().values(), &self.world.github.runs())
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

    /// Waits until the version's jobs on all resources of an environment have that status; since when all have it.
    async fn reach(
        &self,
        tag: &str,
        (environment, [one, other]): (&str, [&str; 2]),
        status: JobStatus,
    ) -> anyhow::Result<Timestamp> {
        let one = self.see_become(tag, (environment, one), status).await?;
        let other = self.see_become(tag, (environment, other), status).await?;
        Ok(one.updated_at.max(other.updated_at))
    }

    /// Waits until the version's job on a target has that status. A job that ends otherwise ends the wait.
    async fn see_become(
        &self,
        tag: &str,
        (environment, resource): (&str, &str),
        status: JobStatus,
    ) -> anyhow::Result<JobView> {
        let target = self.target(environment, resource);
        let settled = |jobs: &Jobs| {
            let mut mine = jobs.values().filter(|job| job.version == tag && job.target == target);
            mine.find(|job| job.status == status || job.status.is_terminal()).cloned()
        };
        let what = format!("the job of {tag} on {environment}/{resource} to be {status}");
        let job = self.jobs.until(&what, STEP_WITHIN, settled).await?;
        if job.status != status {
            let message = job.message.as_deref().unwrap_or("without a message");
            bail!(
                "the job of {tag} on {environment}/{resource} should be {status} and is {} ({message})",
                job.status
            );
        }
        Ok(job)
    }

    /// Waits until the API explains, by a decision not older than `since`, that these rules hold the version back from production.
    async fn blocked_by(&self, tag: &str, rules: &[&str], since: Timestamp) -> anyhow::Result<Explanation> {
        let target = self.target(PRODUCTION.0, PRODUCTION.1[0]);
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
        match tokio::time::timeout(STEP_WITHIN, asked).await {
            Ok(found) => found,
            Err(_elapsed) => Err(self.jobs.stuck(&what, STEP_WITHIN).into()),
        }
    }

    fn target(&self, environment: &str, resource: &str) -> TargetKey {
        TargetKey {
            deployment: self.deployment(),
            environment: EnvironmentId::of(self.workspace(), environment),
            resource: ResourceId::of(self.workspace(), resource),
        }
    }

    fn deployment(&self) -> DeploymentId {
        DeploymentId::of(self.workspace(), DEPLOYMENT)
    }

    fn workspace(&self) -> &Slug {
        self.world.client.workspace()
    }
}
