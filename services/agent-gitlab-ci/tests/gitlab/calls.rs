//! What a job's life asks of GitLab: trigger, observe, cancel, rerun; and what GitLab refuses.

use crate::rig::{PROJECT, Rig, SOON, TRIGGER_TOKEN, invalid, new_job, number, options, project, status};
use domain::job::{JobStatus, Reason};
use fake_gitlab::{Ending, Fault, FaultKind, JobSpec, Options, Plan, Project, Script};
use platform::{CallError, CancelAck, CancelMode, Platform as _, Seen, TriggerRequest, Triggered};
use serde_json::{Value, json};
use std::time::Duration;

#[tokio::test]
async fn a_triggered_pipeline_is_named_and_carries_the_job_and_typed_inputs() {
    let rig = Rig::of(Script::hold()).await.with("inputs", json!({ "version": "1.2.3", "dry_run": false }));
    let rig = rig.with("variables", json!({ "REGION": "eu", "N": 3 }));
    let job = new_job();
    let Ok(Triggered::Run { external, links }) = rig.trigger(job).await else { panic!("no pipeline") };
    let pipeline = &rig.fake.pipelines()[0];
    assert_eq!(Value::Object(pipeline.inputs.clone()), json!({ "version": "1.2.3", "dry_run": false }));
    let variables: Vec<(&str, &str)> =
        pipeline.variables.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    let id = job.to_string();
    assert_eq!(variables, [("JOB_ID", id.as_str()), ("N", "3"), ("REGION", "eu")]);
    assert_eq!((external.id, external.attempt), (pipeline.id.to_string(), 1));
    assert_eq!((external.platform.as_str(), external.scope.as_str()), ("gitlab", "101"), "the project's id");
    assert_eq!(external.host, rig.fake.addr().to_string());
    let page = format!("{}/{PROJECT}/-/pipelines/{}", rig.fake.base_url(), pipeline.id);
    assert_eq!(links["run"], page);
    assert_eq!(rig.count("POST", "/projects/acme%2Fshop/pipeline"), 1, "the path goes as one segment");
}

#[tokio::test]
async fn a_trigger_token_starts_by_form_and_shows_no_other_credential() {
    let rig = Rig::of(Script::hold()).await.with("triggerTokenSecret", json!("trigger"));
    let rig = rig.with("inputs", json!({ "dry_run": true })).with("variables", json!({ "A B": "x & y = z" }));
    let run = rig.run(new_job()).await;
    let pipeline = &rig.fake.pipelines()[0];
    assert_eq!((pipeline.source, run.id), ("trigger", pipeline.id.to_string()));
    assert_eq!(pipeline.variables["A B"], "x & y = z");
    assert_eq!(Value::Object(pipeline.inputs.clone()), json!({ "dry_run": "true" }), "a form carries text");
    let calls = rig.fake.calls();
    assert!(calls[0].path.ends_with("/trigger/pipeline") && !calls[0].with_token, "{calls:?}");
    assert!(
        calls.iter().all(|call| !call.path.contains(TRIGGER_TOKEN) && !call.query.contains(TRIGGER_TOKEN))
    );
}

#[tokio::test]
async fn a_project_goes_by_path_or_id_and_its_gitlab_may_live_below_a_path() {
    let rig = Rig::of(Script::hold()).await;
    let mut keys = Vec::new();
    for (base, project) in [
        (rig.fake.base_url(), json!(PROJECT)),
        (rig.fake.base_url(), json!(101)),
        (rig.fake.subpath_url(), json!("ACME/Shop")),
        (format!("{}/api/v4/", rig.fake.subpath_url()), json!("101")),
    ] {
        let mut config = rig.config.clone();
        config.extend([("baseUrl".to_owned(), json!(base)), ("project".to_owned(), project)]);
        rig.gitlab.ready(&config).await.unwrap();
        let triggered = rig.gitlab.trigger(&TriggerRequest { job: new_job(), config: &config }).await;
        let Ok(Triggered::Run { external, .. }) = triggered else { panic!("{triggered:?}") };
        assert!(matches!(rig.gitlab.observe(&config, &external).await, Ok(Seen::Snapshot(_))));
        keys.push((external.host, external.scope));
    }
    keys.dedup();
    assert_eq!(keys, [(rig.fake.addr().to_string(), "101".to_owned())], "one project, however it is spelled");
}

