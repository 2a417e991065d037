//! Replays: everything that is kept, with when it was stored, and then the end.

use bus::topology::{CATALOG, JOBS};
use bus::{Change, FollowSource, replay};
use std::ops::ControlFlow;

use crate::rig::{Rig, within};

/// Reads the first messages, and no more than so many.
async fn read(rig: &Rig, source: FollowSource, max: usize) -> Vec<String> {
    let (mut lines, mut before) = (Vec::new(), None);
    let on = |change: Change| {
        let (line, at) = match change {
            Change::Put { key, payload, published_at, .. } => {
                (format!("{key}={}", String::from_utf8_lossy(&payload)), published_at)
            }
            Change::Delete { key, published_at, .. } => (format!("{key} gone"), published_at),
            Change::CaughtUp { .. } => panic!("that is the end"),
        };
        assert!(before.replace(at).is_none_or(|before| before <= at), "{line}");
        lines.push(line);
        if lines.len() == max { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    within("replay", replay(&rig.bus, source, on)).await.unwrap();
    lines
}

#[tokio::test]
async fn a_bucket_tells_all_revisions_it_keeps_of_one_workspace() {
    let rig = Rig::start().await;
    let bucket = rig.bus.bucket(&CATALOG);
    let w = || FollowSource::Bucket(&CATALOG, Some("w.>".into()));
    assert_eq!(read(&rig, w(), 10).await, [""; 0]);
    for (key, value) in [("w.a.1", "old"), ("x.a.1", "other"), ("w.a.1", "new")] {
        bucket.put(key, value.into()).await.unwrap();
    }
    bucket.delete("w.a.1").await.unwrap();
    bucket.put("w.a.1", "again".into()).await.unwrap();
    bucket.put("x.a.1", "last".into()).await.unwrap();
    let lines = ["w.a.1=old", "w.a.1=new", "w.a.1 gone", "w.a.1=again"];
    assert_eq!(read(&rig, w(), 10).await, lines);
    assert_eq!(read(&rig, w(), 3).await, lines[..3], "it ends where it is broken off");
}

#[tokio::test]
async fn a_stream_tells_the_facts_of_one_workspace_in_order() {
    let rig = Rig::start().await;
    for n in 0..1_500 {
        let workspace = if n % 3 == 0 { "x" } else { "w" };
        rig.publish(&format!("ctrlplane.job.{workspace}.{}", n % 7), n.to_string()).await;
    }
    let source = || FollowSource::Stream(&JOBS, Some("ctrlplane.job.w.>".into()));
    let lines = read(&rig, source(), 2_000).await;
    assert_eq!(lines.len(), 1_000);
    assert_eq!((lines[0].as_str(), lines[999].as_str()), ("ctrlplane.job.w.1=1", "ctrlplane.job.w.1=1499"));
    assert_eq!(read(&rig, source(), 999).await, lines[..999]);
}
