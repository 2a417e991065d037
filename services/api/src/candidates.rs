//! The candidates of a target that are too many for its decision: asked again by the same functions as the evaluator's, of
//! the catalog, the decisions and the last fact of each job as they are now.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use bus::topology::JOBS;
use bus::{Bus, BusError, Change, FollowSource, clock, latest};
use domain::Timestamp;
use domain::decision::{ConsideredVersion, TargetDecision};
use domain::evaluate::{Decided, DeploymentView, Facts};
use domain::id::{ResourceId, VersionId};
use domain::job::JobEvent;
use domain::target::TargetKey;
use domain::token::Slug;
use serde::Serialize;

use crate::context::App;

/// The facts are read within so long; after that the answer says how many are left out, and no more.
const WITHIN: Duration = Duration::from_secs(15);

/// How many candidates one answer tells: each comes with a verdict of every rule, a few kilobytes.
const TOLD_MAX: usize = 1_000;

/// What the decision left out.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Beyond {
    /// When they were asked.
    at: Timestamp,
    /// Newest first, with what every rule says of each.
    considered: Vec<ConsideredVersion>,
    /// How many older ones do not pass either, too many to tell.
    #[serde(skip_serializing_if = "is_zero")]
    untold: usize,
}

/// The candidates that the decision does not show; `None` where it shows all, or the facts cannot be read now.
pub(crate) async fn beyond(app: &App, workspace: &Slug, decision: &TargetDecision) -> Option<Beyond> {
    if decision.left_out == 0 {
        return None;
    }
    let reading = async {
        // The facts of a workspace are many: one reads them at a time, and asks of them.
        let permit = app.lookbacks.acquire().await;
        (facts(&app.bus, workspace).await, permit)
    };
    let (facts, _permit) = match tokio::time::timeout(WITHIN, reading).await {
        Ok((Ok(facts), permit)) => (facts, permit),
        Ok((Err(error), _permit)) => {
            tracing::warn!(%workspace, %error, "the facts cannot be read: what a decision left out is not told");
            return None;
        }
        Err(_elapsed) => {
            tracing::warn!(%workspace, "the facts were not read in time: what a decision left out is not told");
            return None;
        }
    };
    let decided = app.decisions.of(workspace).into_iter().map(|decision| (decision.target, decision));
    let (decided, target, at) = (Latest(decided.collect()), decision.target, clock::now());
    let (all, untold) = app.catalog.within(workspace, |ws| {
        DeploymentView::of(ws, &facts, &decided, target.deployment, at).considered(&target, TOLD_MAX)
    })?;
    let shown: BTreeSet<VersionId> = decision.considered.iter().map(|told| told.version).collect();
    let considered = all.into_iter().filter(|told| !shown.contains(&told.version)).collect();
    Some(Beyond { at, considered, untold })
}

fn is_zero(count: &usize) -> bool {
    *count == 0
}

async fn facts(bus: &Bus, workspace: &Slug) -> Result<Facts, BusError> {
    let mut facts = Facts::default();
    let source = FollowSource::Stream(&JOBS, Some(format!("ctrlplane.job.{workspace}.>")));
    let on = |change: Change| {
        if let Change::Put { key, payload, sequence, .. } = change {
            match serde_json::from_slice::<JobEvent>(&payload) {
                Ok(event) => drop(facts.apply(&event, sequence)),
                Err(error) => tracing::error!(key, sequence, %error, "a fact cannot be read"),
            }
        }
        ControlFlow::Continue(())
    };
    latest(bus, source, on).await?;
    Ok(facts)
}

/// The decisions of a workspace.
struct Latest(BTreeMap<TargetKey, Arc<TargetDecision>>);

impl Decided for Latest {
    fn decision(&self, target: &TargetKey) -> Option<&TargetDecision> {
        self.0.get(target).map(AsRef::as_ref)
    }

    fn on_resource(&self, resource: ResourceId) -> Vec<TargetKey> {
        self.0.keys().filter(|target| target.resource == resource).copied().collect()
    }
}
