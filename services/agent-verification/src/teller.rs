//! Asks the agent to look at a verification whenever there is something new to see, so that it is recorded on the ordinary
//! way. Every replica asks, under one message id. What is not asked for is found by the sweep.

use crate::agenda::News;
use crate::runner::Runner;
use bus::{Failure, crash_point};
use domain::command::{AgentCommand, Verb};
use domain::id::JobId;
use domain::subject;
use domain::verification::PLATFORM;
use futures::StreamExt as _;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How many are told at once.
const AT_ONCE: usize = 16;
/// After something on the bus that failed.
const PAUSE: Duration = Duration::from_secs(1);

impl Runner {
    /// Tells until the drain.
    pub(crate) async fn tell(self: Arc<Self>, drain: CancellationToken) -> anyhow::Result<()> {
        while drain.run_until_cancelled(self.news.notified()).await.is_some() {
            let news = self.agenda().take_news();
            let untold = futures::stream::iter(news)
                .map(|(job, news)| {
                    let runner = Arc::clone(&self);
                    async move { runner.tell_or_put_back(job, news).await }
                })
                .buffer_unordered(AT_ONCE)
                .fold(0, async |untold, told| untold + usize::from(!told))
                .await;
            if untold > 0 {
                drain.run_until_cancelled(tokio::time::sleep(PAUSE)).await;
                self.news.notify_one();
            }
        }
        Ok(())
    }

    async fn tell_or_put_back(&self, job: JobId, news: News) -> bool {
        let told = self.tell_of(job, &news).await;
        if let Err(failed) = &told {
            tracing::warn!(%job, %failed, "people cannot be told how a verification stands, trying again");
            self.agenda().put_back(job, news);
        }
        told.is_ok()
    }

    async fn tell_of(&self, job: JobId, news: &News) -> Result<(), Failure> {
        let Some(known) = self.jobs.load(&news.workspace, job).await? else { return Ok(()) };
        let is_told = known
            .state
            .order
            .is_some_and(|order| (order.attempt, order.version) >= (news.attempt, news.version));
        let Some(assigned) = known.state.assigned.filter(|_| !is_told) else { return Ok(()) };
        let dispatch = assigned.dispatch;
        if dispatch.platform.as_str() != PLATFORM {
            return Ok(());
        }
        let command = AgentCommand {
            verb: Verb::Observe,
            job: known.state.job,
            agent: dispatch.agent,
            platform: dispatch.platform,
            config: dispatch.config,
            secrets: dispatch.secrets,
            freezes_seen: 0,
            freeze_begins_at: None,
            after: known.sequence,
            rerun_of: None,
            force: false,
        };
        let subject = subject::command(&command.platform, command.agent, command.verb, job);
        let id = format!("v-{job}-{}-{}", news.attempt, news.version);
        crash_point("verification.told.before");
        self.bus.publish_json(subject, &command, Some(&id)).await?;
        crash_point("verification.told.after");
        Ok(())
    }
}
