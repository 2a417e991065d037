//! The jobs of a workspace as live events tell them, and bounded waits for what they should become.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use anyhow::Context as _;
use domain::id::JobId;
use domain::job::JobView;
use service::Supervisor;
use tokio::sync::watch;

use super::Client;

/// How often in a row live events may break off before anything came.
const BREAKS_MAX: u32 = 20;
const LISTEN_AGAIN: Duration = Duration::from_millis(250);

/// The newest view of each job.
pub(crate) type Jobs = BTreeMap<JobId, JobView>;

/// Follows live events; clones see the same.
#[derive(Clone)]
pub(crate) struct JobWatch(watch::Receiver<Jobs>);

/// What was waited for did not come.
#[derive(Debug, thiserror::Error)]
pub(crate) struct Stuck {
    what: String,
    within: Duration,
    jobs: Vec<String>,
}

impl fmt::Display for Stuck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "waited {} s for {}", self.within.as_secs(), self.what)?;
        if !self.jobs.is_empty() {
            write!(f, "; unfinished jobs: {}", self.jobs.join(", "))?;
        }
        Ok(())
    }
}

impl JobWatch {
    /// Starts to follow. `on_change` is told each change: the view before, if there was one, and the view now.
    pub(crate) fn start(
        client: Client,
        supervisor: &Supervisor,
        on_change: impl FnMut(Option<&JobView>, &JobView) + Send + 'static,
    ) -> Self {
        let (sender, receiver) = watch::channel(Jobs::new());
        let drain = supervisor.token();
        supervisor.spawn("watch", async move {
            tokio::select! {
                () = drain.cancelled() => Ok(()),
                ended = follow(&client, &sender, on_change) => ended,
            }
        });
        Self(receiver)
    }

    /// The jobs as they are now.
    pub(crate) fn now(&self) -> Jobs {
        self.0.borrow().clone()
    }

    /// Waits until `pick` finds what it looks for.
    ///
    /// # Errors
    /// [`Stuck`] when the time is over.
    pub(crate) async fn until<T>(
        &self,
        what: &str,
        within: Duration,
        pick: impl Fn(&Jobs) -> Option<T>,
    ) -> anyhow::Result<T> {
        let mut jobs = self.0.clone();
        let found = async {
            loop {
                if let Some(found) = pick(&jobs.borrow_and_update()) {
                    return anyhow::Ok(found);
                }
                jobs.changed().await.context("live events are no longer followed")?;
            }
        };
        match tokio::time::timeout(within, found).await {
            Ok(found) => found,
            Err(_elapsed) => Err(self.stuck(what, within).into()),
        }
    }

    /// What to say when something else that was waited for did not come.
    pub(crate) fn stuck(&self, what: &str, within: Duration) -> Stuck {
        let jobs = self.0.borrow();
        let unfinished = jobs.values().filter(|job| !job.status.is_terminal()).take(10);
        let jobs =
            unfinished.map(|job| format!("{} {} {}", job.version, job.environment, job.status)).collect();
        Stuck { what: what.to_owned(), within, jobs }
    }
}

async fn follow(
    client: &Client,
    sender: &watch::Sender<Jobs>,
    mut on_change: impl FnMut(Option<&JobView>, &JobView) + Send,
) -> anyhow::Result<()> {
    let (mut last, mut breaks) = (None::<String>, 0);
    loop {
        let broke = match client.events(last.as_deref()).await {
            Ok(mut events) => loop {
                match events.next().await {
                    Ok(Some(event)) => {
                        breaks = 0;
                        last = event.id.or(last);
                        // Events that are not about a job (the end of the snapshot) are none of ours.
                        if event.name == "job" {
                            let job = serde_json::from_str::<JobView>(&event.data).context("a job event")?;
                            keep(sender, job, &mut on_change);
                        }
                    }
                    Ok(None) => break anyhow::anyhow!("live events ended"),
                    Err(error) => break error,
                }
            },
            Err(error) => error,
        };
        breaks += 1;
        if breaks > BREAKS_MAX {
            return Err(broke);
        }
        tracing::debug!(error = format!("{broke:#}"), "listening again");
        tokio::time::sleep(LISTEN_AGAIN).await;
    }
}

/// Newer news replaces older; the other way round nothing happens.
fn keep(sender: &watch::Sender<Jobs>, job: JobView, on_change: &mut impl FnMut(Option<&JobView>, &JobView)) {
    sender.send_if_modified(|jobs| {
        let before = jobs.get(&job.id);
        if before.is_some_and(|before| before.sequence >= job.sequence) {
            return false;
        }
        on_change(before, &job);
        jobs.insert(job.id, job);
        true
    });
}
