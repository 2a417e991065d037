//! Following one version to its targets: how it stands on each, and when there is nothing more to wait for. What a
//! target says is judged by values; live jobs tell when to look again.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use domain::Timestamp;
use domain::decision::{JobOnTarget, TargetState, VersionOnTarget};
use domain::id::VersionId;
use domain::job::JobStatus;
use serde::Deserialize;
use serde_json::Value;
use tokio::time::Instant;

use super::failure::Failure;
use super::feed::{Feed, News};
use super::output;
use super::session::Session;
use super::words::{one_line, text_at, time_at};

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
#[serde(rename_all = "camelCase")]
struct Target {
    environment: Named,
    resource: Named,
    state: TargetState,
    summary: String,
    desired: Option<VersionOnTarget>,
    current: Option<VersionOnTarget>,
    active: Option<JobOnTarget>,
    last: Option<JobOnTarget>,
    decided_at: Timestamp,
}

#[derive(Debug, Default, Deserialize)]
struct Named {
    name: Option<String>,
}

/// How a version stands on a target.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Standing {
    UpToDate,
    /// On its way, or not decided yet.
    Moving,
    /// For time or people.
    Waiting(String),
    Blocked(String),
    Failed(String),
    /// By a newer version.
    Overtaken(String),
}

/// How all targets stand.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    /// Everything is where it should be.
    Done,
    /// Look again.
    GoOn,
    /// Nothing moves: it is over if that stays so.
    Standstill(Outcome),
}

#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Failed,
    Blocked,
    /// No target at all.
    Nowhere,
}

/// Follows a version, as the API shows it, until it is everywhere, failed, or blocked, or the time is over.
pub(super) async fn wait(session: &Session, version: &Value, within: Duration) -> Result<(), Failure> {
    let wrong = |what: &str| Failure::Refused(format!("the API's version has no {what}"));
    let id: VersionId = text_at(version, "/id").parse().map_err(|_| wrong("id"))?;
    let deployment = text_at(version, "/deploymentId");
    if deployment.is_empty() {
        return Err(wrong("deploymentId"));
    }
    let since = time_at(version, "/updatedAt").ok_or_else(|| wrong("updatedAt"))?;
    let mut rollout =
        Rollout { session, id, since, deployment, told: BTreeMap::new(), standings: BTreeMap::new() };
    match tokio::time::timeout(within, rollout.follow()).await {
        Ok(ended) => ended,
        Err(_elapsed) => {
            Err(Failure::NotYet(format!("not done within {} s\n{}", within.as_secs(), rollout.rest())))
        }
    }
}

struct Rollout<'a> {
    session: &'a Session,
    id: VersionId,
    /// What was decided before knew nothing of it.
    since: Timestamp,
    deployment: String,
    told: BTreeMap<String, Standing>,
    standings: BTreeMap<String, Standing>,
}

