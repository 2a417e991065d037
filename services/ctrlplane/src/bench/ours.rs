//! Our side: signed webhooks in, platform calls out.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use domain::job::JobStatus;
use serde_json::Value;
use service::Supervisor;
use tokio::sync::watch;

use super::pace::paced;
use super::report::Work;
use super::{Load, OWNER, REPO, catalog};
use crate::client::JobWatch;
use crate::demo::duplicates;
use crate::measure::Latency;
use crate::world::World;

/// How long the last platform call may follow after the last webhook.
const CALL_WITHIN: Duration = Duration::from_secs(120);
/// How long a burst may take.
const BURST_WITHIN: Duration = Duration::from_secs(600);

/// Sends webhooks and watches the platform.
pub(super) struct Ours<'a> {
    world: &'a World,
    /// How many webhooks there were that make one job each.
    sent: u32,
    /// How many jobs there should be.
    jobs_expected: usize,
    lanes: u32,
    payload: Option<Value>,
}

impl<'a> Ours<'a> {
    pub(super) fn new(world: &'a World, lanes: u32) -> Self {
        Self { world, sent: 0, jobs_expected: 0, lanes, payload: None }
    }

    /// From before a webhook is sent until the platform has the call it leads to.
    pub(super) async fn latency(&mut self, load: Load) -> anyhow::Result<Latency> {
        let (first, lanes, payload) = (self.sent, self.lanes, self.payload().await?);
        self.sent += load.samples;
        self.jobs_expected += usize::try_from(load.samples)?;
        let github = self.world.github.clone();
        let began = paced(load.samples, load.every, |index| {
            let (github, mut payload) = (github.clone(), payload.clone());
            let number = first + index;
            payload["after"] = tag(number).into();
            async move { send(&github, &catalog::event_of(number % lanes), &payload).await }
        });
        let began = began.await?;
        let expected = self.jobs_expected;
        let runs = self
            .world
            .github
            .wait_for_runs(expected, CALL_WITHIN)
            .await
            .context("webhooks led to no call")?;
        let received: HashMap<&str, Instant> = runs
            .iter()
            .filter_map(|run| Some((run.inputs.get("version")?.as_str(), run.dispatch_received)))
            .collect();
        let mut samples = Vec::new();
        for (index, began) in (first..).zip(began) {
            match received.get(tag(index).as_str()) {
                Some(received) => samples.push(received.duration_since(began)),
                None => bail!("the webhook of {} led to no call, others to more than one", tag(index)),
            }
        }
        Ok(Latency::of(samples))
    }

    /// One version for many targets: finished jobs a second, from the webhook until the last is known to be over.
    pub(super) async fn burst(&mut self, targets: u32, supervisor: &Supervisor) -> anyhow::Result<f64> {
        let mut payload = self.payload().await?;
        payload["after"] = "burst".into();
        let count = usize::try_from(targets)?;
        self.jobs_expected += count;
        let (over, seen) = watch::channel(0_usize);
        let _jobs = JobWatch::start(self.world.client.clone(), supervisor, move |before, job| {
            let was_over = before.is_some_and(|before| before.status.is_terminal());
            if job.deployment.as_str() == catalog::BURST && job.status.is_terminal() && !was_over {
                over.send_modify(|over| *over += 1);
            }
        });
        let began = Instant::now();
        send(&self.world.github, catalog::BURST_EVENT, &payload).await?;
        let mut all = seen.clone();
        match tokio::time::timeout(BURST_WITHIN, all.wait_for(|over| *over >= count)).await {
            Ok(Ok(_)) => Ok(f64::from(targets) / began.elapsed().as_secs_f64().max(f64::EPSILON)),
            Ok(Err(_)) => bail!("live events are no longer followed"),
            Err(_elapsed) => bail!("{} of {count} jobs were over after {BURST_WITHIN:?}", *seen.borrow()),
        }
    }

    /// Waits until every job is over, and counts.
    pub(super) async fn check(&self, supervisor: &Supervisor) -> anyhow::Result<Work> {
        let jobs = JobWatch::start(self.world.client.clone(), supervisor, |_, _| {});
        let expected = self.jobs_expected;
        let all = jobs.until("every job to be over", CALL_WITHIN, |jobs| {
            let over = jobs.len() >= expected && jobs.values().all(|job| job.status.is_terminal());
            over.then(|| jobs.values().map(|job| job.status).collect::<Vec<_>>())
        });
        let statuses = match all.await {
            Ok(statuses) => statuses,
            // Counted all the same: the report says what is wrong.
            Err(error) => {
                tracing::error!(error = format!("{error:#}"), "not every job is over");
                jobs.now().values().map(|job| job.status).collect()
            }
        };
        let runs = self.world.github.runs();
        Ok(Work {
            jobs: statuses.len(),
            jobs_expected: expected,
            successful: statuses.iter().filter(|status| **status == JobStatus::Successful).count(),
            external_runs: runs.len(),
            duplicates: duplicates(
                runs.iter().map(|run| run.inputs.get("job_id").map_or("", String::as_str)),
            ),
        })
    }

    /// A push as GitHub sends it; nothing in the catalog listens to this one.
    async fn payload(&mut self) -> anyhow::Result<Value> {
        if let Some(payload) = &self.payload {
            return Ok(payload.clone());
        }
        let repo = format!("{OWNER}/{REPO}");
        let sha = "5f1d8e9b3c7a4e2d9b60c4f7a8e1d2c3b4a59687";
        let (guid, status) = self.world.github.push(&repo, "main", sha, "Measure").await?;
        ensure!(status == 202, "the webhook was answered {status}, not 202");
        let deliveries = self.world.github.deliveries();
        let sent =
            deliveries.iter().find(|delivery| delivery.guid == guid).context("the delivery is forgotten")?;
        let payload: Value = serde_json::from_slice(&sent.payload)?;
        Ok(self.payload.insert(payload).clone())
    }
}

async fn send(github: &fake_github::FakeGithub, event: &str, payload: &Value) -> anyhow::Result<()> {
    let (guid, status) = github.send_event(event, payload).await?;
    ensure!(status == 202, "the webhook {guid} was answered {status}, not 202");
    Ok(())
}

fn tag(number: u32) -> String {
    format!("v{number}")
}
