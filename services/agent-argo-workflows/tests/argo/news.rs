//! The event stream: first how everything stands, then every change, over streams that end, repeat, drop and forget.

use crate::rig::{READER, Rig, SOON, TOKEN, name_of, new_job, status};
use domain::id::JobId;
use domain::job::JobStatus;
use fake_argo::{Fault, NewsFault, Plan};
use futures::StreamExt as _;
use futures::channel::mpsc::Receiver;
use platform::{CallError, News, Platform as _, Signal};
use serde_json::json;
use std::time::Duration;

/// Listens until the signal of a job is told that says so.
async fn until(told: &mut Receiver<Signal>, job: JobId, is: Option<JobStatus>) {
    let heard = async {
        loop {
            let signal = told.next().await.expect("the watch goes on");
            if signal.job == Some(job) && signal.snapshot.as_ref().map(status) == is {
                assert_eq!(signal.run.id, name_of(job));
                return;
            }
        }
    };
    let heard = tokio::time::timeout(SOON, heard).await;
    assert!(heard.is_ok(), "never told that {job} is {is:?}");
}

async fn streams(rig: &Rig, count: usize) {
    let open = async {
        while rig.fake.streams() != count {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    assert!(tokio::time::timeout(SOON, open).await.is_ok(), "{} streams are open", rig.fake.streams());
}

/// Plays a scene while the namespace is watched.
async fn watching(rig: &Rig, scene: impl AsyncFnOnce(&mut Receiver<Signal>)) {
    let (mut news, mut told) = News::channel(16);
    tokio::select! {
        ended = rig.argo.watch(&rig.config, &mut news) => panic!("the watch ended: {ended}"),
        () = scene(&mut told) => {}
    }
}

#[tokio::test]
async fn how_everything_stands_is_told_first_and_then_every_change() {
    let rig = Rig::of(Plan::hold()).await;
    let (before, during) = (new_job(), new_job());
    rig.run(before).await;
    watching(&rig, async |told| {
        until(told, before, Some(JobStatus::Queued)).await;
        rig.run(during).await;
        until(told, during, Some(JobStatus::Queued)).await;
        rig.fake.begin("ci", &name_of(before));
        until(told, before, Some(JobStatus::InProgress)).await;
        rig.fake.suspend("ci", &name_of(during));
        until(told, during, Some(JobStatus::ActionRequired)).await;
        rig.fake.finish("ci", &name_of(before), "Succeeded", "", "");
        until(told, before, Some(JobStatus::Successful)).await;
        rig.fake.write("ci", &name_of(during), "/status/phase", &json!("Dreaming"));
        until(told, during, None).await;
        // The last sight of what was over tells how it ended.
        rig.fake.delete("ci", &name_of(before));
        until(told, before, Some(JobStatus::Successful)).await;
    })
    .await;
    streams(&rig, 0).await;
}

#[tokio::test]
async fn a_stream_that_ends_goes_on_where_it_stopped() {
    let rig = Rig::of(Plan::hold()).await;
    let job = new_job();
    rig.run(job).await;
    watching(&rig, async |told| {
        until(told, job, Some(JobStatus::Queued)).await;
        rig.fake.cut_streams();
        rig.fake.begin("ci", &name_of(job));
        until(told, job, Some(JobStatus::InProgress)).await;
        rig.fake.spoil_news(&[NewsFault::Repeat, NewsFault::Cut]);
        rig.fake.write("ci", &name_of(job), "/status/progress", &json!("0/2"));
        rig.fake.finish("ci", &name_of(job), "Failed", "no", "no");
        until(told, job, Some(JobStatus::Failure)).await;
    })
    .await;
    let opened: Vec<_> =
        rig.fake.calls().into_iter().filter(|call| call.path.contains("workflow-events")).collect();
    assert!(opened.len() >= 3, "{opened:?}");
}

#[tokio::test]
async fn a_position_that_is_forgotten_begins_anew_with_how_everything_stands() {
    let rig = Rig::of(Plan::hold()).await;
    let job = new_job();
    rig.run(job).await;
    watching(&rig, async |told| {
        until(told, job, Some(JobStatus::Queued)).await;
        rig.fake.begin("ci", &name_of(job));
        until(told, job, Some(JobStatus::InProgress)).await;
        rig.fake.spoil_news(&[NewsFault::Drop]);
        rig.fake.finish("ci", &name_of(job), "Succeeded", "", "");
        rig.fake.forget_history();
        rig.fake.cut_streams();
        until(told, job, Some(JobStatus::Successful)).await;
    })
    .await;
}

#[tokio::test]
async fn workflows_of_others_are_not_told_and_a_copied_label_is_no_job() {
    let rig = Rig::of(Plan::hold()).await;
    let (other, job) = (new_job(), new_job());
    rig.run(other).await;
    // Somebody copied our label onto another workflow.
    rig.fake.write("ci", &name_of(other), "/metadata/labels", &json!({ crate::rig::LABEL: job.to_string() }));
    rig.run(job).await;
    watching(&rig, async |told| {
        let first = tokio::time::timeout(SOON, told.next()).await.unwrap().unwrap();
        assert_eq!((first.job, first.run.id), (Some(job), name_of(job)));
    })
    .await;
}

#[tokio::test]
async fn a_watch_that_is_refused_says_why_and_shows_no_token() {
    let rig = Rig::of(Plan::hold()).await;
    let (mut news, _told) = News::channel(16);
    let mut config = rig.config.clone();
    config.insert("tokenSecret".to_owned(), json!("wrong"));
    let ended = rig.argo.watch(&config, &mut news).await;
    assert!(matches!(&ended, CallError::Unauthorized(why) if why.contains("token not valid")), "{ended:?}");
    let key = rig.argo.watch_of(&rig.config).unwrap();
    assert!(key.0.contains("namespace ci") && key.0.contains("argo-token"), "{key:?}");
    for text in [format!("{ended:?}"), format!("{key:?}")] {
        assert!(!text.contains(TOKEN) && !text.contains(READER) && !text.contains("pl4nted"), "{text}");
    }
    assert_eq!(rig.argo.watch_of(&serde_json::Map::new()), None);
    config.insert("tokenSecret".to_owned(), json!("reader"));
    rig.fake.inject(Fault::answer("GET", "/workflow-events/ci", 429, "slow down"));
    let ended = rig.argo.watch(&config, &mut news).await;
    assert!(matches!(ended, CallError::RateLimited { .. }), "{ended:?}");
}
