//! The replay: folds what happened up to each instant, and asks the proposed policies whenever a job was asked for.
//!
//! What happened to a job that is held happens as much later as the job is, or not at all, so that what depends on it
//! (a soak, a cooldown, the next target of a rollout) is judged as it would have been. Of decisions only what ran before the
//! oldest fact is remembered: rollouts place their targets anew.

use super::past::{Extent, Moment, Past};
use super::report::{Cut, CutBy, JudgedJob, LookedAt, Outcome, Report, Totals};
use crate::Timestamp;
use crate::catalog::{Affected, Catalog, WorkspaceCatalog};
use crate::decision::{RuleVerdict, TargetDecision, Verdict};
use crate::entity::{CatalogKey, Entity, GradualRollout, Policy, Record};
use crate::evaluate::{DeploymentView, FactChange, Facts};
use crate::id::{JobId, PolicyId, VersionId};
use crate::job::{JobEvent, JobFact, JobRef, Purpose};
use crate::target::TargetKey;
use crate::token::Slug;
use chrono::TimeDelta;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

/// What is to be tried.
#[derive(Debug, Clone, PartialEq)]
pub struct Question {
    /// The tenant.
    pub workspace: Slug,
    /// The proposed policies. Those of the same id make way for them.
    pub policies: Vec<Record<Policy>>,
    /// From when on jobs are judged.
    pub since: Timestamp,
    /// Where history ends.
    pub until: Timestamp,
}

/// Replays the past through the proposed policies, for as long as `keep_going` says so: then it is cut. It is asked
/// between instants; what happens at one of them, with all that follows from it then, is replayed as a whole.
pub fn backtest(past: Past, question: &Question, keep_going: &mut dyn FnMut() -> bool) -> Report {
    let mut replay = Replay::of(past, question);
    while let Some(now) = replay.next() {
        if !keep_going() {
            replay.extent.cut = Some(Cut { at: now, by: CutBy::Time });
            break;
        }
        while replay.next() == Some(now) {
            replay.step(now);
        }
    }
    replay.report()
}

struct Replay<'a> {
    question: &'a Question,
    /// The last instant of history.
    last: Timestamp,
    extent: Extent,
    looked_at: LookedAt,
    targets: HashSet<TargetKey>,
    proposed: BTreeSet<PolicyId>,
    /// The keys of the proposed policies: what was really stored there does not count.
    keys: BTreeSet<String>,
    catalog: Catalog,
    /// What ran before the oldest fact.
    remembered: BTreeMap<TargetKey, TargetDecision>,
    facts: Facts,
    /// Counts the facts as they are told here.
    told: u64,
    /// What is still to come, by instant and then in order.
    queue: BTreeMap<(Timestamp, u64), Coming>,
    queued: u64,
    /// Jobs of which anything was heard.
    heard: HashSet<JobId>,
    held: BTreeMap<usize, Held>,
    places: HashMap<JobId, usize>,
    wakes: BTreeSet<(Timestamp, usize)>,
    delays: HashMap<JobId, TimeDelta>,
    /// Jobs that never came.
    never: HashSet<JobId>,
    judged: Vec<JudgedJob>,
}

/// One thing that is still to come.
enum Coming {
    /// As it happened.
    Real(Moment),
    /// A fact of a job that was held, at its new instant.
    Late(Box<JobEvent>),
}

/// A job that is not allowed yet.
struct Held {
    job: JobRef,
    since: Timestamp,
    wake: Option<Timestamp>,
    /// When time alone lets it go.
    until: Option<Timestamp>,
    /// Its facts, from the first, with the instants at which they really were stored.
    facts: Vec<(Timestamp, Box<JobEvent>)>,
}

