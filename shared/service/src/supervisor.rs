//! Owns the tasks of a service, or of several in one process: one that fails brings all down, a drain lets all finish,
//! and none outlives its supervisor. It does not know signals.

use std::collections::BTreeMap;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::FutureExt as _;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How long tasks that were cut off may take to notice.
const CUT_OFF_MAX: Duration = Duration::from_secs(1);

/// A handle to the tasks of a service; clones are the same supervisor.
#[derive(Clone)]
pub struct Supervisor {
    name: Arc<str>,
    drain: CancellationToken,
    cut_off: CancellationToken,
    tasks: TaskTracker,
    root: Arc<Root>,
}

/// What a supervisor shares with those under it.
struct Root {
    drain: CancellationToken,
    tasks: TaskTracker,
    running: Mutex<BTreeMap<u64, String>>,
    next: AtomicU64,
    failure: Mutex<Option<Failure>>,
}

/// Why a service came down.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// A task gave up while the service should have been working.
    #[error("{task} failed")]
    Failed {
        /// Service and task.
        task: String,
        /// What it gave up on.
        source: anyhow::Error,
    },
    /// A task panicked.
    #[error("{task} panicked: {message}")]
    Panicked {
        /// Service and task.
        task: String,
        /// Of the panic, redacted.
        message: String,
    },
    /// Work was cut off because the drain took too long.
    #[error("cut off after {} s of draining: {}", limit.as_secs_f32(), tasks.join(", "))]
    CutOff {
        /// Of the drain.
        limit: Duration,
        /// Those that did not end in time.
        tasks: Vec<String>,
    },
}

impl Supervisor {
    /// One for a whole process.
    pub fn new(name: &str) -> Self {
        let (drain, tasks) = (CancellationToken::new(), TaskTracker::new());
        let root = Root {
            drain: drain.clone(),
            tasks: tasks.clone(),
            running: Mutex::default(),
            next: AtomicU64::new(0),
            failure: Mutex::default(),
        };
        Self { name: name.into(), drain, cut_off: CancellationToken::new(), tasks, root: Arc::new(root) }
    }

    /// One for a service inside the process: drained with its parent or alone; a failure brings the whole process down.
    pub fn child(&self, name: &str) -> Self {
        Self {
            name: name.into(),
            drain: self.drain.child_token(),
            cut_off: self.cut_off.child_token(),
            tasks: TaskTracker::new(),
            root: Arc::clone(&self.root),
        }
    }

    /// Runs a task. It should end, after its work in hand, when [`Supervisor::draining`] does. Ending well before that is
    /// fine; an error before that, or a panic at any time, brings the process down. An error while draining is logged.
    pub fn spawn<F>(&self, task: &str, work: F)
    where
        F: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        let task = format!("{}/{task}", self.name);
        let id = self.root.next.fetch_add(1, Ordering::Relaxed);
        lock(&self.root.running).insert(id, task.clone());
        let this = self.clone();
        let supervised = async move {
            let outcome = tokio::select! {
                outcome = AssertUnwindSafe(work).catch_unwind() => Some(outcome),
                () = this.cut_off.cancelled() => None,
            };
            lock(&this.root.running).remove(&id);
            match outcome {
                Some(Ok(Ok(()))) => tracing::debug!(task, "ended"),
                Some(Ok(Err(error))) if this.is_draining() => {
                    tracing::warn!(task, error = format!("{error:#}"), "did not drain well");
                }
                Some(Ok(Err(source))) => this.root.fail(Failure::Failed { task, source }),
                Some(Err(panic)) => this.root.fail(Failure::Panicked { task, message: message(&*panic) }),
                None => tracing::warn!(task, "cut off"),
            }
        };
        self.root.tasks.spawn(self.tasks.track_future(supervised));
    }

    /// Begins the drain: no new work, finish what is in hand.
    pub fn drain(&self) {
        self.drain.cancel();
    }

    /// Whether the drain has begun.
    pub fn is_draining(&self) -> bool {
        self.drain.is_cancelled()
    }

    /// Ends when the drain begins.
    pub async fn draining(&self) {
        self.drain.cancelled().await;
    }

    /// The drain as a token, for those who take one. Cancelling it is [`Supervisor::drain`].
    pub fn token(&self) -> CancellationToken {
        self.drain.clone()
    }

    /// Drains, and waits for every task of this supervisor and those under it; those of a parent are left alone.
    ///
    /// # Errors
    /// What brought the process down, else what had to be cut off when `limit` was over.
    pub async fn finish(&self, limit: Duration) -> Result<(), Failure> {
        self.drain();
        self.tasks.close();
        let mut cut_off = None;
        if tokio::time::timeout(limit, self.tasks.wait()).await.is_err() {
            cut_off = Some(Failure::CutOff { limit, tasks: self.running() });
            self.cut_off.cancel();
            if tokio::time::timeout(CUT_OFF_MAX, self.tasks.wait()).await.is_err() {
                tracing::error!(tasks = ?self.running(), "these tasks block their thread and cannot be cut off");
            }
        }
        lock(&self.root.failure).take().or(cut_off).map_or(Ok(()), Err)
    }

    /// The tasks that have not ended; for a whole process those of all its services.
    pub fn running(&self) -> Vec<String> {
        let mine = format!("{}/", self.name);
        let whole_process = self.drain_is_root();
        lock(&self.root.running)
            .values()
            .filter(|task| whole_process || task.starts_with(&mine))
            .cloned()
            .collect()
    }

    fn drain_is_root(&self) -> bool {
        self.drain == self.root.drain
    }
}

