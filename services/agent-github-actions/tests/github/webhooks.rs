//! What GitHub sends about the runs we start reads back as those runs.

use crate::rig::{Nobody, Rig, SOON, new_job, number};
use domain::job::{SnapshotStatus, TerminalStatus};
use fake_github::{Conclusion, Ending, Plan, Script, Status, Webhook};
use platform::{Platform as _, PlatformEvent, RunKey, Signal};

/// Every delivery about the run, read.
async fn heard(rig: &Rig, count: usize) -> Vec<Signal> {
    rig.fake
        .wait_for_delivery(SOON, |delivery| {
            delivery.event == "workflow_run" && delivery.action.as_deref() == Some("completed")
        })
        .await
        .unwrap();
    let deliveries = rig.fake.deliveries();
    assert_eq!(deliveries.len(), count);
    let read = deliveries.iter().map(|delivery| {
        let event = PlatformEvent { event_type: &delivery.event, data: &delivery.payload };
        rig.github.read_event(&event).unwrap()
    });
    read.flatten().collect()
}

#[tokio::test]
async fn deliveries_name_the_run_that_was_triggered() {
    let rig = Rig::of(Script::of(Plan::new(Ending::AwaitApproval))).await;
    // Nobody listens there; what would have been delivered is remembered.
    let nobody = Nobody::new();
    rig.fake.set_webhook(Some(Webhook::new(&nobody.url(), "secret")));
    let job = new_job();
    let run = rig.run(job).await;
    rig.fake.wait_for_status(number(&run), Status::Waiting, SOON).await.unwrap();
    rig.fake.finish(number(&run), Conclusion::Success);
    let signals = heard(&rig, 5).await;
    let key = RunKey { host: run.host.clone(), scope: run.scope.clone(), id: run.id.clone() };
    assert!(signals.iter().all(|signal| signal.run == key), "{signals:?}");
    let told: Vec<Option<SnapshotStatus>> =
        signals.iter().map(|signal| signal.snapshot.as_ref().map(|snapshot| snapshot.status)).collect();
    let queued = SnapshotStatus::Active(domain::job::ActiveStatus::Queued);
    let successful = SnapshotStatus::Terminal(TerminalStatus::Successful);
    assert_eq!(told, [Some(queued), None, Some(successful)], "asked for; a job waits; over");
    let named = signals.iter().filter(|signal| signal.snapshot.is_some());
    assert!(named.into_iter().all(|signal| signal.job == Some(job)));
}

#[tokio::test]
async fn a_run_of_another_repository_or_host_is_not_where_the_config_says() {
    let rig = Rig::of(Script::hold()).await;
    let run = rig.run(new_job()).await;
    let there = |host: &str, scope: &str| {
        let key = RunKey { host: host.to_owned(), scope: scope.to_owned(), id: run.id.clone() };
        rig.github.runs_there(&rig.config, &key)
    };
    assert!(there(&run.host, &run.scope));
    assert!(there(&run.host, "ACME/shop"), "GitHub ignores case");
    assert!(!there(&run.host, "acme/other") && !there("github.test", &run.scope));
}
