//! Following one version to its targets: how it stands on each, and when there is nothing more to wait for. What a
//! target says is judged by `domain::rollout`; live jobs tell when to look again.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use domain::Timestamp;
use domain::id::{JobId, VersionId};
use domain::rollout::{OnTarget, Outcome, Standing, Verdict, standing, verdict};
use serde::Deserialize;
use serde_json::Value;
use tokio::time::Instant;

use super::failure::Failure;
use super::feed::{Feed, News};
use super::output;
use super::progress::Progress;
use super::session::Session;
use super::words::{one_line, text_at, time_at};
use super::{job, jobs};

/// How often targets are looked at without a reason: approvals and windows make no job.
const LOOK_AGAIN: Duration = Duration::from_secs(2);
/// Bursts of jobs do not make more looks than this.
const LOOK_AT_MOST_EVERY: Duration = Duration::from_millis(300);
/// How long a standstill must last: the last success may be about to let another environment go on.
const STANDSTILL: Duration = Duration::from_secs(5);
/// How many targets are named in the end.
const NAMED_MAX: usize = 10;

/// A release target, as far as it is needed.
#[derive(Debug, Deserialize)]
struct Target {
    environment: Named,
    resource: Named,
    #[serde(flatten)]
    is: OnTarget,
}

#[derive(Debug, Default, Deserialize)]
struct Named {
    name: Option<String>,
}

/// How long is waited.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// In all.
    pub(super) within: Duration,
    /// For what only people can change.
    pub(super) blocked: Duration,
}

/// Follows a version, as the API shows it, until it is everywhere, failed, or blocked, or the time is over.
pub(super) async fn wait(session: &Session, version: &Value, limits: Limits) -> Result<(), Failure> {
    let wrong = |what: &str| Failure::Refused(format!("the API's version has no {what}"));
    let id: VersionId = text_at(version, "/id").parse().map_err(|_| wrong("id"))?;
    let deployment = text_at(version, "/deploymentId");
    if deployment.is_empty() {
        return Err(wrong("deploymentId"));
    }
    let since = time_at(version, "/updatedAt").ok_or_else(|| wrong("updatedAt"))?;
    let mut rollout = Rollout {
        session,
        id,
        since,
        deployment,
        limits,
        began: Instant::now(),
        told: BTreeMap::new(),
        standings: BTreeMap::new(),
        failed: BTreeMap::new(),
        progress: Progress::new(),
    };
    match tokio::time::timeout(limits.within, rollout.follow()).await {
        Ok(ended) => ended,
        Err(_elapsed) => {
            let seconds = limits.within.as_secs();
            Err(Failure::NotYet(format!("not done within {seconds} s\n{}", rollout.rest())))
        }
    }
}

struct Rollout<'a> {
    session: &'a Session,
    id: VersionId,
    /// What was decided before knew nothing of it.
    since: Timestamp,
    deployment: String,
    limits: Limits,
    began: Instant,
    told: BTreeMap<String, Standing>,
    standings: BTreeMap<String, Standing>,
    /// The jobs of the targets it failed on.
    failed: BTreeMap<String, JobId>,
    progress: Progress,
}