#[tokio::test]
async fn what_does_not_fit_is_refused_in_gitlabs_words_and_starts_nothing() {
    let restricted = Project { takes_variables: false, ..project(Script::hold()) };
    let jobless = project(Script::hold()).jobs(Vec::new());
    let plain = Project { inputs: Vec::new(), ..project(Script::hold()) };
    for (project, key, value, words) in [
        (project(Script::hold()), "ref", json!("nowhere"), "Reference not found"),
        (project(Script::hold()), "inputs", json!({ "colour": "red" }), "unknown input arguments: `colour`"),
        (
            project(Script::hold()),
            "jobIdInput",
            json!("ticket"),
            "declare the input ticket under spec:inputs",
        ),
        (plain, "jobIdInput", json!("job_id"), "declare the input job_id under spec:inputs"),
        (restricted, "ref", json!("main"), "name it in jobIdInput"),
        (jobless, "ref", json!("main"), "rules configuration prevented any jobs"),
        (project(Script::hold()), "project", json!("shop"), "`project`"),
    ] {
        let rig = Rig::start(options(project)).await.with(key, value);
        let error = invalid(rig.trigger(new_job()).await);
        assert!(error.contains(words), "{error}");
        assert_eq!(rig.fake.start_count(), 0);
    }
}

#[tokio::test]
async fn every_way_a_pipeline_stands_is_shown() {
    let rig = Rig::of(Script::of(Plan::new(Ending::HoldQueued))).await;
    for (word, expected, reason) in [
        ("created", JobStatus::Queued, None),
        ("waiting_for_resource", JobStatus::Queued, None),
        ("preparing", JobStatus::Queued, None),
        ("pending", JobStatus::Queued, None),
        ("scheduled", JobStatus::Queued, None),
        ("running", JobStatus::InProgress, None),
        ("waiting_for_callback", JobStatus::InProgress, None),
        ("canceling", JobStatus::InProgress, None),
        ("manual", JobStatus::ActionRequired, None),
        ("success", JobStatus::Successful, None),
        ("failed", JobStatus::Failure, None),
        ("canceled", JobStatus::Cancelled, Some(Reason::CancelledOnPlatform)),
        ("skipped", JobStatus::Skipped, None),
    ] {
        let run = rig.run(new_job()).await;
        rig.fake.set_status(number(&run), word);
        let snapshot = rig.snapshot(&run).await;
        assert_eq!((status(&snapshot), snapshot.reason), (expected, reason), "{word}");
        assert_eq!(snapshot.raw.unwrap().status, word);
        assert_eq!(snapshot.order.unwrap().attempt, 1);
        assert!(snapshot.links["run"].contains("/-/pipelines/"));
    }
    let run = rig.run(new_job()).await;
    rig.fake.set_status(number(&run), "dreaming");
    let Ok(Seen::UnknownWords { raw }) = rig.observe(&run).await else { panic!("it is known") };
    assert_eq!(raw.status, "dreaming");
}

#[tokio::test]
async fn what_fails_is_named_with_its_reason_and_its_log() {
    let mut lint = JobSpec::new("lint");
    lint.allow_failure = true;
    let jobs = vec![lint, JobSpec::new("build"), JobSpec::new("deploy")];
    let rig = Rig::start(options(project(Script::hold()).jobs(jobs))).await;
    let run = rig.run(new_job()).await;
    assert_eq!(rig.snapshot(&run).await.message.as_deref(), Some("0 of 3 jobs are over; running: lint"));
    rig.fake.fail_jobs(number(&run), &[("lint", "script_failure"), ("deploy", "runner_system_failure")]);
    let failed = rig.snapshot(&run).await;
    assert_eq!(failed.message.as_deref(), Some("failed: deploy (runner_system_failure)"));
    let deploy = rig.fake.pipelines()[0].jobs.iter().find(|job| job.name == "deploy").unwrap().id;
    assert!(failed.links["logs"].ends_with(&format!("/-/jobs/{deploy}")), "{:?}", failed.links);

    let late = rig.run(new_job()).await;
    rig.fake.fail_jobs(number(&late), &[("deploy", "job_execution_timeout")]);
    assert_eq!(rig.snapshot(&late).await.reason, Some(Reason::TimedOut));
}