impl<'a> Replay<'a> {
    fn of(past: Past, question: &'a Question) -> Self {
        let mut catalog = Catalog::default();
        let (mut proposed, mut keys) = (BTreeSet::new(), BTreeSet::new());
        for policy in &question.policies {
            let mut entity = Entity::Policy(policy.clone());
            let key = entity.key();
            let since = past.created_at(&key).map_or(question.since, |stored| stored.min(question.since));
            (entity.meta_mut().created_at, entity.meta_mut().updated_at) = (since, since);
            put(&mut catalog, &key, &entity);
            proposed.insert(PolicyId(key.id));
            keys.insert(key.to_string());
        }
        let (moments, remembered, extent) = past.into_parts();
        let before = |cut: Cut| cut.at - TimeDelta::nanoseconds(1);
        let last = extent.cut.map_or(question.until, |cut| before(cut).min(question.until));
        let moments = moments.into_iter().filter(|(at, _)| *at <= last);
        let queue: BTreeMap<_, _> =
            moments.zip(0..).map(|((at, moment), order)| ((at, order), Coming::Real(moment))).collect();
        Self {
            question,
            last,
            extent,
            looked_at: LookedAt::default(),
            targets: HashSet::new(),
            proposed,
            keys,
            catalog,
            remembered,
            facts: Facts::default(),
            told: 0,
            queued: queue.len() as u64,
            queue,
            heard: HashSet::new(),
            held: BTreeMap::new(),
            places: HashMap::new(),
            wakes: BTreeSet::new(),
            delays: HashMap::new(),
            never: HashSet::new(),
            judged: Vec::new(),
        }
    }

    /// When the next thing happens; `None`: nothing does any more.
    fn next(&self) -> Option<Timestamp> {
        let wake = self.wakes.first().map(|(at, _)| *at);
        let coming = self.queue.first_key_value().map(|((at, _), _)| *at);
        wake.into_iter().chain(coming).min().filter(|at| *at <= self.last)
    }

    /// Makes the next thing happen, which is due now.
    fn step(&mut self, now: Timestamp) {
        if self.wakes.first().is_some_and(|(at, _)| *at == now) {
            let due = self.wakes.iter().take_while(|(at, _)| *at == now).map(|(_, place)| *place).collect();
            self.ask_again(due, now);
            return;
        }
        let Some((_, coming)) = self.queue.pop_first() else { return };
        match coming {
            Coming::Real(Moment::Catalog { revision, key, value }) => {
                self.looked_at.changes += 1;
                self.changed(&key, value.as_deref(), revision, now);
            }
            Coming::Real(Moment::Job(event)) => {
                self.looked_at.facts += 1;
                if !event.job.target.is_none() {
                    self.targets.insert(event.job.target);
                }
                self.happened(event, now);
            }
            Coming::Late(event) => self.tell(&event, now),
        }
    }

    fn changed(&mut self, key: &str, value: Option<&[u8]>, revision: u64, now: Timestamp) {
        if self.keys.contains(key) {
            return;
        }
        let applied = self.catalog.apply(key, value, revision);
        if let Some(why) = applied.broken {
            self.extent.unreadable.change(now, revision, key, why);
        }
        let affected = applied.affected;
        let concerned = self.holding(|held| match &affected {
            Affected::Deployments(deployments) => deployments.contains(&held.target.deployment),
            Affected::Workspace => true,
        });
        self.ask_again(concerned, now);
    }

    /// Takes in a fact as it happened.
    fn happened(&mut self, event: Box<JobEvent>, now: Timestamp) {
        let bringing = match event.job.purpose {
            Purpose::Deploy => event.job.id,
            Purpose::Verify { of, .. } => of,
            // Policies are about what is brought to targets.
            Purpose::Workflow { .. } => return,
        };
        if self.never.contains(&bringing) {
            return;
        }
        if let Some(held) = self.places.get(&bringing).and_then(|place| self.held.get_mut(place)) {
            held.facts.push((now, event));
            return;
        }
        if let Some(delay) = self.delays.get(&bringing).copied() {
            self.later(event, now, delay);
            return;
        }
        let is_new = self.heard.insert(event.job.id) && event.job.purpose.is_deploy();
        let begins = is_new && matches!(event.fact, JobFact::Requested { .. });
        if begins {
            self.overtake(&event.job);
            if now >= self.question.since && !self.judge(&event, now) {
                return;
            }
        }
        self.tell(&event, now);
    }

