//! The policy evaluator: decides which version each release target should run, and asks for the job that brings it there.
//!
//! It follows the catalog, the facts and its own decisions in memory; what changes becomes a hint, a hint a decision,
//! a decision a requested job. Any number of replicas may run at once: a decision is written by compare-and-set.

#![warn(missing_docs)]

mod commit;
mod decisions;
mod dirty;
mod evaluator;
mod folds;
mod hints;
mod memory;
mod outbox;
mod runs;
mod runs_ended;
mod settings;
mod timers;
mod trigger;

pub use settings::Settings;

use crate::evaluator::{Evaluator, LOOK_WITHIN};
use crate::folds::Folds;
use crate::hints::HintWorker;
use crate::memory::Memory;
use crate::outbox::Outbox;
use crate::trigger::TriggerWorker;
use anyhow::Context;
use bus::clock::Clock;
use bus::topology::{self, evaluator_hints, evaluator_triggers};
use bus::{Limits, consume};
use service::{Boot, CommonSettings, Service, connect_bus};
use std::sync::Arc;

/// Where a test may let the process die: right before and right after each durable effect.
pub const CRASH_POINTS: &[&str] = &[
    "policy-evaluator.hint.before",
    "policy-evaluator.hint.after",
    "policy-evaluator.decision.before",
    "policy-evaluator.decision.after",
    "policy-evaluator.requested.before",
    "policy-evaluator.requested.after",
    "policy-evaluator.superseded.before",
    "policy-evaluator.superseded.after",
    "policy-evaluator.run-job.before",
    "policy-evaluator.run-job.after",
    "policy-evaluator.run-cancelled.before",
    "policy-evaluator.run-cancelled.after",
    "policy-evaluator.run-ended.before",
    "policy-evaluator.run-ended.after",
    "policy-evaluator.version.before",
    "policy-evaluator.version.after",
];

/// Decides.
#[derive(Debug)]
pub struct PolicyEvaluator;

impl Service for PolicyEvaluator {
    const NAME: &'static str = "policy-evaluator";
    const ABOUT: &'static str =
        "Decides which version each release target should run, and asks for the job that brings it there.";
    type Settings = Settings;

    fn defaults() -> CommonSettings {
        CommonSettings::listening_on(8082)
    }

    async fn run(boot: Boot<Settings>) -> anyhow::Result<()> {
        run(boot, Clock::real()).await
    }
}

/// Decides by that clock until the drain. [`PolicyEvaluator`] takes the real one.
///
/// # Errors
/// When the bus cannot be reached or a fold cannot be followed.
pub async fn run(boot: Boot<Settings>, clock: Clock) -> anyhow::Result<()> {
    let caught_up = boot.readiness.gate("folds");
    let bus = connect_bus(&boot, topology::Service::PolicyEvaluator).await?;
    let (supervisor, drain) = (boot.supervisor.clone(), boot.supervisor.token());
    let settings = boot.settings.clone();

    let memory = Arc::new(Memory::default());
    let outbox = Arc::new(Outbox::default());
    let folds = Arc::new(Folds::new(memory.clone(), outbox.clone()));
    supervisor.spawn("catalog", {
        let (folds, bus, drain) = (folds.clone(), bus.clone(), drain.clone());
        async move { folds.follow_catalog(&bus, drain).await.context("following the catalog") }
    });
    supervisor.spawn("facts", {
        let (folds, bus, drain) = (folds.clone(), bus.clone(), drain.clone());
        async move { folds.follow_facts(&bus, drain).await.context("following the facts of jobs") }
    });
    supervisor.spawn("decisions", {
        let (folds, bus, drain) = (folds.clone(), bus.clone(), drain.clone());
        async move { folds.follow_decisions(&bus, drain).await.context("following the decisions") }
    });
    tokio::select! {
        () = drain.cancelled() => return Ok(()),
        () = memory.until_caught_up() => {}
    }
    folds.go_live();
    caught_up.set(true, "catalog, facts and decisions are in memory");

    let evaluator =
        Arc::new(Evaluator::new(bus.clone(), memory.clone(), clock.clone(), settings.writes_in_flight));
    supervisor.spawn("outbox", {
        let (bus, drain) = (bus.clone(), drain.clone());
        async move {
            outbox.run(&bus, settings.hints_in_flight, drain).await;
            Ok(())
        }
    });
    supervisor.spawn("timers", {
        let (memory, clock, drain) = (memory.clone(), clock.clone(), drain.clone());
        async move {
            timers::ring(memory, clock, drain).await;
            Ok(())
        }
    });
    supervisor.spawn("sweep", {
        let (memory, evaluator, drain) = (memory.clone(), evaluator.clone(), drain.clone());
        async move {
            timers::sweep(memory, evaluator, drain).await;
            Ok(())
        }
    });
    supervisor.spawn("runs", {
        let (bus, memory, clock, drain) = (bus.clone(), memory.clone(), clock.clone(), drain.clone());
        async move {
            runs::follow(bus, memory, clock, drain).await;
            Ok(())
        }
    });
    supervisor.spawn("full-pass", {
        let (memory, every, drain) = (memory.clone(), settings.full_pass(), drain.clone());
        async move {
            timers::full_pass(memory, every, clock, drain).await;
            Ok(())
        }
    });
    supervisor.spawn("triggers", {
        let worker = Arc::new(TriggerWorker::new(bus.clone(), memory.clone()));
        let (bus, drain) = (bus.clone(), drain.clone());
        async move {
            let working = consume(&bus, evaluator_triggers(), worker, Limits::default(), drain);
            working.await.context("working events from outside")
        }
    });
    supervisor.spawn("hints", async move {
        let worker = Arc::new(HintWorker { evaluator, memory });
        let limits = Limits { slots: settings.hints_in_flight, deadline: LOOK_WITHIN, ..Limits::default() };
        consume(&bus, evaluator_hints(), worker, limits, drain).await.context("working hints")
    });
    Ok(())
}