#[tokio::test]
async fn a_child_pipeline_that_fails_says_what_failed_in_it() {
    let jobs = vec![JobSpec::new("build"), JobSpec::bridge("regions", &["eu", "us"])];
    let rig = Rig::start(options(project(Script::hold()).jobs(jobs))).await;
    let run = rig.run(new_job()).await;
    let child = rig.fake.pipelines()[0].jobs.iter().find_map(|job| job.downstream).unwrap();
    rig.fake.fail_jobs(number(&run), &[("regions", "downstream_pipeline_failed")]);
    rig.fake.fail_jobs(child, &[("us", "script_failure")]);
    let message = rig.snapshot(&run).await.message.unwrap();
    assert_eq!(message, format!("failed: regions (in its pipeline {child}: us (script_failure))"));
}

#[tokio::test]
async fn a_manual_job_is_waited_for_by_name() {
    let rig = Rig::of(Script::of(Plan::new(Ending::Manual))).await;
    let run = rig.run(new_job()).await;
    rig.fake.wait_for_status(number(&run), "manual", SOON).await.unwrap();
    let waits = rig.snapshot(&run).await;
    assert_eq!(status(&waits), JobStatus::ActionRequired);
    assert_eq!(waits.message.as_deref(), Some("waits for somebody to start deploy"));
}

#[tokio::test]
async fn a_pipeline_is_cancelled_and_then_it_is_over() {
    let rig = Rig::of(Script::hold()).await;
    let run = rig.run(new_job()).await;
    assert_eq!(rig.cancel(&run, CancelMode::Graceful).await, Ok(CancelAck::Requested));
    rig.fake.wait_for_status(number(&run), "canceled", SOON).await.unwrap();
    assert_eq!(status(&rig.snapshot(&run).await), JobStatus::Cancelled);
    let over = rig.run(new_job()).await;
    rig.fake.set_status(number(&over), "success");
    for how in [CancelMode::Graceful, CancelMode::Force] {
        assert_eq!(rig.cancel(&over, how).await, Ok(CancelAck::AlreadyOver));
    }
}

#[tokio::test]
async fn a_clean_up_without_end_is_ended_by_force() {
    let rig = Rig::of(Script::of(Plan::new(Ending::Hold).ignoring_cancel())).await;
    let run = rig.run(new_job()).await;
    assert_eq!(rig.cancel(&run, CancelMode::Graceful).await, Ok(CancelAck::Requested));
    let snapshot = rig.snapshot(&run).await;
    assert_eq!((status(&snapshot), snapshot.message.as_deref()), (JobStatus::InProgress, Some("cancelling")));
    assert_eq!(rig.cancel(&run, CancelMode::Force).await, Ok(CancelAck::Requested));
    assert_eq!(status(&rig.snapshot(&run).await), JobStatus::Cancelled);
}

#[tokio::test]
async fn a_pipeline_that_was_deleted_is_gone() {
    let rig = Rig::of(Script::hold()).await;
    let run = rig.run(new_job()).await;
    rig.fake.delete(number(&run));
    assert_eq!(rig.observe(&run).await, Ok(Seen::Gone));
    assert_eq!(rig.cancel(&run, CancelMode::Graceful).await, Ok(CancelAck::Gone));
    assert!(invalid(rig.rerun(&run).await).contains("does not know the pipeline"));
}

async fn next_attempt(rig: &Rig, run: &domain::job::ExternalRef) -> u32 {
    match rig.rerun(run).await {
        Ok(Triggered::Run { external, .. }) => {
            assert_eq!(external.id, run.id, "the same pipeline");
            external.attempt
        }
        other => panic!("no run: {other:?}"),
    }
}

