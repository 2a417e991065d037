//! Watches: they tell what there is, what changes and what went; whatever breaks, nothing is missed for long.

use crate::rig::{NAMESPACE, Rig, SOON, new_job, options};
use domain::id::JobId;
use domain::job::{SnapshotStatus, TerminalStatus};
use fake_kubernetes::{Ending, Fault, FaultKind, Grant, Options, User};
use futures::StreamExt as _;
use futures::channel::mpsc::Receiver;
use platform::{CallError, CancelMode, News, Platform as _, Signal};
use serde_json::json;
use tokio::task::JoinSet;

struct Heard {
    told: Receiver<Signal>,
    watching: JoinSet<CallError>,
}

impl Heard {
    /// Watches, and both watches are open.
    async fn of(rig: &Rig) -> Self {
        let (mut news, told) = News::channel(100);
        let (jobs, config) = (rig.jobs.clone(), rig.config.clone());
        let mut watching = JoinSet::new();
        watching.spawn(async move { jobs.watch(&config, &mut news).await });
        let heard = Self { told, watching };
        heard.open(rig, 2).await;
        heard
    }

    async fn open(&self, rig: &Rig, count: usize) {
        let open = async {
            while rig.fake.watching() < count {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(SOON, open).await.expect("the watches are opened");
    }

    /// The next signal of that job that fits.
    async fn until(&mut self, job: JobId, fits: impl Fn(&Signal) -> bool) -> Signal {
        let heard = async {
            loop {
                let signal = self.told.next().await.expect("the watch goes on");
                if signal.job == Some(job) && fits(&signal) {
                    return signal;
                }
            }
        };
        tokio::time::timeout(SOON, heard).await.expect("it is told in time")
    }

    async fn ends(&mut self, job: JobId, status: TerminalStatus) -> Signal {
        let is = |signal: &Signal| {
            signal
                .snapshot
                .as_ref()
                .is_some_and(|snapshot| snapshot.status == SnapshotStatus::Terminal(status))
        };
        self.until(job, is).await
    }
}

#[tokio::test]
async fn what_there_is_is_told_first_and_then_each_change() {
    let rig = Rig::new().await;
    let (before, after) = (new_job(), new_job());
    let run = rig.run(before).await;
    rig.fake.end(NAMESPACE, &run.id, Ending::Well);
    let mut heard = Heard::of(&rig).await;
    let told = heard.ends(before, TerminalStatus::Successful).await;
    assert_eq!((told.run.id, told.run.host, told.run.scope), (run.id, run.host, run.scope));
    let run = rig.run(after).await;
    heard.until(after, |_| true).await;
    rig.fake.end(NAMESPACE, &run.id, Ending::Well);
    heard.ends(after, TerminalStatus::Successful).await;
}

#[tokio::test]
async fn a_pod_that_cannot_start_is_told_though_its_job_does_not_change() {
    let rig = Rig::new().await;
    let job = new_job();
    let run = rig.run(job).await;
    let mut heard = Heard::of(&rig).await;
    heard.until(job, |_| true).await;
    let waits = json!({ "phase": "Pending", "containerStatuses": [
        { "name": "main", "state": { "waiting": { "reason": "ImagePullBackOff" } } }] });
    rig.fake.pods_say(NAMESPACE, &run.id, &waits);
    let told = heard.until(job, |_| true).await;
    assert_eq!(told.snapshot, None, "it is looked at");
}

#[tokio::test]
async fn a_watch_that_is_cut_goes_on_where_it_was() {
    let rig = Rig::new().await;
    let job = new_job();
    let run = rig.run(job).await;
    let mut heard = Heard::of(&rig).await;
    let lists = || rig.fake.calls().iter().filter(|call| call.target.contains("limit=500")).count();
    let before = lists();
    rig.fake.cut_watches();
    rig.fake.end(NAMESPACE, &run.id, Ending::Well);
    heard.ends(job, TerminalStatus::Successful).await;
    assert_eq!(lists(), before, "nothing is listed anew");
}

#[tokio::test]
async fn a_position_that_is_too_old_leads_to_a_new_list() {
    let rig = Rig::new().await;
    let (gone, ends) = (new_job(), new_job());
    let (first, second) = (rig.run(gone).await, rig.run(ends).await);
    rig.fake.run(NAMESPACE, &first.id);
    let mut heard = Heard::of(&rig).await;
    heard.until(gone, |_| true).await;
    // While nobody looks: one Job is cancelled and deleted, one ends, and etcd forgets how.
    let refuse = FaultKind::Answer { code: 500, message: "away".to_owned(), retry_after: None };
    rig.cancel(&first, CancelMode::Graceful).await.unwrap();
    heard.ends(gone, TerminalStatus::Cancelled).await;
    rig.fake.inject(Fault::once("GET", "nothing-like-this", refuse));
    rig.fake.compact();
    rig.fake.delete(NAMESPACE, &first.id);
    rig.fake.end(NAMESPACE, &second.id, Ending::Well);
    heard.ends(ends, TerminalStatus::Successful).await;
    let lists = rig.fake.calls().iter().filter(|call| call.target.contains("limit=500")).count();
    assert!(lists >= 3, "jobs and pods once, and once more: {lists}");
}

#[tokio::test]
async fn a_job_we_deleted_is_told_as_cancelled() {
    let rig = Rig::new().await;
    let job = new_job();
    let run = rig.run(job).await;
    let mut heard = Heard::of(&rig).await;
    rig.cancel(&run, CancelMode::Force).await.unwrap();
    heard.ends(job, TerminalStatus::Cancelled).await;
}

#[tokio::test]
async fn jobs_are_watched_also_where_pods_may_not_be() {
    let grants = ["get", "create", "patch", "list", "watch"].map(|verb| Grant::new(verb, "jobs")).to_vec();
    let users = vec![User { token: crate::rig::TOKEN.to_owned(), name: "agent".to_owned(), grants }];
    let rig = Rig::start(Options { users, ..options() }).await;
    let job = new_job();
    let run = rig.run(job).await;
    let (mut news, told) = News::channel(100);
    let (jobs, config) = (rig.jobs.clone(), rig.config.clone());
    let mut watching = JoinSet::new();
    watching.spawn(async move { jobs.watch(&config, &mut news).await });
    let mut heard = Heard { told, watching };
    heard.until(job, |_| true).await;
    rig.fake.end(NAMESPACE, &run.id, Ending::Well);
    heard.ends(job, TerminalStatus::Successful).await;
}

#[tokio::test]
async fn pods_are_watched_again_when_they_may_be_again() {
    let rig = Rig::new().await;
    let words = "pods is forbidden: User \"agent\" cannot list resource \"pods\"";
    let refusal = FaultKind::Answer { code: 403, message: words.to_owned(), retry_after: None };
    rig.fake.inject(Fault::always("GET", "/pods", refusal));
    let job = new_job();
    let run = rig.run(job).await;
    let (mut news, told) = News::channel(100);
    let (jobs, config) = (rig.jobs.clone(), rig.config.clone());
    let mut watching = JoinSet::new();
    watching.spawn(async move { jobs.watch(&config, &mut news).await });
    let mut heard = Heard { told, watching };
    heard.open(&rig, 1).await;
    heard.until(job, |_| true).await;
    rig.fake.clear_faults();
    heard.open(&rig, 2).await;
    let waits = json!({ "phase": "Pending", "containerStatuses": [
        { "name": "main", "state": { "waiting": { "reason": "ImagePullBackOff" } } }] });
    rig.fake.pods_say(NAMESPACE, &run.id, &waits);
    assert_eq!(heard.until(job, |_| true).await.snapshot, None, "a pod speaks");
}

#[tokio::test]
async fn a_watch_that_is_refused_says_why() {
    let rig = Rig::new().await;
    rig.secrets.set("token", "wrong");
    let (mut news, _told) = News::channel(1);
    let ended = tokio::time::timeout(SOON, rig.jobs.watch(&rig.config, &mut news)).await.expect("it ends");
    assert!(matches!(ended, CallError::Unauthorized(_)), "{ended:?}");
}

#[tokio::test]
async fn configs_of_one_place_share_a_watch() {
    let rig = Rig::new().await;
    let key = |change: &dyn Fn(&mut serde_json::Map<String, serde_json::Value>)| {
        let mut config = rig.config.clone();
        change(&mut config);
        rig.jobs.watch_of(&config)
    };
    let one = key(&|_| {});
    assert!(one.is_some());
    assert_eq!(one, key(&|config| drop(config.insert("manifest".to_owned(), json!({ "kind": "Job" })))));
    for (field, value) in [("namespace", json!("other")), ("tokenSecret", json!("other"))] {
        assert_ne!(one, key(&|config| drop(config.insert(field.to_owned(), value.clone()))), "{field}");
    }
    assert_eq!(key(&|config| drop(config.remove("namespace"))), None);
}

#[tokio::test]
async fn a_watch_hears_many_changes_in_order() {
    let rig = Rig::new().await;
    let mut heard = Heard::of(&rig).await;
    let job = new_job();
    let run = rig.run(job).await;
    rig.fake.run(NAMESPACE, &run.id);
    rig.fake.end(NAMESPACE, &run.id, Ending::Well);
    let mut last = None;
    loop {
        let signal = heard.until(job, |signal| signal.snapshot.is_some()).await;
        let snapshot = signal.snapshot.expect("it was asked for");
        assert!(snapshot.order > last, "{snapshot:?}");
        last = snapshot.order;
        if let SnapshotStatus::Terminal(status) = snapshot.status {
            assert_eq!(status, TerminalStatus::Successful);
            break;
        }
    }
    assert!(heard.watching.try_join_next().is_none(), "it goes on");
}