impl Rollout<'_> {
    async fn follow(&mut self) -> Result<(), Failure> {
        let mut feed = Feed::open(self.session, Vec::new()).await?;
        let mut still_since: Option<Instant> = None;
        loop {
            self.look().await?;
            match verdict(self.standings.values()) {
                Verdict::Done => {
                    let count = self.standings.len();
                    self.say(&format!("up to date on {count} target{}", if count == 1 { "" } else { "s" }));
                    return Ok(());
                }
                Verdict::GoOn => still_since = None,
                Verdict::Standstill(outcome) => {
                    let since = *still_since.get_or_insert_with(Instant::now);
                    let bound = match outcome {
                        Outcome::Blocked => STANDSTILL.max(self.limits.blocked),
                        Outcome::Failed | Outcome::Nowhere => STANDSTILL,
                    };
                    if since.elapsed() >= bound {
                        return self.end(&outcome).await;
                    }
                }
            }
            self.until_news(&mut feed).await?;
        }
    }

    /// Returns when a job changed, or it is time to look anyway.
    async fn until_news(&self, feed: &mut Feed<'_>) -> Result<(), Failure> {
        let at_the_earliest = Instant::now() + LOOK_AT_MOST_EVERY;
        let mine = async {
            loop {
                match feed.next().await? {
                    News::Job(job, _) if job.target.deployment.to_string() == self.deployment => {
                        return Ok(());
                    }
                    News::Job(..) | News::Live | News::Back => {}
                    News::Lost(why) => {
                        self.say(&format!("the connection is lost, trying again: {why}"));
                    }
                }
            }
        };
        match tokio::time::timeout(LOOK_AGAIN, mine).await {
            Ok(Ok(())) => tokio::time::sleep_until(at_the_earliest).await,
            Ok(Err(failure)) => return Err(failure),
            Err(_time_to_look) => {}
        }
        Ok(())
    }

    async fn look(&mut self) -> Result<(), Failure> {
        let query = [("deployment", self.deployment.as_str())];
        let looked = self.session.all(&["release-targets"], &query).await;
        let items = match looked {
            Ok(items) => items,
            // Live events tell the loss; the next look may work.
            Err(Failure::Unreachable(_)) => return Ok(()),
            Err(other) => return Err(other),
        };
        let order = self.order().await?;
        let mut standings = BTreeMap::new();
        for item in items {
            let target: Target = serde_json::from_value(item).map_err(|error| {
                Failure::Refused(format!("the API's release target cannot be read: {error}"))
            })?;
            let name = |named: &Named| one_line(named.name.as_deref().unwrap_or("?"));
            let key = format!("{} {}", name(&target.environment), name(&target.resource));
            if let Some(standing) = standing(&target.is, self.id, self.since, &order) {
                if let (Standing::Failed(_), Some(last)) = (&standing, &target.is.last) {
                    self.failed.insert(key.clone(), last.job);
                }
                standings.insert(key, standing);
            }
        }
        self.standings = standings;
        self.tell();
        Ok(())
    }

    /// The deployment's versions, the newest 0.
    async fn order(&self) -> Result<HashMap<VersionId, usize>, Failure> {
        let versions = match self.session.all(&["deployments", &self.deployment, "versions"], &[]).await {
            Ok(versions) => versions,
            Err(Failure::Unreachable(_)) => Vec::new(),
            Err(other) => return Err(other),
        };
        let ids = versions.iter().filter_map(|version| text_at(version, "/id").parse().ok());
        Ok(ids.enumerate().map(|(n, id)| (id, n)).collect())
    }

    fn tell(&mut self) {
        for (target, standing) in &self.standings {
            if self.told.get(target) != Some(standing) {
                self.say(&format!("{target}: {}", one_line(&standing.to_string())));
                self.told.insert(target.clone(), standing.clone());
            }
        }
        let count = |wanted: fn(&Standing) -> bool| self.standings.values().filter(|one| wanted(one)).count();
        let done = count(|standing| *standing == Standing::UpToDate);
        let bad = count(|standing| matches!(standing, Standing::Failed(_) | Standing::Overtaken(_)));
        let moving = count(|standing| *standing == Standing::Moving);
        let words = format!("targets up to date, {moving} on the way, {bad} failed");
        self.progress.at(done as u64, self.standings.len() as u64, &words);
    }

    /// With the seconds since the beginning: what CI keeps of it tells how long each step took.
    fn say(&self, text: &str) {
        self.progress.say(&format!("{:>4}s {text}", self.began.elapsed().as_secs()));
    }

    /// Where what failed can be looked at.
    async fn links(&self) -> String {
        let mut lines = String::new();
        let is_failed = |target: &str| matches!(self.standings.get(target), Some(Standing::Failed(_)));
        for (target, job) in self.failed.iter().filter(|(target, _)| is_failed(target)).take(NAMED_MAX) {
            // What failed is said anyway: a link is only a help.
            let Ok(view) = job::load(self.session, &job.to_string()).await else { continue };
            if let Some(link) = jobs::link(&view) {
                lines.push_str(&format!("\n  {target}: {}", one_line(link)));
            }
        }
        lines
    }

    async fn end(&self, outcome: &Outcome) -> Result<(), Failure> {
        match outcome {
            Outcome::Failed => {
                let links = self.links().await;
                Err(Failure::RolloutFailed(format!("the rollout failed\n{}{links}", self.rest())))
            }
            Outcome::Blocked => Err(Failure::NotYet(format!("the rollout is blocked\n{}", self.rest()))),
            Outcome::Nowhere => output::line("the deployment has no release targets: there is nowhere to go"),
        }
    }

    /// The targets it is not on.
    fn rest(&self) -> String {
        let rest: Vec<String> = self
            .standings
            .iter()
            .filter(|(_, standing)| **standing != Standing::UpToDate)
            .map(|(target, standing)| format!("  {target}: {}", one_line(&standing.to_string())))
            .collect();
        let mut lines = rest.iter().take(NAMED_MAX).cloned().collect::<Vec<_>>();
        if rest.len() > NAMED_MAX {
            lines.push(format!("  and {} more", rest.len() - NAMED_MAX));
        }
        lines.join("\n")
    }
}
