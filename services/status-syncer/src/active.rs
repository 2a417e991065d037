//! The jobs that are not over: their fold where it is known, their deadlines, their looks, and whether webhooks of
//! their platforms arrive. In memory, from the facts; pure.

use crate::breaker::{LostBreaker, Ruling};
use crate::folded::drop_context;
use crate::pace::{self, News, Webhooks};
use crate::settings::{Deadlines, Sweep};
use bus::Known;
use domain::Timestamp;
use domain::command::{AgentCommand, Verb};
use domain::id::{JobAgentId, JobId};
use domain::job::{JobEvent, JobFact, JobRef, JobState, Overdue, Reason, Source, due, evolve};
use domain::webhook::{Account, Health};
use std::collections::{BTreeSet, HashMap};

/// The active jobs.
#[derive(Debug, Default)]
pub(crate) struct Actives {
    jobs: HashMap<JobId, Active>,
    due: BTreeSet<(Timestamp, JobId)>,
    unknown: BTreeSet<JobId>,
    /// When news of each agent's jobs last came: two agents of one platform have webhooks of their own.
    news: HashMap<JobAgentId, News>,
    /// What platforms' logs say of webhooks, by their keys in the bucket.
    accounts: HashMap<String, Account>,
    lost: LostBreaker,
}

#[derive(Debug)]
struct Active {
    job: JobRef,
    sequence: u64,
    /// `None`: we have not seen all facts, they must be read.
    state: Option<JobState>,
    due: Option<Timestamp>,
    /// The last slot in which it was looked at, and how long slots were.
    looked: Option<(u32, i64)>,
}

/// A job whose deadline has passed.
#[derive(Debug, Clone)]
pub(crate) struct Passed {
    /// Which job.
    pub(crate) job: JobRef,
    /// Whether it may be called lost, where that is the question.
    pub(crate) ruling: Option<Ruling>,
}

/// A look that is due.
#[derive(Debug, Clone)]
pub(crate) struct Look {
    /// What the agent is asked.
    pub(crate) command: AgentCommand,
    /// The same in every replica, so that one of them is heard.
    pub(crate) message_id: String,
    slot: (u32, i64),
}

impl Actives {
    /// A fact was recorded, after the one of sequence `previous`.
    pub(crate) fn tell(&mut self, sequence: u64, previous: Option<u64>, event: &JobEvent) {
        let id = event.job.id;
        self.hear(event);
        if let JobFact::Finished(snapshot) = &event.fact {
            if snapshot.reason == Some(Reason::Lost) {
                self.lost.note(id, event.at);
            }
            self.remove(id);
            return;
        }
        let known = match self.jobs.get_mut(&id) {
            Some(active) if active.sequence >= sequence => return,
            Some(active) if previous == Some(active.sequence) => active.state.take().map(Some),
            Some(_) => None,
            None if previous == Some(0) => Some(None),
            None => None,
        };
        let state = known.map(|state| evolve(state, event));
        self.put(event.job.clone(), sequence, state);
    }

    /// A job was read.
    pub(crate) fn learn(&mut self, known: Known) {
        let Known { state, sequence } = known;
        match self.jobs.get(&state.job.id) {
            Some(active) if active.sequence > sequence => {}
            Some(_) if state.is_finished() => self.remove(state.job.id),
            Some(_) => self.put(state.job.clone(), sequence, Some(state)),
            // It ended meanwhile.
            None => {}
        }
    }

    /// A job is not there at all.
    pub(crate) fn remove(&mut self, job: JobId) {
        if let Some(active) = self.jobs.remove(&job)
            && let Some(at) = active.due
        {
            self.due.remove(&(at, job));
        }
        self.unknown.remove(&job);
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.jobs.len()
    }

    /// Jobs whose facts must be read, at most that many.
    pub(crate) fn unknown(&self, count_max: usize) -> Vec<JobRef> {
        let jobs = self.unknown.iter().take(count_max);
        jobs.filter_map(|job| self.jobs.get(job)).map(|active| active.job.clone()).collect()
    }

