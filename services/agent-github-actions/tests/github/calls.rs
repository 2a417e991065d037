//! What a job's life asks of GitHub: trigger, observe, cancel, rerun; and what GitHub refuses.

use crate::rig::{Rig, SOON, invalid, new_job, number, options, status, unauthorized};
use domain::job::{JobStatus, Reason};
use fake_github::{Conclusion, Ending, Fault, FaultKind, Plan, Script, Status};
use platform::{CallError, CancelAck, CancelMode, Platform as _, Seen, Triggered};
use serde_json::{Value, json};

#[tokio::test]
async fn a_triggered_run_is_named_and_carries_the_job() {
    let rig = Rig::of(Script::hold()).await;
    let job = new_job();
    let Ok(Triggered::Run { external, links }) = rig.trigger(job).await else { panic!("no run") };
    let run = &rig.fake.runs()[0];
    assert_eq!(run.inputs["job_id"], job.to_string());
    assert_eq!(run.inputs["version"], "1.2.3");
    assert_eq!((external.id, external.attempt), (run.id.to_string(), 1));
    assert_eq!((external.platform.as_str(), external.scope.as_str()), ("github-app", "acme/shop"));
    assert_eq!(external.host, rig.fake.addr().to_string());
    let page = format!("{}/Acme/Shop/actions/runs/{}", rig.fake.base_url(), run.id);
    assert_eq!((&links["run"], &links["logs"]), (&page, &format!("{page}/attempts/1")));
    assert_eq!(rig.count("POST", "/dispatches"), 1);
}

#[tokio::test]
async fn the_job_id_goes_where_the_config_says_or_nowhere() {
    let mut options = options(Script::hold());
    options.repos[0].workflows[0] = fake_github::Workflow::new("deploy.yml").inputs(&["version", "ticket"]);
    let rig = Rig::start(options).await.with("jobIdInput", json!("ticket"));
    let job = new_job();
    rig.run(job).await;
    assert_eq!(rig.fake.runs()[0].inputs["ticket"], job.to_string());
    let rig = rig.with("jobIdInput", Value::Null);
    rig.run(new_job()).await;
    assert_eq!(rig.fake.runs()[1].inputs.keys().collect::<Vec<_>>(), ["version"]);
}

#[tokio::test]
async fn what_does_not_fit_is_refused_in_githubs_words_and_starts_nothing() {
    let mut options = options(Script::hold());
    let mut disabled = fake_github::Workflow::new("off.yml");
    disabled.disabled = true;
    options.repos[0].workflows.push(disabled);
    let rig = Rig::start(options).await;
    for (key, value, words) in [
        ("inputs", json!({ "colour": "red" }), "Unexpected inputs provided: [\"colour\"]"),
        ("jobIdInput", json!("ticket"), "declare the input ticket in the workflow"),
        ("workflow", json!("nowhere.yml"), "no workflow nowhere.yml in Acme/Shop"),
        ("workflow", json!("off.yml"), "disabled workflow"),
        ("ref", json!("nowhere"), "No ref found for: nowhere"),
        ("owner", json!("a b"), "`owner`"),
    ] {
        let mut config = rig.config.clone();
        if key == "workflow" {
            config.insert("inputs".to_owned(), Value::Null);
        }
        config.insert(key.to_owned(), value);
        let request = platform::TriggerRequest { job: new_job(), config: &config };
        let error = invalid(rig.github.trigger(&request).await);
        assert!(error.contains(words), "{error}");
    }
    assert_eq!(rig.fake.dispatch_count(), 0);
}