    /// Folds a fact, and asks again for those whom it may concern.
    fn tell(&mut self, event: &JobEvent, now: Timestamp) {
        self.told += 1;
        let mut event = event.clone();
        // What measures a job is named by the instant of its success, which may be another one here.
        if let Purpose::Verify { of, policy, rule_index } = event.job.purpose
            && let Some(success) = self.facts.job(of)
        {
            event.job.id = JobId::of_verification(of, success.at, policy, rule_index);
        }
        match self.facts.apply(&event, self.told) {
            FactChange::Nothing => {}
            FactChange::Started | FactChange::Reopened | FactChange::Ended | FactChange::EndedAgain => {
                let target = event.job.target;
                let concerned = self.holding(|held| {
                    held.target.deployment == target.deployment || held.target.resource == target.resource
                });
                self.ask_again(concerned, now);
            }
        }
    }

    /// Puts a fact off.
    fn later(&mut self, mut event: Box<JobEvent>, stored: Timestamp, delay: TimeDelta) {
        event.at += delay;
        let at = stored + delay;
        if at <= self.last {
            self.queue.insert((at, self.queued), Coming::Late(event));
            self.queued += 1;
        }
    }

    /// What is held on the target makes way for a newer version.
    fn overtake(&mut self, newer: &JobRef) {
        for place in self.holding(|held| held.target == newer.target) {
            let is_older = self.held.get(&place).is_some_and(|held| {
                let age = |version| self.workspace().and_then(|ws| age(ws, version));
                age(held.job.version).zip(age(newer.version)).is_some_and(|(held, newer)| held < newer)
            });
            if is_older && let Some(held) = self.release(place) {
                self.never.insert(held.job.id);
                self.judged[place].outcome = Outcome::Overtaken { by: newer.tag.clone() };
            }
        }
    }

    /// Judges a job that was asked for now, and tells whether it goes.
    fn judge(&mut self, event: &JobEvent, now: Timestamp) -> bool {
        let obstacles = self.obstacles([&event.job], now).into_iter().next().flatten();
        let mut judged = self.describe(&event.job, now);
        let goes = match &obstacles {
            None => {
                judged.outcome = Outcome::Unknown;
                true
            }
            Some(obstacles) => obstacles.is_empty(),
        };
        let place = self.judged.len();
        self.judged.push(judged);
        if let (false, Some(obstacles)) = (goes, obstacles) {
            let facts = vec![(now, Box::new(event.clone()))];
            let held = Held { job: event.job.clone(), since: now, wake: None, until: None, facts };
            self.held.insert(place, held);
            self.places.insert(event.job.id, place);
            self.hold(place, &obstacles, now);
        }
        goes
    }

    /// Asks once more for what is held.
    fn ask_again(&mut self, places: Vec<usize>, now: Timestamp) {
        let jobs = places.iter().filter_map(|place| self.held.get(place)).map(|held| &held.job);
        let answers = self.obstacles(jobs, now);
        for (place, obstacles) in places.into_iter().zip(answers) {
            match obstacles {
                // Its target or version is gone: it may come back.
                None => self.hold(place, &[], now),
                Some(obstacles) if obstacles.is_empty() => self.let_go(place, now),
                Some(obstacles) => self.hold(place, &obstacles, now),
            }
        }
    }

    fn hold(&mut self, place: usize, obstacles: &[RuleVerdict], now: Timestamp) {
        let Some(held) = self.held.get_mut(&place) else { return };
        let wake = obstacles.iter().filter_map(|said| said.changes_at).filter(|at| *at > now).min();
        if let Some(before) = held.wake {
            self.wakes.remove(&(before, place));
        }
        held.wake = wake;
        held.until = passes(obstacles);
        self.wakes.extend(wake.map(|at| (at, place)));
        self.judged[place].note(obstacles);
    }

    fn let_go(&mut self, place: usize, now: Timestamp) {
        let Some(held) = self.release(place) else { return };
        let delay = now - held.since;
        self.judged[place].outcome = Outcome::Delayed { until: now, by_seconds: delay.num_seconds() };
        self.delays.insert(held.job.id, delay);
        for (stored, event) in held.facts {
            self.later(event, stored, delay);
        }
    }

    fn release(&mut self, place: usize) -> Option<Held> {
        let held = self.held.remove(&place)?;
        if let Some(wake) = held.wake {
            self.wakes.remove(&(wake, place));
        }
        self.places.remove(&held.job.id);
        Some(held)
    }

    fn holding(&self, is_concerned: impl Fn(&JobRef) -> bool) -> Vec<usize> {
        self.held.iter().filter(|(_, held)| is_concerned(&held.job)).map(|(place, _)| *place).collect()
    }

