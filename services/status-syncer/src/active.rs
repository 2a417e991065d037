//! The jobs that are not over: their fold where it is known, their deadlines, their looks, and whether webhooks of
//! their platforms arrive. In memory, from the facts; pure.

use crate::breaker::{LostBreaker, Ruling};
use crate::folded::drop_context;
use crate::pace::{self, Webhooks};
use crate::settings::{Deadlines, Sweep};
use bus::Known;
use domain::Timestamp;
use domain::command::{AgentCommand, Verb};
use domain::id::JobId;
use domain::job::{JobEvent, JobFact, JobRef, JobState, Reason, Source, due, evolve};
use domain::token::Slug;
use std::collections::{BTreeSet, HashMap};

/// The active jobs.
#[derive(Debug, Default)]
pub(crate) struct Actives {
    jobs: HashMap<JobId, Active>,
    due: BTreeSet<(Timestamp, JobId)>,
    unknown: BTreeSet<JobId>,
    webhooks: HashMap<Slug, Timestamp>,
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

    /// The jobs whose deadline has passed, at most that many.
    pub(crate) fn overdue(&self, now: Timestamp, count_max: usize) -> Vec<JobRef> {
        let passed = self.due.iter().take_while(|(at, _)| *at <= now).take(count_max);
        passed.filter_map(|(_, job)| self.jobs.get(job)).map(|active| active.job.clone()).collect()
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

    /// Whether the job may be called lost.
    pub(crate) fn may_be_lost(&mut self, job: JobId, now: Timestamp, limits: &Deadlines) -> Ruling {
        self.lost.rule(job, now, self.jobs.len(), limits)
    }

    /// The looks that are due.
    pub(crate) fn looks(&self, now: Timestamp, settings: &Sweep) -> Vec<Look> {
        self.jobs.values().filter_map(|active| self.look(active, now, settings)).collect()
    }

    /// A look was asked for.
    pub(crate) fn looked(&mut self, look: &Look) {
        if let Some(active) = self.jobs.get_mut(&look.command.job.id) {
            active.looked = Some(look.slot);
        }
    }

    fn look(&self, active: &Active, now: Timestamp, settings: &Sweep) -> Option<Look> {
        let state = active.state.as_ref()?;
        let dispatch = &state.assigned.as_ref()?.dispatch;
        let heard = self.webhooks.get(&dispatch.platform).copied();
        let interval = pace::interval(&state.phase, Webhooks::since(heard, now, settings), settings)?;
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
        let (source, external) = match &event.fact {
            JobFact::Observed(snapshot) => (snapshot.source, &snapshot.external),
            JobFact::Finished(snapshot) => (snapshot.source, &snapshot.external),
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
        match source {
            Source::Webhook => {}
            Source::Read | Source::Ctrlplane => return,
        }
        let state = self.jobs.get(&event.job.id).and_then(|active| active.state.as_ref());
        let assigned = state.and_then(|state| state.assigned.as_ref()).map(|a| a.dispatch.platform.clone());
        if let Some(platform) = assigned.or_else(|| external.as_ref().map(|run| run.platform.clone())) {
            let last = self.webhooks.entry(platform).or_insert(event.at);
            *last = event.at.max(*last);
        }
    }
}