#[tokio::test]
async fn a_failed_pipeline_is_retried_once_as_its_next_attempt() {
    let jobs = vec![JobSpec::new("build"), JobSpec::new("deploy")];
    let script = Script::failure().and_again(Plan::new(Ending::Hold));
    let rig = Rig::start(options(project(script).jobs(jobs))).await;
    let run = rig.run(new_job()).await;
    assert_eq!(status(&rig.snapshot(&run).await), JobStatus::Failure);
    for _ in 0..2 {
        assert_eq!(next_attempt(&rig, &run).await, 2);
    }
    assert_eq!(rig.count("POST", "/retry"), 1, "the second was seen to be done");
    let snapshot = rig.snapshot(&run).await;
    assert_eq!((status(&snapshot), snapshot.order.unwrap().attempt), (JobStatus::InProgress, 2));
    let names: Vec<String> = rig.fake.pipelines()[0].jobs.iter().map(|job| job.name.clone()).collect();
    assert_eq!(names, ["build", "deploy", "deploy"], "only what failed");
}

#[tokio::test]
async fn a_pipeline_that_ended_well_runs_again_job_by_job_in_the_order_of_its_stages() {
    let jobs = vec![JobSpec::new("build"), JobSpec::new("deploy"), JobSpec::new("check")];
    let script = Script::success().and_again(Plan::new(Ending::Hold));
    let rig = Rig::start(options(project(script).jobs(jobs))).await;
    let run = rig.run(new_job()).await;
    assert_eq!(next_attempt(&rig, &run).await, 4, "by the retries of three jobs");
    let pipeline = &rig.fake.pipelines()[0];
    let again: Vec<&str> = pipeline.jobs[3..].iter().map(|job| job.name.as_str()).collect();
    assert_eq!(again, ["build", "deploy", "check"]);
    assert_eq!(rig.snapshot(&run).await.order.unwrap().attempt, 4);
}

#[tokio::test]
async fn a_pipeline_that_ended_well_with_too_many_jobs_for_one_call_is_not_begun_again() {
    let jobs = (0..21).map(|n| JobSpec::new(&format!("job-{n}"))).collect();
    let rig = Rig::start(options(project(Script::success()).jobs(jobs))).await;
    let run = rig.run(new_job()).await;
    assert!(invalid(rig.rerun(&run).await).contains("21 jobs are more than the 20"));
    assert_eq!(rig.count("POST", "/retry"), 0);
}

/// GitLab retries a pipeline that ended well only job by job.
#[tokio::test]
async fn a_green_pipeline_of_which_only_a_part_runs_again_says_so() {
    let jobs = vec![JobSpec::new("build"), JobSpec::new("deploy")];
    let rig = Rig::start(options(project(Script::success()).jobs(jobs))).await;
    let run = rig.run(new_job()).await;
    rig.fake.wait_for_status(number(&run), "success", SOON).await.unwrap();
    // The first job is retried; the second is refused.
    rig.fake.inject(Fault::once("POST", "*/retry", FaultKind::Delay(Duration::ZERO)));
    rig.fake.inject(Fault::answer("POST", "*/retry", 403, "403 Forbidden"));
    assert_eq!(next_attempt(&rig, &run).await, 2);
    rig.fake.set_status(number(&run), "success");
    let second = domain::job::ExternalRef { attempt: 2, ..run };
    let over = rig.snapshot(&second).await;
    assert_eq!(status(&over), JobStatus::Successful);
    let message = over.message.unwrap_or_default();
    assert!(message.contains("not run again: deploy"), "{message}");
}