    /// When the next deadline passes.
    pub(crate) fn next_due(&self) -> Option<Timestamp> {
        self.due.first().map(|(at, _)| *at)
    }

    /// The jobs whose deadline has passed, earliest first, at most that many. Which of them may be called lost is ruled
    /// here, in that order, and only while every job is known: so replicas that do this at the same moment choose the
    /// same jobs.
    pub(crate) fn overdue(&mut self, now: Timestamp, limits: &Deadlines, count_max: usize) -> Vec<Passed> {
        let (jobs, lost, active) = (&self.jobs, &mut self.lost, self.jobs.len());
        let may_rule = self.unknown.is_empty();
        let passed = self.due.iter().take_while(|(at, _)| *at <= now);
        passed
            .filter_map(|(_, job)| jobs.get(job))
            .filter_map(|Active { job, state, .. }| {
                let then = state.as_ref().and_then(due).map(|due| due.then);
                let ruling = match then {
                    Some(Overdue::Lost) if may_rule => Some(lost.rule(job.id, now, active, limits)),
                    Some(Overdue::Lost) => return None,
                    Some(Overdue::Cancel | Overdue::ForceCancel | Overdue::GiveUp) | None => None,
                };
                Some(Passed { job: job.clone(), ruling })
            })
            .take(count_max)
            .collect()
    }

    /// Whether the job's deadline has passed.
    pub(crate) fn is_overdue(&self, job: JobId, now: Timestamp) -> bool {
        self.jobs.get(&job).and_then(|active| active.due).is_some_and(|at| at <= now)
    }

    /// Nothing more to do about the job's deadline before that moment, unless a new fact comes.
    pub(crate) fn postpone(&mut self, job: JobId, until: Timestamp) {
        if let Some(active) = self.jobs.get_mut(&job) {
            if let Some(at) = active.due.replace(until) {
                self.due.remove(&(at, job));
            }
            self.due.insert((until, job));
        }
    }

    /// The account of a webhook has changed; `None`: it is gone.
    pub(crate) fn account(&mut self, key: String, account: Option<Account>) {
        match account {
            Some(account) => self.accounts.insert(key, account),
            None => self.accounts.remove(&key),
        };
    }

    /// The looks that are due.
    pub(crate) fn looks(&self, now: Timestamp, settings: &Sweep) -> Vec<Look> {
        let health = self.health(now);
        self.jobs.values().filter_map(|active| self.look(active, &health, now, settings)).collect()
    }

    /// How far the webhooks of each agent can be relied on: where it has several, one that fails is enough to look closely.
    fn health(&self, now: Timestamp) -> HashMap<JobAgentId, Health> {
        let mut of_agents = HashMap::new();
        for account in self.accounts.values() {
            let health = account.health(now);
            for user in &account.users {
                let known = of_agents.entry(user.agent).or_insert(health);
                *known = match (*known, health) {
                    (Health::Failing, _) | (_, Health::Failing) => Health::Failing,
                    (Health::Arriving, _) | (_, Health::Arriving) => Health::Arriving,
                    (Health::Unknown, Health::Unknown) => Health::Unknown,
                };
            }
        }
        of_agents
    }

    /// A look was asked for.
    pub(crate) fn looked(&mut self, look: &Look) {
        if let Some(active) = self.jobs.get_mut(&look.command.job.id) {
            active.looked = Some(look.slot);
        }
    }

