//! Buckets: a write says what it expects to replace, and only one of two such writes succeeds.

use bus::topology::{DELIVERIES, PAYLOADS, SLOTS};
use bus::{CasError, Freezes};
use bytes::Bytes;
use tokio::task::JoinSet;

use crate::rig::Rig;

#[tokio::test]
async fn a_key_is_created_once_until_it_is_deleted() {
    let rig = Rig::start().await;
    let bucket = rig.bus.bucket(&DELIVERIES);
    assert_eq!(bucket.get("k").await.unwrap(), None);
    let first = bucket.create("k", "1".into()).await.unwrap();
    assert!(matches!(bucket.create("k", "2".into()).await, Err(CasError::Conflict)));
    let entry = bucket.get("k").await.unwrap().unwrap();
    assert_eq!((&entry.value[..], entry.revision), (&b"1"[..], first));
    assert!(matches!(bucket.delete_at("k", first + 7).await, Err(CasError::Conflict)));
    bucket.delete_at("k", first).await.unwrap();
    assert_eq!(bucket.get("k").await.unwrap(), None);
    let again = bucket.create("k", "3".into()).await.unwrap();
    assert!(again > first);
    bucket.delete("k").await.unwrap();
    assert_eq!(bucket.get("k").await.unwrap(), None);
}

#[tokio::test]
async fn what_is_erased_leaves_no_mark_and_what_was_written_since_stays() {
    let rig = Rig::start().await;
    let bucket = rig.bus.bucket(&SLOTS);
    assert_eq!(bucket.list("a.*").await.unwrap(), []);
    let mut revisions = Vec::new();
    for key in ["a.1", "b.1", "a.2", "a.3", "a.4"] {
        revisions.push(bucket.put(key, key.to_owned().into()).await.unwrap());
    }
    let again = bucket.put("a.2", "anew".into()).await.unwrap();
    bucket.delete("a.4").await.unwrap();
    bucket.erase("a.1", revisions[0]).await.unwrap();
    bucket.erase("a.1", revisions[0]).await.unwrap();
    bucket.erase("a.2", revisions[2]).await.unwrap();
    let listed: Vec<(String, String, u64)> = bucket
        .list("a.*")
        .await
        .unwrap()
        .into_iter()
        .map(|(key, entry)| (key, String::from_utf8(entry.value.to_vec()).unwrap(), entry.revision))
        .collect();
    assert_eq!(
        listed,
        [("a.3".into(), "a.3".into(), revisions[3]), ("a.2".into(), "anew".into(), again)],
        "in the order of their last writes"
    );
    let stream = rig.bus.jetstream().get_stream(SLOTS.stream()).await.unwrap();
    assert_eq!(stream.cached_info().state.messages, 4, "b.1, a.3, a.2, and the mark of a.4");
}

#[tokio::test]
async fn of_many_writers_with_one_revision_one_wins() {
    let rig = Rig::start().await;
    let bucket = rig.bus.bucket(&SLOTS);
    bucket.create_json("count", &0u32).await.unwrap();
    let mut writers = JoinSet::new();
    for _ in 0..4 {
        let bucket = bucket.clone();
        writers.spawn(async move {
            let mut won = 0;
            while won < 25 {
                let (count, revision) = bucket.get_json::<u32>("count").await.unwrap().unwrap();
                match bucket.update_json("count", &(count + 1), revision).await {
                    Ok(_) => won += 1,
                    Err(CasError::Conflict) => {}
                    Err(CasError::Bus(error)) => panic!("{error}"),
                }
            }
        });
    }
    writers.join_all().await;
    assert_eq!(bucket.get_json::<u32>("count").await.unwrap().unwrap().0, 100);
}

#[tokio::test]
async fn the_last_change_of_a_freeze_only_grows() {
    let rig = Rig::start().await;
    let freezes = Freezes::new(&rig.bus);
    let (acme, other) = ("acme".parse().unwrap(), "other".parse().unwrap());
    assert_eq!(freezes.changed_at(&acme).await.unwrap(), 0);
    let mut writers = JoinSet::new();
    for revision in [3, 9, 1, 7, 5] {
        let (freezes, acme) = (freezes.clone(), acme.clone());
        writers.spawn(async move { freezes.note(&acme, revision).await });
    }
    writers.join_all().await.into_iter().for_each(Result::unwrap);
    freezes.note(&acme, 2).await.unwrap();
    assert_eq!(freezes.changed_at(&acme).await.unwrap(), 9);
    assert_eq!(freezes.changed_at(&other).await.unwrap(), 0);
}

#[tokio::test]
async fn an_object_larger_than_a_message_comes_back_whole() {
    let rig = Rig::start().await;
    let objects = rig.bus.objects(&PAYLOADS);
    let large = Bytes::from(vec![7; rig.bus.max_payload_bytes() * 2 + 1]);
    objects.put("delivery-1", large.clone()).await.unwrap();
    assert_eq!(objects.get("delivery-1", large.len()).await.unwrap(), Some(large.clone()));
    assert!(objects.get("delivery-1", large.len() - 1).await.is_err());
    assert_eq!(objects.get("other", 1).await.unwrap(), None);
}
