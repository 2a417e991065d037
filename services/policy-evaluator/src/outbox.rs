//! Hints on their way out: at most one per deployment waits, and takes up what comes after it; a bounded number
//! is being published. A hint that cannot be published is no loss: what it is about stays marked in every replica.

use bus::{Bus, crash_point};
use domain::hint::Hint;
use domain::id::DeploymentId;
use domain::subject;
use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

/// Hints to be published.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    state: Mutex<State>,
    wake: Notify,
}

#[derive(Debug, Default)]
struct State {
    waiting: HashMap<DeploymentId, Waiting>,
    order: VecDeque<DeploymentId>,
    in_flight: HashSet<DeploymentId>,
}

/// A hint and its message id: replicas that saw the same cause give the same id, so that one hint survives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Waiting {
    pub(crate) hint: Hint,
    pub(crate) id: String,
}

impl Outbox {
    /// Puts a hint in. One that waits already for the deployment is replaced: the newer one asks for as much or more.
    pub(crate) fn put(&self, hint: Hint, id: String) {
        let deployment = hint.deployment;
        let mut state = self.state();
        match state.waiting.insert(deployment, Waiting { hint, id }) {
            Some(before) => {
                metrics::counter!("evaluator_hints_coalesced_total").increment(1);
                let waiting = state.waiting.get_mut(&deployment).expect("it was inserted above");
                waiting.hint.catalog_revision =
                    waiting.hint.catalog_revision.max(before.hint.catalog_revision);
                waiting.hint.jobs_sequence = waiting.hint.jobs_sequence.max(before.hint.jobs_sequence);
            }
            None => state.order.push_back(deployment),
        }
        drop(state);
        self.wake.notify_one();
    }

    /// Publishes until the drain.
    pub(crate) async fn run(&self, bus: &Bus, in_flight_max: usize, drain: CancellationToken) {
        let mut publishing = JoinSet::new();
        loop {
            while publishing.len() < in_flight_max {
                let Some(next) = self.take() else { break };
                let bus = bus.clone();
                publishing.spawn(async move {
                    let deployment = next.hint.deployment;
                    publish(&bus, next).await;
                    deployment
                });
            }
            tokio::select! {
                () = drain.cancelled() => break,
                () = self.wake.notified(), if publishing.len() < in_flight_max => {}
                Some(done) = publishing.join_next() => self.done(done),
            }
        }
        while let Some(done) = publishing.join_next().await {
            self.done(done);
        }
    }

    /// The oldest that waits and whose predecessor is not being published.
    fn take(&self) -> Option<Waiting> {
        let mut state = self.state();
        let at = state.order.iter().position(|deployment| !state.in_flight.contains(deployment))?;
        let deployment = state.order.remove(at)?;
        let waiting = state.waiting.remove(&deployment)?;
        state.in_flight.insert(deployment);
        Some(waiting)
    }

    fn done(&self, done: Result<DeploymentId, tokio::task::JoinError>) {
        match done {
            Ok(deployment) => {
                self.state().in_flight.remove(&deployment);
            }
            Err(error) => {
                tracing::error!(%error, "publishing a hint panicked");
                // Which one is not known any more: none may wait for it. Two of one deployment at once do no harm.
                self.state().in_flight.clear();
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn publish(bus: &Bus, Waiting { hint, id }: Waiting) {
    let span = tracing::info_span!("hint", workspace = %hint.workspace, deployment = %hint.deployment, cause = hint.cause);
    telemetry::set_parent(&span, hint.traceparent.as_deref());
    async {
        crash_point("policy-evaluator.hint.before");
        let subject = subject::evaluate(&hint.workspace, hint.deployment);
        match bus.publish_json(subject, &hint, Some(&id)).await {
            Ok(published) => {
                metrics::counter!("evaluator_hints_published_total", "duplicate" => published.duplicate.to_string())
                    .increment(1);
            }
            Err(error) => {
                metrics::counter!("evaluator_hints_failed_total").increment(1);
                tracing::warn!(%error, "a hint could not be published; every replica will look by itself");
            }
        }
        crash_point("policy-evaluator.hint.after");
    }
    .instrument(span)
    .await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::id::derive;

    fn hint(deployment: &str, catalog_revision: u64, jobs_sequence: u64) -> Hint {
        Hint {
            workspace: "acme".parse().unwrap(),
            deployment: DeploymentId(derive(&[deployment])),
            catalog_revision,
            jobs_sequence,
            cause: "test".into(),
            traceparent: None,
        }
    }

    #[test]
    fn a_waiting_hint_takes_up_what_comes_after_it_and_one_in_flight_is_not_overtaken() {
        let outbox = Outbox::default();
        outbox.put(hint("a", 5, 0), "1".into());
        outbox.put(hint("b", 1, 1), "2".into());
        outbox.put(hint("a", 3, 7), "3".into());
        let first = outbox.take().unwrap();
        assert_eq!(first, Waiting { hint: hint("a", 5, 7), id: "3".into() });
        outbox.put(hint("a", 9, 9), "4".into());
        assert_eq!(outbox.take().unwrap().id, "2");
        assert_eq!(outbox.take(), None);
        outbox.done(Ok(first.hint.deployment));
        assert_eq!(outbox.take().unwrap().id, "4");
    }
}