    fn look(
        &self,
        active: &Active,
        health: &HashMap<JobAgentId, Health>,
        now: Timestamp,
        settings: &Sweep,
    ) -> Option<Look> {
        let state = active.state.as_ref()?;
        let dispatch = &state.assigned.as_ref()?.dispatch;
        let news = self.news.get(&dispatch.agent).copied().unwrap_or_default();
        let health = health.get(&dispatch.agent).copied().unwrap_or(Health::Unknown);
        let webhooks = Webhooks::judge(health, news, now, settings);
        let interval = pace::interval(&state.phase, webhooks, settings)?;
        let confirmed = state.confirmed_at.map_or(state.phase_since, |at| at.max(state.phase_since));
        let slot = (interval, pace::slot(state.job.id, now, interval));
        if (now - confirmed).num_seconds() < i64::from(interval) || active.looked == Some(slot) {
            return None;
        }
        Some(Look {
            message_id: format!("o-{}-{}-{}", state.job.id, slot.0, slot.1),
            command: AgentCommand {
                verb: Verb::Observe,
                job: state.job.clone(),
                agent: dispatch.agent,
                platform: dispatch.platform.clone(),
                config: dispatch.config.clone(),
                after: active.sequence,
                rerun_of: None,
                force: false,
                freezes_seen: Default::default(),
                freeze_begins_at: None,
                secrets: Default::default(),
            },
            slot,
        })
    }

    fn put(&mut self, job: JobRef, sequence: u64, mut state: Option<JobState>) {
        let id = job.id;
        if let Some(state) = &mut state {
            drop_context(state);
        }
        let next = state.as_ref().and_then(due).map(|due| due.at);
        if state.is_some() {
            self.unknown.remove(&id);
        } else {
            self.unknown.insert(id);
        }
        let looked = self.jobs.get(&id).and_then(|active| active.looked);
        let before = self.jobs.insert(id, Active { job, sequence, state, due: next, looked });
        if let Some(at) = before.and_then(|before| before.due) {
            self.due.remove(&(at, id));
        }
        if let Some(at) = next {
            self.due.insert((at, id));
        }
    }

    fn hear(&mut self, event: &JobEvent) {
        let source = match &event.fact {
            JobFact::Observed(snapshot) => snapshot.source,
            JobFact::Finished(snapshot) => snapshot.source,
            JobFact::Requested { .. }
            | JobFact::Held { .. }
            | JobFact::Dispatched(_)
            | JobFact::TriggerStarted { .. }
            | JobFact::Triggered { .. }
            | JobFact::TriggerUnknown { .. }
            | JobFact::CancelRequested { .. }
            | JobFact::CancelSent { .. }
            | JobFact::RetryRequested { .. } => return,
        };
        let state = self.jobs.get(&event.job.id).and_then(|active| active.state.as_ref());
        if let Some(assigned) = state.and_then(|state| state.assigned.as_ref()) {
            let news = self.news.entry(assigned.dispatch.agent).or_default();
            match source {
                Source::Webhook => news.heard = news.heard.max(Some(event.at)),
                // A webhook may only have been a reason to look.
                Source::Read if event.cause.as_deref().is_some_and(is_a_delivery) => {
                    news.heard = news.heard.max(Some(event.at));
                }
                Source::Read => news.looked_up = news.looked_up.max(Some(event.at)),
                Source::Ctrlplane => {}
            }
        }
    }
}

