//! Reading backwards: the newest first, in pieces, to the beginning or until it is broken off.

use bus::topology::AUDIT;
use bus::{ReadBack, read_back};
use std::ops::ControlFlow;

use crate::rig::{Rig, within};

async fn read(rig: &Rig, filter: &str, max: usize) -> (Vec<String>, ReadBack) {
    let mut lines = Vec::new();
    let on = |sequence, payload: bytes::Bytes| {
        lines.push(format!("{sequence}={}", String::from_utf8_lossy(&payload)));
        if lines.len() == max { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let read = within("reading back", read_back(&rig.bus, &AUDIT, filter, on)).await.unwrap();
    (lines, read)
}

#[tokio::test]
async fn the_newest_come_first_and_pieces_join_without_gap() {
    let rig = Rig::start().await;
    assert_eq!(read(&rig, "ctrlplane.audit.>", 10).await, (vec![], ReadBack::Whole));
    for n in 1..=1_200 {
        let workspace = if n <= 3 { "acme" } else { "globex" };
        rig.publish(&format!("ctrlplane.audit.{workspace}.policy"), n.to_string()).await;
    }
    let (lines, whole) = read(&rig, "ctrlplane.audit.>", 2_000).await;
    let wanted: Vec<String> = (1..=1_200).rev().map(|n| format!("{n}={n}")).collect();
    assert_eq!((lines, whole), (wanted.clone(), ReadBack::Whole));
    assert_eq!(read(&rig, "ctrlplane.audit.*.policy", 700).await, (wanted[..700].to_vec(), ReadBack::Part));
    // Only far behind the end, and behind much of somebody else's.
    let (lines, whole) = read(&rig, "ctrlplane.audit.acme.>", 10).await;
    assert_eq!((lines, whole), (vec!["3=3".into(), "2=2".into(), "1=1".into()], ReadBack::Whole));
    for (filter, count) in
        [("ctrlplane.audit.acme.>", 3), ("ctrlplane.audit.>", 1_200), ("ctrlplane.audit.x.>", 0)]
    {
        assert_eq!(rig.bus.count_matching(&AUDIT, filter).await.unwrap(), count, "{filter}");
    }
}
