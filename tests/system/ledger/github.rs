//! GitHub Actions in the ledger.

use super::books::Run;
use super::{LATE, QUEUED, RUNS, Stand, failing_resources};
use domain::job::JobStatus;
use fake_github::{Conclusion, Fault, FaultKind, HookChaos, Plan, Script, When};
use misbehaviour::Dice;
use std::time::Duration;
use system_tests::System;

/// The stand-in is part of every system.
pub(super) struct Github;

/// How runs go: some fail.
pub(super) fn script() -> Script {
    let failing = Plan::ends(Conclusion::Failure).taking(QUEUED, RUNS);
    failing_resources().fold(Script::success().taking(QUEUED, RUNS), |script, resource| {
        script.when(When::input("resource", &resource), failing.clone())
    })
}

impl Stand for Github {
    const AGENT: &'static str = "agent-github-actions";

    async fn start(_seed: u64) -> Self {
        Self
    }

    fn job_agent(&self) -> (&'static str, String) {
        ("github", String::new())
    }

    fn secrets(&self) -> Vec<(&'static str, String)> {
        Vec::new()
    }

    async fn attach(&self, system: &System) {
        system.github.set_hook_chaos(HookChaos {
            drop: 0.05,
            repeat: 0.1,
            reorder: 0.1,
            delay: 0.1,
            delay_max: Duration::from_secs(2),
        });
    }

    fn misbehave(&self, system: &System, dice: &mut Dice) {
        let (start, read) = ("*/dispatches", "*/actions/runs*");
        system.github.inject(match dice.below(9) {
            0 => fake_github::secondary_limit("POST", start, 1),
            1 => Fault::answer("POST", start, 502, "Bad gateway"),
            2 => Fault::once("POST", start, FaultKind::DropBeforeEffect),
            3 | 4 => Fault::once("POST", start, FaultKind::DropAfterEffect),
            5 => Fault::once("POST", start, FaultKind::HangAfterEffect),
            6 => Fault::once("POST", start, FaultKind::LateEffect(LATE)),
            7 => Fault::answer("GET", read, 503, "Service unavailable").times(3),
            _ => Fault::once("GET", read, FaultKind::DropAfterEffect).times(3),
        });
    }

    fn runs(&self, system: &System) -> Vec<Run> {
        let runs = system.github.runs();
        runs.into_iter()
            .map(|run| Run {
                id: run.id.to_string(),
                job: run.inputs["job_id"].clone(),
                ended: match run.conclusion.as_ref().map(Conclusion::as_str) {
                    Some("success") => JobStatus::Successful,
                    Some("failure") => JobStatus::Failure,
                    other => panic!("no run is planned to end as {other:?}"),
                },
            })
            .collect()
    }

    fn started(&self, system: &System) -> usize {
        usize::try_from(system.github.dispatch_count()).unwrap()
    }

    fn spoiled(&self, system: &System) -> usize {
        let calls = system.github.calls();
        calls.iter().filter(|call| call.status.is_none_or(|status| status == 403 || status >= 429)).count()
    }
}