/// Whether a fact was caused by something that came in, and not by one of our own commands.
fn is_a_delivery(cause: &str) -> bool {
    !cause.starts_with("ctrlplane.command.")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{
        ago, dispatched, event, finished, in_progress, job, requested, slug, trigger_started, triggered,
    };
    use chrono::TimeDelta;
    use domain::id::derive;
    use domain::job::{Dispatch, fold};
    use domain::webhook::{Answer, Attempt, Hook, HookUser};

    fn told(actives: &mut Actives, n: usize, at: Timestamp, facts: &[JobFact]) {
        let mut previous = 0;
        for (i, fact) in facts.iter().enumerate() {
            let sequence = (n * 100 + i + 1) as u64;
            actives.tell(sequence, Some(previous), &event(&job(n), at, fact.clone()));
            previous = sequence;
        }
    }

    #[test]
    fn a_job_is_active_until_it_is_over_and_again_when_it_runs_again() {
        let mut actives = Actives::default();
        let at = ago(TimeDelta::zero());
        told(&mut actives, 1, at, &[requested(), dispatched(), trigger_started(), triggered(1)]);
        assert_eq!((actives.len(), actives.unknown(9).len()), (1, 0));
        actives.tell(105, Some(104), &event(&job(1), at, finished(Source::Read, 1)));
        assert_eq!((actives.len(), actives.next_due()), (0, None));
        actives.tell(106, Some(105), &event(&job(1), at, JobFact::RetryRequested { by: "ann".into() }));
        assert_eq!(actives.unknown(9), [job(1)], "its facts before must be read");
    }

    #[test]
    fn a_gap_makes_a_job_unknown_until_it_is_read_and_an_old_read_does_not_count() {
        let mut actives = Actives::default();
        let at = ago(TimeDelta::zero());
        told(&mut actives, 1, at, &[requested(), dispatched()]);
        actives.tell(104, Some(103), &event(&job(1), at, triggered(1)));
        assert_eq!((actives.unknown(9).len(), actives.next_due()), (1, None));
        let state = |facts: &[JobFact]| {
            let events: Vec<JobEvent> = facts.iter().map(|fact| event(&job(1), at, fact.clone())).collect();
            fold(&events).unwrap()
        };
        let facts = [requested(), dispatched(), trigger_started(), triggered(1)];
        actives.learn(Known { state: state(&facts[..3]), sequence: 103 });
        assert_eq!(actives.unknown(9).len(), 1);
        actives.learn(Known { state: state(&facts), sequence: 104 });
        assert_eq!(actives.unknown(9).len(), 0);
        assert_eq!(actives.next_due(), due(&state(&facts)).map(|due| due.at));
    }

    #[test]
    fn running_jobs_are_looked_at_slowly_while_webhooks_arrive_and_once_per_slot() {
        let settings = Sweep::default();
        let mut actives = Actives::default();
        let now = ago(TimeDelta::zero());
        let facts = [requested(), dispatched(), trigger_started(), triggered(1)];
        told(&mut actives, 1, now - TimeDelta::seconds(100), &facts);
        let looks = actives.looks(now, &settings);
        assert_eq!(looks.len(), 1, "no webhook was ever heard");
        let (command, id) = (&looks[0].command, &looks[0].message_id);
        assert_eq!(
            (command.verb, command.after, command.config["repo"].as_str()),
            (Verb::Observe, 104, Some("web"))
        );
        assert!(id.starts_with(&format!("o-{}-15-", job(1).id)), "{id}");
        actives.looked(&looks[0]);
        assert!(actives.looks(now, &settings).is_empty());
        assert_eq!(actives.looks(now + TimeDelta::seconds(15), &settings).len(), 1);
        // A webhook for another job of the platform: webhooks arrive.
        told(&mut actives, 2, now, &[&facts[..], &[in_progress(Source::Webhook, 1)]].concat());
        assert!(actives.looks(now + TimeDelta::seconds(15), &settings).is_empty());
        // What another agent's webhook brings says nothing of this one's.
        let JobFact::Dispatched(dispatch) = dispatched() else { panic!("it is dispatched") };
        let other = JobFact::Dispatched(Dispatch { agent: JobAgentId(derive(&["another"])), ..dispatch });
        let theirs = [requested(), other, trigger_started(), triggered(1)];
        told(&mut actives, 3, now - TimeDelta::seconds(100), &theirs);
        let looks = actives.looks(now + TimeDelta::seconds(15), &settings);
        assert_eq!(looks.iter().map(|look| look.command.job.id).collect::<Vec<_>>(), [job(3).id]);
        actives.remove(job(3).id);
        // So does a look that a webhook gave rise to, and no other look.
        for (cause, arrive) in
            [("https://gitlab.com/acme/web 7", true), ("ctrlplane.command.p.a.observe.j 9", false)]
        {
            let mut actives = Actives::default();
            told(&mut actives, 1, now - TimeDelta::seconds(1_000), &facts);
            let at = now - TimeDelta::seconds(400);
            let mut seen = event(&job(1), at, in_progress(Source::Read, 1));
            seen.cause = Some(cause.to_owned());
            actives.tell(105, Some(104), &seen);
            assert_eq!(actives.looks(now, &settings)[0].message_id.contains("-300-"), arrive, "{cause}");
        }
        let slow: Vec<_> = actives.looks(now + TimeDelta::seconds(300), &settings);
        assert!(!slow.is_empty() && slow.iter().all(|look| look.message_id.contains("-300-")), "{slow:?}");
    }

    #[test]
    fn the_platform_s_log_decides_how_often_is_looked() {
        let settings = Sweep::default();
        let mut actives = Actives::default();
        let now = ago(TimeDelta::zero());
        let facts = [requested(), dispatched(), trigger_started(), triggered(1)];
        told(&mut actives, 1, now - TimeDelta::seconds(100), &facts);
        let attempt = |id: &str, seconds: i64, status| Attempt {
            id: id.to_owned(),
            delivery: id.to_owned(),
            event: "workflow_run".to_owned(),
            at: now - TimeDelta::seconds(seconds),
            answer: Answer::of_status(status),
            is_repeat: false,
        };
        let hook = Hook { platform: slug("github-actions"), host: "h".into(), scope: "app 1".into() };
        let user =
            HookUser { workspace: slug("acme"), agent: JobAgentId(derive(&["agent"])), name: "ci".into() };
        let since = now - TimeDelta::hours(12);
        let mut account = Account::begin(hook.clone(), vec![user], since, now);
        account.take_in(vec![attempt("1", 40_000, 202)], |_| true);
        account.looked_at = Some(now);

        actives.account(hook.key(), Some(account.clone()));
        assert!(actives.looks(now, &settings).is_empty(), "silent for hours, and in order");
        account.take_in(vec![attempt("2", 5, 503)], |_| true);
        actives.account(hook.key(), Some(account.clone()));
        assert_eq!(actives.looks(now, &settings).len(), 1, "something is missing");
        account
            .take_in(vec![Attempt { is_repeat: true, delivery: "2".into(), ..attempt("3", 1, 202) }], |_| {
                true
            });
        actives.account(hook.key(), Some(account));
        assert!(actives.looks(now, &settings).is_empty(), "it came after all");
        actives.account(hook.key(), None);
        assert_eq!(actives.looks(now, &settings).len(), 1, "nobody knows, and none was heard");
    }

    #[test]
    fn replicas_call_the_same_jobs_lost() {
        let old = ago(TimeDelta::days(2));
        let facts = [requested(), dispatched(), trigger_started()];
        let mut chosen = Vec::new();
        for order in [[0, 1, 2, 3, 4, 5, 6, 7, 8, 9], [9, 8, 7, 6, 5, 4, 3, 2, 1, 0]] {
            let mut actives = Actives::default();
            for n in order {
                told(&mut actives, n, old + TimeDelta::seconds(n as i64), &facts);
            }
            let passed = actives.overdue(ago(TimeDelta::zero()), &Deadlines::default(), 100);
            assert_eq!(passed.len(), 10);
            let marked: Vec<JobId> = passed
                .iter()
                .filter(|passed| passed.ruling == Some(Ruling::Mark))
                .map(|passed| passed.job.id)
                .collect();
            chosen.push(marked);
            actives.tell(9_999, Some(9_998), &event(&job(77), old, triggered(77)));
            assert!(actives.overdue(ago(TimeDelta::zero()), &Deadlines::default(), 100).is_empty());
        }
        assert_eq!(chosen[0].len(), 5);
        assert_eq!(chosen[0], chosen[1]);
    }
}
