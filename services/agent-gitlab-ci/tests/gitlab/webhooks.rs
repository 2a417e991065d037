//! What GitLab sends about the pipelines we start reads back as those pipelines.

use crate::rig::{PROJECT, Rig, SOON, new_job, number, options, project};
use fake_gitlab::{Delivery, Hook, JobSpec, Script};
use platform::{Platform as _, PlatformEvent, RunKey, Signal};

fn heard(rig: &Rig, delivery: &Delivery) -> Vec<Signal> {
    let event = PlatformEvent { event_type: &delivery.event, data: &delivery.payload };
    rig.gitlab.read_event(&event).unwrap()
}

#[tokio::test]
async fn deliveries_name_the_pipeline_that_was_triggered_and_children_are_not_ours() {
    let jobs = vec![JobSpec::new("deploy"), JobSpec::bridge("regions", &["eu"])];
    let rig = Rig::start(options(project(Script::hold()).jobs(jobs))).await;
    // Nobody listens there; what would have been delivered is remembered.
    rig.fake.set_hook(Some(Hook::with_token("http://127.0.0.1:1/", "t0ken").and_jobs()));
    let run = rig.run(new_job()).await;
    rig.fake.fail_jobs(number(&run), &[("deploy", "script_failure")]);
    let told = |event: &'static str, status: &'static str| {
        let id = number(&run);
        move |d: &Delivery| d.event == event && d.told == status && d.pipeline_id == Some(id)
    };
    rig.fake.wait_for_delivery(SOON, told("Pipeline Hook", "failed")).await.unwrap();
    let key = RunKey { host: run.host.clone(), scope: run.scope.clone(), id: run.id.clone() };
    let expected = vec![Signal { run: key, job: None, snapshot: None }];
    let deliveries = rig.fake.deliveries();
    let (mut ours, mut children) = (0, 0);
    for delivery in deliveries.iter().filter(|delivery| delivery.event == "Pipeline Hook") {
        if delivery.pipeline_id == Some(number(&run)) {
            assert_eq!(heard(&rig, delivery), expected, "{}", delivery.told);
            ours += 1;
        } else {
            assert_eq!(heard(&rig, delivery), [], "{}", delivery.told);
            children += 1;
        }
    }
    assert!(ours >= 3 && children >= 1, "{ours} and {children}");
    let job_hooks: Vec<(&str, usize)> = deliveries
        .iter()
        .filter(|delivery| delivery.event == "Job Hook" && delivery.pipeline_id == Some(number(&run)))
        .map(|delivery| (delivery.told.as_str(), heard(&rig, delivery).len()))
        .collect();
    assert!(job_hooks.contains(&("running", 0)), "{job_hooks:?}");
}

#[tokio::test]
async fn a_push_is_no_business_of_the_agent() {
    let rig = Rig::of(Script::hold()).await;
    rig.fake.set_hook(Some(Hook::with_token("http://127.0.0.1:1/", "t0ken")));
    rig.fake.push(PROJECT, "refs/heads/main", "abc").await.unwrap();
    let push = rig.fake.deliveries().pop().unwrap();
    assert_eq!((push.event.as_str(), heard(&rig, &push)), ("Push Hook", Vec::new()));
}