    /// What does not allow each of the jobs now; `None`: the catalog does not have its target or version.
    fn obstacles<'j>(
        &self,
        jobs: impl IntoIterator<Item = &'j JobRef>,
        now: Timestamp,
    ) -> Vec<Option<Vec<RuleVerdict>>> {
        let Some(ws) = self.workspace() else { return jobs.into_iter().map(|_| None).collect() };
        let mut views = BTreeMap::new();
        let of = |job: &JobRef| {
            let deployment = job.target.deployment;
            let view = views
                .entry(deployment)
                .or_insert_with(|| DeploymentView::of(ws, &self.facts, &self.remembered, deployment, now));
            let mut said = view.verdicts(&job.target, job.version, &self.proposed)?;
            said.retain(|said| !said.verdict.allows());
            Some(said)
        };
        jobs.into_iter().map(of).collect()
    }

    fn workspace(&self) -> Option<&WorkspaceCatalog> {
        self.catalog.workspace(&self.question.workspace)
    }

    fn describe(&self, job: &JobRef, now: Timestamp) -> JudgedJob {
        let ws = self.workspace();
        let deployment = ws.and_then(|ws| ws.deployment(job.target.deployment));
        let environment = ws.and_then(|ws| ws.environment(job.target.environment));
        let resource = ws.and_then(|ws| ws.resource(job.target.resource));
        JudgedJob {
            job: job.id,
            version: job.tag.clone(),
            deployment: deployment.map_or_else(|| job.deployment.to_string(), |d| d.meta.name.clone()),
            environment: environment.map_or_else(|| job.environment.to_string(), |e| e.meta.name.clone()),
            resource: resource.map_or_else(|| job.target.resource.to_string(), |r| r.meta.name.clone()),
            requested_at: now,
            outcome: Outcome::Allowed,
            held_by: Vec::new(),
        }
    }

    fn report(mut self) -> Report {
        for (place, held) in std::mem::take(&mut self.held) {
            self.judged[place].outcome =
                held.until.map_or(Outcome::Stopped, |until| Outcome::Waiting { until });
        }
        let Question { policies, since, until, .. } = self.question;
        let Extent { oldest_fact, folded, unreadable, cut, limits } = self.extent;
        let until = cut.map_or(*until, |cut| cut.at);
        let LookedAt { facts, changes, .. } = self.looked_at;
        Report {
            since: *since,
            until,
            looked_at: LookedAt {
                facts: facts + folded,
                targets: self.targets.len() as u64,
                days: oldest_fact.map_or(0, |oldest| days(until - oldest)),
                oldest_fact,
                remembered: self.remembered.len() as u64,
                changes,
                unreadable,
                cut,
                limits,
            },
            policies: policies.iter().map(|policy| policy.meta.name.clone()).collect(),
            totals: Totals::of(&self.judged),
            jobs: self.judged,
        }
    }
}

/// That many days, begun ones included: at least the one of the instant itself.
fn days(length: TimeDelta) -> u64 {
    let millis = u64::try_from(length.num_milliseconds()).unwrap_or(0);
    millis.div_ceil(24 * 60 * 60 * 1000).max(1)
}

/// When time alone has let everything pass. A rollout that has not begun only waits for the others.
fn passes(obstacles: &[RuleVerdict]) -> Option<Timestamp> {
    let mut latest = None;
    for said in obstacles {
        match said.verdict {
            Verdict::Allow => {}
            Verdict::Deny => return None,
            Verdict::Wait { until: Some(until) } => latest = latest.max(Some(until)),
            Verdict::Wait { until: None } if is_rollout(said) => {}
            Verdict::Wait { until: None } => return None,
        }
    }
    latest
}

fn is_rollout(said: &RuleVerdict) -> bool {
    said.rule == GradualRollout::RULE
}

/// Orders versions, the newer the greater.
fn age(ws: &WorkspaceCatalog, version: VersionId) -> Option<(Timestamp, VersionId)> {
    ws.version(version).map(|record| (record.meta.created_at, version))
}

fn put(catalog: &mut Catalog, key: &CatalogKey, entity: &Entity) {
    let value = serde_json::to_vec(entity).expect("an entity is plain data");
    catalog.apply(&key.to_string(), Some(&value), 0);
}