#[tokio::test]
async fn every_way_a_run_stands_is_shown() {
    let rig = Rig::of(Script::of(Plan::new(Ending::HoldQueued))).await;
    let run = rig.run(new_job()).await;
    assert_eq!(status(&rig.snapshot(&run).await), JobStatus::Queued);
    for (word, expected) in [
        (Status::Requested, JobStatus::Queued),
        (Status::Pending, JobStatus::Queued),
        (Status::InProgress, JobStatus::InProgress),
        (Status::Waiting, JobStatus::ActionRequired),
    ] {
        rig.fake.set_status(number(&run), word.clone());
        assert_eq!(status(&rig.snapshot(&run).await), expected, "{word:?}");
    }
    for (conclusion, expected, reason) in [
        (Conclusion::ActionRequired, JobStatus::ActionRequired, None),
        (Conclusion::Success, JobStatus::Successful, None),
        (Conclusion::Neutral, JobStatus::Successful, None),
        (Conclusion::Failure, JobStatus::Failure, None),
        (Conclusion::Skipped, JobStatus::Skipped, None),
        (Conclusion::Cancelled, JobStatus::Cancelled, Some(Reason::CancelledOnPlatform)),
        (Conclusion::TimedOut, JobStatus::Failure, Some(Reason::TimedOut)),
        (Conclusion::Stale, JobStatus::Failure, Some(Reason::TimedOut)),
        (Conclusion::StartupFailure, JobStatus::Failure, Some(Reason::StartupFailure)),
    ] {
        rig.fake.finish(number(&run), conclusion.clone());
        let snapshot = rig.snapshot(&run).await;
        assert_eq!((status(&snapshot), snapshot.reason), (expected, reason), "{conclusion:?}");
        assert_eq!(snapshot.raw.unwrap().conclusion.as_deref(), Some(conclusion.as_str()));
        assert_eq!(snapshot.order.unwrap().attempt, 1);
        assert!(snapshot.links["workflow"].ends_with("/.github/workflows/deploy.yml"));
    }
}

#[tokio::test]
async fn words_we_do_not_know_end_nothing() {
    let rig = Rig::of(Script::hold()).await;
    let run = rig.run(new_job()).await;
    let unknown = async || match rig.observe(&run).await {
        Ok(Seen::UnknownWords { raw }) => (raw.status, raw.conclusion),
        other => panic!("not unknown: {other:?}"),
    };
    rig.fake.set_status(number(&run), Status::Other("dreaming".to_owned()));
    assert_eq!(unknown().await, ("dreaming".to_owned(), None));
    rig.fake.finish(number(&run), Conclusion::Other("enlightened".to_owned()));
    assert_eq!(unknown().await, ("completed".to_owned(), Some("enlightened".to_owned())));
    rig.fake.set_status(number(&run), Status::Completed);
    let reads = rig.count("GET", &format!("/runs/{}", run.id));
    assert_eq!(unknown().await, ("completed".to_owned(), None));
    assert_eq!(rig.count("GET", &format!("/runs/{}", run.id)), reads + 3, "it was read again");
}

#[tokio::test]
async fn a_review_is_waited_for_by_name() {
    let rig = Rig::of(Script::of(Plan::new(Ending::AwaitApproval))).await;
    let run = rig.run(new_job()).await;
    rig.fake.wait_for_status(number(&run), Status::Waiting, SOON).await.unwrap();
    let waits = rig.snapshot(&run).await;
    assert_eq!(status(&waits), JobStatus::ActionRequired);
    assert!(waits.message.unwrap().contains("production"));
    let nobody = FaultKind::Answer { status: 200, headers: Vec::new(), body: "[]".to_owned() };
    rig.fake.inject(Fault::once("GET", "*/pending_deployments", nobody));
    assert_eq!(status(&rig.snapshot(&run).await), JobStatus::Queued, "a timer is nobody's to act on");
    rig.fake.inject(Fault::answer(
        "GET",
        "*/pending_deployments",
        403,
        "Resource not accessible by integration",
    ));
    assert_eq!(status(&rig.snapshot(&run).await), JobStatus::ActionRequired, "unseen, maybe a person");
    rig.fake.approve(number(&run));
    rig.fake.wait_for_status(number(&run), Status::Completed, SOON).await.unwrap();
    assert_eq!(status(&rig.snapshot(&run).await), JobStatus::Successful);
}

#[tokio::test]
async fn a_run_is_cancelled_and_then_it_is_over() {
    let rig = Rig::of(Script::hold()).await;
    let run = rig.run(new_job()).await;
    assert_eq!(rig.cancel(&run, CancelMode::Graceful).await, Ok(CancelAck::Requested));
    rig.fake.wait_for_status(number(&run), Status::Completed, SOON).await.unwrap();
    assert_eq!(status(&rig.snapshot(&run).await), JobStatus::Cancelled);
    assert_eq!(rig.cancel(&run, CancelMode::Graceful).await, Ok(CancelAck::AlreadyOver));
    assert_eq!(rig.cancel(&run, CancelMode::Force).await, Ok(CancelAck::AlreadyOver));
}