impl Root {
    /// The first failure is the reason; those that follow from it are only logged.
    fn fail(&self, failure: Failure) {
        let mut first = lock(&self.failure);
        match first.as_ref() {
            None => *first = Some(failure),
            Some(_) => {
                tracing::warn!(error = format!("{:#}", anyhow::Error::from(failure)), "failed as well")
            }
        }
        drop(first);
        self.drain.cancel();
    }
}

/// The data under these locks is whole after every statement, so a poisoned lock can be used.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("without a message");
    telemetry::redact(text).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicBool;

    const SOON: Duration = Duration::from_secs(10);

    async fn down(supervisor: &Supervisor) -> String {
        tokio::time::timeout(SOON, supervisor.draining()).await.expect("it comes down");
        let failure = supervisor.finish(SOON).await.expect_err("a failure");
        format!("{:#}", anyhow::Error::from(failure))
    }

    #[tokio::test]
    async fn a_failing_task_brings_the_service_down_with_its_reason() {
        let supervisor = Supervisor::new("api");
        supervisor.spawn("consume", async { Err(anyhow::anyhow!("no such stream").context("JOBS")) });
        assert_eq!(down(&supervisor).await, "api/consume failed: JOBS: no such stream");
    }

    #[tokio::test]
    async fn a_panicking_task_brings_the_service_down() {
        let supervisor = Supervisor::new("api");
        supervisor.spawn("fold", async { panic!("token ghp_0123456789abcdefghij") });
        assert_eq!(down(&supervisor).await, "api/fold panicked: token [redacted]");
    }

    #[tokio::test]
    async fn a_failure_in_one_service_drains_the_others() {
        let process = Supervisor::new("ctrlplane");
        let (one, other) = (process.child("one"), process.child("other"));
        let waiting = other.clone();
        other.spawn("wait", async move {
            waiting.draining().await;
            Ok(())
        });
        one.spawn("work", async { anyhow::bail!("broken") });
        assert_eq!(down(&process).await, "one/work failed: broken");
        assert!(other.is_draining() && process.running().is_empty());
    }

    #[tokio::test]
    async fn a_service_can_be_drained_alone() {
        let process = Supervisor::new("ctrlplane");
        let (one, other) = (process.child("one"), process.child("other"));
        for child in [&one, &other] {
            let waiting = child.clone();
            child.spawn("wait", async move {
                waiting.draining().await;
                Ok(())
            });
        }
        one.finish(SOON).await.expect("drained");
        assert_eq!(process.running(), ["other/wait"]);
        assert!(!process.is_draining() && !other.is_draining());
        process.finish(SOON).await.expect("drained");
        assert!(process.running().is_empty());
    }

    #[tokio::test]
    async fn a_drain_waits_for_work_in_hand() {
        let supervisor = Supervisor::new("api");
        let finished = Arc::new(AtomicBool::new(false));
        let (release, held) = tokio::sync::oneshot::channel::<()>();
        let (task, flag) = (supervisor.clone(), Arc::clone(&finished));
        supervisor.spawn("work", async move {
            task.draining().await;
            held.await?;
            flag.store(true, Ordering::SeqCst);
            Ok(())
        });
        let mut finish = std::pin::pin!(supervisor.finish(SOON));
        assert!(futures::poll!(finish.as_mut()).is_pending(), "there is work in hand");
        release.send(()).expect("the task waits for it");
        finish.await.expect("drained");
        assert!(finished.load(Ordering::SeqCst));
    }

    #[tokio::test]
    async fn a_drain_has_a_limit_and_names_who_broke_it() {
        let supervisor = Supervisor::new("api");
        supervisor.spawn("stuck", std::future::pending());
        let failure = supervisor.finish(Duration::from_millis(20)).await.expect_err("cut off");
        assert!(failure.to_string().ends_with("api/stuck"), "{failure}");
        assert!(supervisor.running().is_empty(), "nothing outlives its supervisor");
    }

    #[tokio::test]
    async fn an_error_while_draining_is_no_failure_and_ending_early_is_fine() {
        let supervisor = Supervisor::new("api");
        supervisor.spawn("once", async { Ok(()) });
        let task = supervisor.clone();
        supervisor.spawn("flush", async move {
            task.draining().await;
            anyhow::bail!("the bus is gone")
        });
        supervisor.finish(SOON).await.expect("drained");
    }
}