impl Rollout<'_> {
    async fn follow(&mut self) -> Result<(), Failure> {
        let mut feed = Feed::open(self.session, Vec::new()).await?;
        let mut still_since: Option<Instant> = None;
        loop {
            self.look().await?;
            match verdict(self.standings.values()) {
                Verdict::Done => return Ok(()),
                Verdict::GoOn => still_since = None,
                Verdict::Standstill(outcome) => {
                    let since = *still_since.get_or_insert_with(Instant::now);
                    if since.elapsed() >= STANDSTILL {
                        return self.end(&outcome);
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
                    News::Job(job) if job.target.deployment.to_string() == self.deployment => return Ok(()),
                    News::Job(_) | News::Live | News::Back => {}
                    News::Lost(why) => eprintln!("the connection is lost, trying again: {why}"),
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
            if let Some(standing) = standing(&target, self.id, self.since, &order) {
                standings.insert(key, standing);
            }
        }
        self.standings = standings;
        self.tell()
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

    fn tell(&mut self) -> Result<(), Failure> {
        for (target, standing) in &self.standings {
            if self.told.get(target) != Some(standing) {
                eprintln!("{target}: {}", words(standing));
                self.told.insert(target.clone(), standing.clone());
            }
        }
        Ok(())
    }

    fn end(&self, outcome: &Outcome) -> Result<(), Failure> {
        match outcome {
            Outcome::Failed => Err(Failure::RolloutFailed(format!("the rollout failed\n{}", self.rest()))),
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
            .map(|(target, standing)| format!("  {target}: {}", words(standing)))
            .collect();
        let mut lines = rest.iter().take(NAMED_MAX).cloned().collect::<Vec<_>>();
        if rest.len() > NAMED_MAX {
            lines.push(format!("  and {} more", rest.len() - NAMED_MAX));
        }
        lines.join("\n")
    }
}

fn words(standing: &Standing) -> String {
    match standing {
        Standing::UpToDate => "up to date".to_owned(),
        Standing::Moving => "on its way".to_owned(),
        Standing::Waiting(why) => format!("waiting: {why}"),
        Standing::Blocked(why) => format!("blocked: {why}"),
        Standing::Failed(why) => format!("failed: {why}"),
        Standing::Overtaken(by) => format!("overtaken by {by}"),
    }
}

/// How the version stands on the target; `None` where the target is gone.
fn standing(
    target: &Target,
    version: VersionId,
    since: Timestamp,
    order: &HashMap<VersionId, usize>,
) -> Option<Standing> {
    let is_newer = |other: VersionId| match (order.get(&other), order.get(&version)) {
        (Some(other), Some(mine)) => other < mine,
        (Some(_) | None, Some(_) | None) => false,
    };
    if target.state == TargetState::Gone {
        return None;
    }
    if target.current.as_ref().is_some_and(|current| current.version == version) {
        return Some(Standing::UpToDate);
    }
    if target.active.as_ref().is_some_and(|active| active.version == version) {
        return Some(Standing::Moving);
    }
    if let Some(last) =
        target.last.as_ref().filter(|last| last.version == version && last.status != JobStatus::Successful)
    {
        return Some(Standing::Failed(format!("the job is {}; {}", last.status, one_line(&target.summary))));
    }
    let there = [
        target.desired.as_ref().map(|desired| (desired.version, &desired.tag)),
        target.active.as_ref().map(|active| (active.version, &active.tag)),
        target.current.as_ref().map(|current| (current.version, &current.tag)),
    ];
    if let Some((_, tag)) = there.into_iter().flatten().find(|(other, _)| is_newer(*other)) {
        return Some(Standing::Overtaken(one_line(tag)));
    }
    if target.decided_at < since {
        return Some(Standing::Moving);
    }
    Some(match target.state {
        TargetState::Waiting => Standing::Waiting(one_line(&target.summary)),
        TargetState::Blocked => Standing::Blocked(one_line(&target.summary)),
        TargetState::NoVersion
        | TargetState::UpToDate
        | TargetState::Deploying
        | TargetState::Failed
        | TargetState::Gone => Standing::Moving,
    })
}

fn verdict<'a>(standings: impl Iterator<Item = &'a Standing>) -> Verdict {
    let (mut any, mut moving, mut waiting, mut blocked, mut failed) = (false, false, false, false, false);
    for standing in standings {
        any = true;
        match standing {
            Standing::UpToDate => {}
            Standing::Moving => moving = true,
            Standing::Waiting(_) => waiting = true,
            Standing::Blocked(_) => blocked = true,
            Standing::Failed(_) | Standing::Overtaken(_) => failed = true,
        }
    }
    match (any, moving, waiting, blocked, failed) {
        (false, ..) => Verdict::Standstill(Outcome::Nowhere),
        (true, true, ..) => Verdict::GoOn,
        // Whatever else waits: it did not get where it should.
        (true, false, _, _, true) => Verdict::Standstill(Outcome::Failed),
        (true, false, true, _, false) => Verdict::GoOn,
        (true, false, false, true, false) => Verdict::Standstill(Outcome::Blocked),
        (true, false, false, false, false) => Verdict::Done,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::id::derive;
    use serde_json::json;

    fn id(tag: &str) -> VersionId {
        VersionId(derive(&["version", tag]))
    }

    fn at(minute: i64) -> Timestamp {
        Timestamp::UNIX_EPOCH + chrono::TimeDelta::minutes(minute)
    }

    /// A target in that state; then `current`, `desired`, `active` and `last`, the last with its status.
    fn target(state: &str, versions: [&str; 4]) -> Target {
        let release = derive(&["release"]);
        let version = |tag: &str| {
            (!tag.is_empty())
                .then(|| json!({ "version": id(tag), "tag": tag, "release": release, "since": at(0) }))
        };
        let job = |text: &str| {
            let (tag, status) = text.split_once(' ').unwrap_or((text, "pending"));
            (!tag.is_empty()).then(|| {
                json!({ "job": release, "release": release, "version": id(tag), "tag": tag, "attempt": 1,
                    "status": status, "at": at(0) })
            })
        };
        let [current, desired, active, last] = versions;
        serde_json::from_value(json!({
            "environment": { "name": "staging" }, "resource": { "name": null }, "state": state, "summary": "so it is",
            "current": version(current), "desired": version(desired), "active": job(active), "last": job(last),
            "decidedAt": at(1),
        }))
        .unwrap()
    }

    #[test]
    fn a_version_stands_differently_on_each_target() {
        let order: HashMap<VersionId, usize> = [(id("v3"), 0), (id("v2"), 1), (id("v1"), 2)].into();
        let so = "so it is".to_owned();
        for (state, versions, expected) in [
            ("upToDate", ["v2", "v2", "", "v2 successful"], Standing::UpToDate),
            ("deploying", ["v2", "v3", "v3", ""], Standing::UpToDate),
            ("deploying", ["v1", "v2", "v2", ""], Standing::Moving),
            ("deploying", ["v1", "v2", "v2", "v2 failure"], Standing::Moving),
            ("upToDate", ["v1", "v1", "", ""], Standing::Moving),
            ("noVersion", ["", "", "", ""], Standing::Moving),
            ("waiting", ["v1", "v1", "", ""], Standing::Waiting(so.clone())),
            ("blocked", ["v1", "v1", "", ""], Standing::Blocked(so)),
            (
                "failed",
                ["v1", "v2", "", "v2 failure"],
                Standing::Failed("the job is failure; so it is".to_owned()),
            ),
            ("upToDate", ["v3", "v3", "", ""], Standing::Overtaken("v3".to_owned())),
        ] {
            assert_eq!(
                standing(&target(state, versions), id("v2"), at(1), &order),
                Some(expected),
                "{state} {versions:?}"
            );
        }
        let early = standing(&target("blocked", ["v1", "v1", "", ""]), id("v2"), at(2), &order);
        assert_eq!(
            early,
            Some(Standing::Moving),
            "what was decided before the version came says nothing of it"
        );
        assert_eq!(standing(&target("gone", ["v1", "", "", ""]), id("v2"), at(1), &order), None);
    }

    #[test]
    fn it_is_over_when_nothing_moves() {
        let (up, moving) = (Standing::UpToDate, Standing::Moving);
        let (waiting, blocked) = (Standing::Waiting(String::new()), Standing::Blocked(String::new()));
        let (failed, overtaken) = (Standing::Failed(String::new()), Standing::Overtaken(String::new()));
        for (standings, expected) in [
            (vec![&up, &up], Verdict::Done),
            (vec![&up, &moving], Verdict::GoOn),
            (vec![&failed, &moving], Verdict::GoOn),
            (vec![&up, &waiting], Verdict::GoOn),
            (vec![&blocked, &waiting], Verdict::GoOn),
            (vec![&up, &blocked], Verdict::Standstill(Outcome::Blocked)),
            (vec![&up, &failed, &waiting], Verdict::Standstill(Outcome::Failed)),
            (vec![&up, &overtaken], Verdict::Standstill(Outcome::Failed)),
            (vec![], Verdict::Standstill(Outcome::Nowhere)),
        ] {
            assert_eq!(verdict(standings.iter().copied()), expected, "{standings:?}");
        }
    }
}