/// The job that was retried most often must not hide the retry of another.
#[tokio::test]
async fn a_lost_retry_of_another_job_than_the_most_retried_one_is_found() {
    let jobs = vec![JobSpec::new("build"), JobSpec::new("deploy")];
    let rig = Rig::start(options(project(Script::failure()).jobs(jobs))).await;
    let run = rig.run(new_job()).await;
    for attempt in [2, 3] {
        rig.fake.set_job(number(&run), "deploy", "failed");
        rig.fake.retry(number(&run));
        assert_eq!(rig.snapshot(&run).await.order.unwrap().attempt, attempt);
    }
    let third = domain::job::ExternalRef { attempt: 3, ..run };
    rig.fake.set_status(number(&third), "success");
    assert!(rig.fake.fail_jobs(number(&third), &[("build", "script_failure")]));
    assert!(rig.fake.set_job(number(&third), "deploy", "success"));
    rig.fake.inject(Fault::once("POST", "*/retry", FaultKind::DropAfterEffect));
    let lost = rig.rerun(&third).await;
    assert!(matches!(lost, Err(CallError::Ambiguous(_))), "{lost:?}");
    let jobs = rig.fake.pipelines()[0].jobs.len();
    assert_eq!(next_attempt(&rig, &third).await, 4, "it was heard");
    assert_eq!((rig.count("POST", "/retry"), rig.fake.pipelines()[0].jobs.len()), (1, jobs));
}

#[tokio::test]
async fn a_retry_whose_answer_was_lost_is_not_asked_for_twice() {
    let rig = Rig::of(Script::failure().and_again(Plan::new(Ending::Hold))).await;
    let run = rig.run(new_job()).await;
    rig.fake.inject(Fault::once("POST", "*/retry", FaultKind::DropAfterEffect));
    let lost = rig.rerun(&run).await;
    assert!(matches!(lost, Err(CallError::Ambiguous(_))), "{lost:?}");
    assert_eq!(next_attempt(&rig, &run).await, 2);
    assert_eq!(rig.fake.pipelines()[0].attempt(), 2);
}

/// Of a bridge GitLab shows no retries: what is known of the attempt stays known.
#[tokio::test]
async fn a_pipeline_of_bridges_alone_keeps_its_attempts() {
    let script = Script::failure().and_again(Plan::new(Ending::Hold));
    let rig = Rig::start(options(project(script).jobs(vec![JobSpec::bridge("all", &["deploy"])]))).await;
    let run = rig.run(new_job()).await;
    rig.fake.inject(Fault::once("POST", "*/retry", FaultKind::DropAfterEffect));
    assert!(matches!(rig.rerun(&run).await, Err(CallError::Ambiguous(_))));
    assert_eq!(next_attempt(&rig, &run).await, 2, "it runs again, so it was heard");
    assert_eq!(rig.count("POST", "/retry"), 1);
    let second = domain::job::ExternalRef { attempt: 2, ..run };
    assert_eq!(rig.snapshot(&second).await.order.unwrap().attempt, 2);
}

#[tokio::test]
async fn a_pipeline_that_is_not_over_cannot_run_again() {
    let rig = Rig::of(Script::hold()).await;
    let run = rig.run(new_job()).await;
    let refused = rig.rerun(&run).await;
    assert!(matches!(refused, Err(CallError::Transient(_))), "{refused:?}");
    rig.fake.set_status(number(&run), "skipped");
    assert!(invalid(rig.rerun(&run).await).contains("no job of the pipeline has run"));
}

#[tokio::test]
async fn an_attempt_that_begins_during_a_look_is_not_taken_to_be_over() {
    let options = Options { cancel_takes: Duration::ZERO, ..options(project(Script::success())) };
    let rig = Rig::start(options).await;
    let run = rig.run(new_job()).await;
    let first = rig.snapshot(&run).await;
    assert_eq!((status(&first), first.order.unwrap().attempt), (JobStatus::Successful, 1));
    // The jobs are read while the pipeline is over; it is retried before it is read itself.
    rig.fake.set_script(PROJECT, Script::hold());
    rig.fake.inject(Fault::once("GET", &format!("*/pipelines/{}", run.id), FaultKind::Delay(SOON / 20)));
    let retried = async {
        loop {
            if rig.count("GET", "/bridges") == 2 {
                break rig.fake.set_status(number(&run), "running");
            }
            tokio::task::yield_now().await;
        }
    };
    let (snapshot, _) = futures::future::join(rig.snapshot(&run), retried).await;
    assert_eq!((status(&snapshot), snapshot.order.unwrap().attempt), (JobStatus::InProgress, 1));
}
