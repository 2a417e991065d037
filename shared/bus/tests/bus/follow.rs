//! Folds: snapshot, then live, and the mark between them.

use bus::topology::{CATALOG, JOBS, STATUS, TARGETS};
use bus::{FollowSource, From};

use crate::rig::{Rig, follow};

#[tokio::test]
async fn an_empty_bucket_is_caught_up_at_once() {
    let rig = Rig::start().await;
    let mut told = follow(&rig.bus, FollowSource::Bucket(&TARGETS, None), From::LastPerSubject);
    assert_eq!(told.next().await, "caught up at 0");
    rig.bus.bucket(&TARGETS).put("w.a", "1".into()).await.unwrap();
    assert_eq!(told.next().await, "w.a=1");
}

#[tokio::test]
async fn the_snapshot_has_the_last_of_each_key_and_the_deletions() {
    let rig = Rig::start().await;
    let bucket = rig.bus.bucket(&CATALOG);
    for (key, value) in [("w.a.1", "old"), ("w.b.1", "x"), ("w.a.1", "new"), ("w.c.1", "y")] {
        bucket.put(key, value.into()).await.unwrap();
    }
    bucket.delete("w.b.1").await.unwrap();
    let mut told = follow(&rig.bus, FollowSource::Bucket(&CATALOG, None), From::LastPerSubject);
    assert_eq!(told.lines(4).await, ["w.a.1=new", "w.c.1=y", "w.b.1 gone", "caught up at 5"]);
    bucket.delete("w.c.1").await.unwrap();
    bucket.put("w.b.1", "again".into()).await.unwrap();
    assert_eq!(told.lines(2).await, ["w.c.1 gone", "w.b.1=again"]);

    let mut some =
        follow(&rig.bus, FollowSource::Bucket(&CATALOG, Some("*.a.>".into())), From::LastPerSubject);
    assert_eq!(some.lines(2).await, ["w.a.1=new", "caught up at 7"]);
    let mut none =
        follow(&rig.bus, FollowSource::Bucket(&CATALOG, Some("*.z.>".into())), From::LastPerSubject);
    assert_eq!(none.next().await, "caught up at 7");
}

#[tokio::test]
async fn a_stream_is_followed_whole_or_after_a_sequence() {
    let rig = Rig::start().await;
    for n in 1..=3 {
        rig.publish("ctrlplane.job.w.j", n.to_string()).await;
    }
    let mut all = follow(&rig.bus, FollowSource::Stream(&JOBS, None), From::All);
    let lines = ["ctrlplane.job.w.j=1", "ctrlplane.job.w.j=2", "ctrlplane.job.w.j=3", "caught up at 3"];
    assert_eq!(all.lines(4).await, lines);
    let mut rest = follow(&rig.bus, FollowSource::Stream(&JOBS, None), From::After(2));
    assert_eq!(rest.lines(2).await, lines[2..]);
    let mut end = follow(&rig.bus, FollowSource::Stream(&JOBS, None), From::After(3));
    assert_eq!(end.next().await, "caught up at 3");
    rig.publish("ctrlplane.job.w.j", "4").await;
    for told in [&mut all, &mut rest, &mut end] {
        assert_eq!(told.next().await, "ctrlplane.job.w.j=4");
    }
}

#[tokio::test]
async fn a_large_snapshot_comes_whole_before_the_mark() {
    let rig = Rig::start().await;
    let context = rig.bus.jetstream();
    for n in 0..3_000 {
        let ack =
            context.publish(format!("ctrlplane.status.w.p.d.e.{}", n % 1_500), "s".into()).await.unwrap();
        if n % 500 == 499 {
            ack.await.unwrap();
        }
    }
    let mut told = follow(&rig.bus, FollowSource::Stream(&STATUS, None), From::LastPerSubject);
    let lines = told.lines(1_501).await;
    assert_eq!(lines.last().unwrap(), "caught up at 3000");
    assert!(lines[..1_500].iter().all(|line| line.ends_with("=s")));
}
