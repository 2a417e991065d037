//! News that GitHub sent while nobody listened comes in all the same, and statuses are confirmed without a fact.

use crate::NODE;
use bus::topology::{JOBS, TRIGGERS};
use bus::{Bus, ConnectOptions, Provision};
use fake_github::{Script, Status};
use serde_json::Value;
use std::time::Duration;
use system_tests::{Options, System, eventually, tell};

const WITHIN: Duration = Duration::from_secs(40);

async fn bus_of(system: &System) -> Bus {
    let options = ConnectOptions {
        url: system.servers.nats.url(),
        name: "looks-on".to_owned(),
        user: None,
        password: None,
        credentials_file: None,
        provision: Provision::Verify,
    };
    Bus::connect(&options).await.unwrap()
}

async fn only_job(system: &System) -> Result<Value, String> {
    let jobs = system.client.jobs().await?;
    match jobs.as_slice() {
        [job] => Ok(job.clone()),
        other => Err(format!("{} jobs: {other:#?}", other.len())),
    }
}

/// The sweep is switched off: only the platform's log of deliveries can tell what happened during the outage.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_github_sent_while_the_ingester_was_down_comes_in_without_the_sweep() {
    let never = || "86400".to_owned();
    let mut system = System::start(Options {
        script: Script::hold(),
        environment_of: vec![
            ("status-syncer", "CTRLPLANE_SWEEP__FAST_SECONDS", never()),
            ("status-syncer", "CTRLPLANE_SWEEP__SLOW_SECONDS", never()),
        ],
        ..Options::new(NODE)
    })
    .await;
    tell(&mut system, "push v1\nv1 is in_progress in staging on stage-1").await;

    system.process("trigger-ingester", 0).kill().await;
    tell_without_reviving(&system);
    let missed = system
        .github
        .wait_for_delivery(WITHIN, |delivery| {
            delivery.event == "workflow_run"
                && delivery.action.as_deref() == Some("completed")
                && delivery.failed()
        })
        .await
        .unwrap();
    system.revive().await;
    eventually("the end of the run has come in", WITHIN, || async {
        let job = only_job(&system).await?;
        if job["status"] == "successful" { Ok(()) } else { Err(format!("{job:#}\n{}", system.logs())) }
    })
    .await;

    let told = eventually("nothing is missing any more", WITHIN, || async {
        let (status, told) = system.client.get("/api/v1/doctor").await?;
        let webhook = &told["webhooks"][0];
        let counts = &webhook["counts"];
        let is_whole = webhook["missing"] == 0
            && counts["sent"] == counts["accepted"]
            && counts["recovered"].as_u64() > Some(0);
        if is_whole { Ok(told.clone()) } else { Err(format!("{status}: {told:#}")) }
    })
    .await;
    assert_eq!(told["webhooks"][0]["hook"]["scope"], "app 4711", "{told:#}");
    let agent = told["checks"].as_array().unwrap().iter().find(|check| check["check"] == "agent/acme/github");
    assert_eq!(agent.unwrap()["status"], "ok", "{told:#}");

    // Once more by hand: the delivery is known, and nothing comes of it.
    let bus = bus_of(&system).await;
    let before = bus.last_sequence(&TRIGGERS).await.unwrap();
    let answered = system.github.redeliver(&missed.guid).await.unwrap();
    assert!((200..300).contains(&answered), "{answered}");
    assert_eq!(bus.last_sequence(&TRIGGERS).await.unwrap(), before);
}

fn tell_without_reviving(system: &System) {
    let ended = system.github.complete_held(&fake_github::Conclusion::Success);
    assert_eq!(ended, 1, "the run was held");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_look_that_finds_nothing_new_confirms_the_status_and_is_no_fact() {
    let mut system = System::start(Options { script: Script::hold(), ..Options::new(NODE) }).await;
    tell(&mut system, "push v1\nv1 is in_progress in staging on stage-1").await;
    let run = system.github.runs()[0].id;
    system.github.wait_for_status(run, Status::InProgress, WITHIN).await.unwrap();
    let bus = bus_of(&system).await;
    let confirmed = || async {
        let job = only_job(&system).await?;
        let at: Option<domain::Timestamp> = job["confirmedAt"].as_str().and_then(|at| at.parse().ok());
        at.ok_or_else(|| format!("{job:#}"))
    };
    // Late webhooks about the start may still come: from here on nothing happens.
    let (first, facts) = {
        let at = eventually("the status is confirmed", WITHIN, confirmed).await;
        (at, bus.last_sequence(&JOBS).await.unwrap())
    };
    let mut last = first;
    for _ in 0..2 {
        last = eventually("it is confirmed again", WITHIN, || async {
            let at = confirmed().await?;
            if at > last { Ok(at) } else { Err(format!("{at} is not later than {last}")) }
        })
        .await;
    }
    assert_eq!(bus.last_sequence(&JOBS).await.unwrap(), facts, "no fact was appended");
    let id = only_job(&system).await.unwrap()["id"].as_str().unwrap().to_owned();
    let (_, shown) = system.client.get(&format!("/api/v1/workspaces/acme/jobs/{id}")).await.unwrap();
    let shown: domain::Timestamp = shown["confirmedAt"].as_str().unwrap().parse().unwrap();
    assert!(shown >= last, "{shown} {last}");
}