#[tokio::test]
async fn a_run_that_ignores_a_cancel_is_ended_by_force() {
    let rig = Rig::of(Script::of(Plan::new(Ending::Hold).ignoring_cancel())).await;
    let run = rig.run(new_job()).await;
    assert_eq!(rig.cancel(&run, CancelMode::Graceful).await, Ok(CancelAck::Requested));
    assert_eq!(status(&rig.snapshot(&run).await), JobStatus::InProgress);
    assert_eq!(rig.cancel(&run, CancelMode::Force).await, Ok(CancelAck::Requested));
    rig.fake.wait_for_status(number(&run), Status::Completed, SOON).await.unwrap();
    assert_eq!(status(&rig.snapshot(&run).await), JobStatus::Cancelled);
}

#[tokio::test]
async fn a_run_that_was_deleted_is_gone() {
    let rig = Rig::of(Script::hold()).await;
    let run = rig.run(new_job()).await;
    rig.fake.delete_run(number(&run));
    assert_eq!(rig.observe(&run).await, Ok(Seen::Gone));
    assert_eq!(rig.cancel(&run, CancelMode::Graceful).await, Ok(CancelAck::Gone));
    rig.fake.inject(Fault::answer("GET", "/repos/Acme/Shop", 404, "Not Found"));
    let error = unauthorized(rig.observe(&run).await);
    assert!(error.contains("does not show Acme/Shop"), "{error}");
}

#[tokio::test]
async fn a_rerun_is_the_next_attempt_and_happens_once() {
    let rig = Rig::of(Script::failure()).await;
    let run = rig.run(new_job()).await;
    assert_eq!(status(&rig.snapshot(&run).await), JobStatus::Failure);
    rig.fake.set_script("acme/shop", "deploy.yml", Script::hold());
    for _ in 0..2 {
        let Ok(Triggered::Run { external, links }) = rig.github.rerun(&rig.config, &run).await else {
            panic!("no run")
        };
        assert_eq!((&external.id, external.attempt), (&run.id, 2));
        assert!(links["logs"].ends_with("/attempts/2"));
    }
    assert_eq!(rig.count("POST", "/rerun"), 1, "the second was seen to be done");
    let snapshot = rig.snapshot(&run).await;
    assert_eq!((status(&snapshot), snapshot.order.unwrap().attempt), (JobStatus::InProgress, 2));
}

#[tokio::test]
async fn a_rerun_whose_answer_was_lost_is_not_asked_for_twice() {
    let rig = Rig::of(Script::failure()).await;
    let run = rig.run(new_job()).await;
    rig.fake.inject(Fault::once("POST", "*/rerun", FaultKind::DropAfterEffect));
    let lost = rig.github.rerun(&rig.config, &run).await;
    assert!(matches!(lost, Err(CallError::Ambiguous(_))), "{lost:?}");
    let again = rig.github.rerun(&rig.config, &run).await;
    assert!(matches!(again, Ok(Triggered::Run { external, .. }) if external.attempt == 2));
    assert_eq!(rig.fake.run(number(&run)).unwrap().run_attempt, 2);
}

#[tokio::test]
async fn a_run_that_is_not_over_cannot_run_again() {
    let rig = Rig::of(Script::hold()).await;
    let run = rig.run(new_job()).await;
    let refused = rig.github.rerun(&rig.config, &run).await;
    assert!(matches!(refused, Err(CallError::Transient(_))), "{refused:?}");
}

#[tokio::test]
async fn a_repository_that_moved_is_followed_on_its_host_and_nowhere_else() {
    let rig = Rig::of(Script::hold()).await;
    let run = rig.run(new_job()).await;
    let moved = |status: u16, to: String| FaultKind::Answer {
        status,
        headers: vec![("location".to_owned(), to)],
        body: "{}".to_owned(),
    };
    let path = format!("/repos/acme/shop/actions/runs/{}", run.id);
    rig.fake.inject(Fault::once("GET", "/repos/Acme/*", moved(301, path)));
    assert_eq!(status(&rig.snapshot(&run).await), JobStatus::InProgress);
    let dispatches = "/repos/acme/shop/actions/workflows/deploy.yml/dispatches".to_owned();
    rig.fake.inject(Fault::once("POST", "/repos/Acme/*", moved(307, dispatches)));
    rig.run(new_job()).await;
    let elsewhere = Rig::of(Script::hold()).await;
    let foreign = format!("{}/repos/Acme/Shop/actions/runs/{}", elsewhere.fake.base_url(), run.id);
    rig.fake.inject(Fault::once("GET", "/repos/Acme/*", moved(301, foreign)));
    let refused = rig.observe(&run).await;
    assert!(matches!(refused, Err(CallError::Invalid(_))), "{refused:?}");
    assert!(elsewhere.fake.calls().is_empty());
}
