//! One consumer loop: who gets what how often, and what becomes of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bus::topology::{EVALUATE, TRIGGERS, evaluator_hints};
use bus::{Delivery, Failure, Handler, HeaderMap, Json, Limits, dead};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::rig::{LIMITS, Rig, consumer, run, until};

const SUBJECT: &str = "ctrlplane.trigger.w.s.e";
const ACK_WAIT: Duration = Duration::from_millis(600);

#[tokio::test]
async fn every_message_is_handled_once_and_settled() {
    let rig = Rig::start().await;
    let spec = consumer(&TRIGGERS, "worker", Duration::from_secs(30));
    let mut running = run(&rig.bus, &spec, LIMITS, |_| async { Ok(()) });
    for n in 0..200 {
        rig.publish(SUBJECT, n.to_string()).await;
    }
    let mut texts = running.texts(200).await;
    texts.sort_by_key(|text| text.parse::<u32>().unwrap());
    assert_eq!(texts, (0..200).map(|n| n.to_string()).collect::<Vec<_>>());
    until("everything is settled", || async { rig.left(&spec).await == (0, 0) }).await;
    running.drained().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_consumer_gets_a_message_at_once_and_a_busy_one_thousands() {
    let rig = Rig::start().await;
    let spec = consumer(&TRIGGERS, "worker", Duration::from_secs(30));
    let limits = Limits { slots: 64, ..LIMITS };
    let mut running = run(&rig.bus, &spec, limits, |_| async { Ok(()) });
    let mut waits = Vec::new();
    for n in 0..100 {
        let sent = Instant::now();
        rig.publish(SUBJECT, n.to_string()).await;
        running.next().await;
        waits.push(sent.elapsed());
    }
    waits.sort();
    println!("publish to handler: p50 {:?}, p99 {:?}", waits[50], waits[98]);
    assert!(waits[50] < Duration::from_millis(20), "{:?}", waits[50]);

    const MANY: usize = 10_000;
    running.drained().await;
    let context = rig.bus.jetstream();
    let mut last = None;
    for n in 0..MANY {
        last = Some(context.publish(SUBJECT, n.to_string().into()).await.unwrap());
        if n % 1_000 == 999 {
            last.take().unwrap().await.unwrap();
        }
    }
    assert!(last.is_none());
    let begun = Instant::now();
    let mut running = run(&rig.bus, &spec, limits, |_| async { Ok(()) });
    running.texts(MANY).await;
    println!("{:.0} messages/s in an unoptimised build", MANY as f64 / begun.elapsed().as_secs_f64());
    assert!(begun.elapsed() < Duration::from_secs(10));
    until("everything is settled", || async { rig.left(&spec).await == (0, 0) }).await;
    running.drained().await;
}

#[tokio::test]
async fn a_failure_is_tried_again_with_a_delay_and_a_greater_attempt() {
    let rig = Rig::start().await;
    let spec = consumer(&TRIGGERS, "worker", Duration::from_secs(30));
    let mut running = run(&rig.bus, &spec, LIMITS, |got| async move {
        if got.delivery.attempt < 3 { Err(Failure::retry("not yet")) } else { Ok(()) }
    });
    let begun = Instant::now();
    rig.publish(SUBJECT, "x").await;
    for attempt in 1..=3 {
        assert_eq!(running.next().await.delivery.attempt, attempt);
    }
    assert!(begun.elapsed() >= Duration::from_millis(1_400), "{:?}", begun.elapsed());
    until("it is settled", || async { rig.left(&spec).await == (0, 0) }).await;
    assert!(dead::list(&rig.bus, 0, 10).await.unwrap().is_empty());
    running.drained().await;
}

#[tokio::test]
async fn what_fails_too_often_is_kept_and_can_be_sent_back() {
    let rig = Rig::start().await;
    let spec = consumer(&TRIGGERS, "worker", Duration::from_secs(30));
    let limits = Limits { attempts_max: 2, ..LIMITS };
    let mut running = run(&rig.bus, &spec, limits, |_| async { Err(Failure::retry("the disk is\nfull")) });
    let mut headers = HeaderMap::new();
    headers.insert("ce-id", "é 1");
    let sequence =
        rig.bus.publish(SUBJECT.into(), headers, "body".into(), Some("once")).await.unwrap().sequence;
    running.texts(2).await;
    until("it is settled", || async { rig.left(&spec).await == (0, 0) }).await;
    running.drained().await;

    let letters = dead::list(&rig.bus, 0, 10).await.unwrap();
    assert_eq!(letters.len(), 1);
    let letter = &letters[0];
    assert_eq!((letter.consumer.as_str(), letter.stream.as_str()), ("worker", "TRIGGERS"));
    assert_eq!((letter.attempts, letter.original_sequence, letter.subject.as_str()), (2, sequence, SUBJECT));
    assert_eq!(letter.reason, "2 attempts failed, the last with: the disk is full");
    assert_eq!((&letter.payload[..], &letter.headers["ce-id"][..]), (&b"body"[..], &["é 1".to_owned()][..]));

    let mut running = run(&rig.bus, &spec, LIMITS, |_| async { Ok(()) });
    let again = dead::redrive(&rig.bus, letter.sequence).await.unwrap();
    let got = running.next().await;
    assert_eq!((got.text.as_str(), got.delivery.sequence, got.delivery.attempt), ("body", again, 1));
    assert_eq!(got.delivery.headers.get("ce-id").unwrap().as_str(), "é 1");
    assert!(dead::list(&rig.bus, 0, 10).await.unwrap().is_empty());
    for sequence in [letter.sequence, 0, u64::MAX] {
        let redriven = dead::redrive(&rig.bus, sequence).await;
        assert!(matches!(redriven, Err(dead::RedriveError::NotFound(_))), "{sequence}: {redriven:?}");
    }
    assert!(dead::list(&rig.bus, u64::MAX, 10).await.unwrap().is_empty());
    running.drained().await;
}

#[tokio::test]
async fn a_rejected_message_and_an_unreadable_one_are_kept_at_once() {
    struct Numbers;
    #[async_trait]
    impl Handler for Numbers {
        type Event = Json<u32>;
        async fn handle(&self, Json(number): Json<u32>, _: &Delivery) -> Result<(), Failure> {
            if number == 13 { Err(Failure::Reject("unlucky".into())) } else { Ok(()) }
        }
    }
    let rig = Rig::start().await;
    let spec = consumer(&TRIGGERS, "numbers", Duration::from_secs(30));
    for text in ["1", "13", "\u{0}{", "2"] {
        rig.publish(SUBJECT, text).await;
    }
    let drain = CancellationToken::new();
    let looping = bus::consume(&rig.bus, spec.clone(), Arc::new(Numbers), LIMITS, drain.clone());
    let watching = async {
        until("two dead letters", || async { dead::list(&rig.bus, 0, 10).await.unwrap().len() == 2 }).await;
        until("everything is settled", || async { rig.left(&spec).await == (0, 0) }).await;
        drain.cancel();
    };
    tokio::join!(async { looping.await.unwrap() }, watching);
    let mut letters = dead::list(&rig.bus, 0, 10).await.unwrap();
    letters.sort_by_key(|letter| letter.original_sequence);
    assert_eq!((letters[0].reason.as_str(), &letters[0].payload[..]), ("unlucky", &b"13"[..]));
    assert!(letters[1].reason.starts_with("cannot be read: "), "{}", letters[1].reason);
    assert_eq!(&letters[1].payload[..], b"\0{");
}

#[tokio::test]
async fn a_message_that_kills_its_worker_each_time_is_given_up_before_it_runs_again() {
    let rig = Rig::start().await;
    let spec = consumer(&TRIGGERS, "worker", ACK_WAIT);
    rig.publish(SUBJECT, "poison").await;
    for attempt in 1..=LIMITS.attempts_max {
        let mut running = run(&rig.bus, &spec, LIMITS, |_| std::future::pending());
        assert_eq!(running.next().await.delivery.attempt, attempt);
        running.killed().await;
    }
    let runs = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&runs);
    let mut running = run(&rig.bus, &spec, LIMITS, move |got| {
        counted.fetch_add(usize::from(got.text == "poison"), Ordering::Relaxed);
        async { Ok(()) }
    });
    until("it is kept", || async { dead::list(&rig.bus, 0, 10).await.unwrap().len() == 1 }).await;
    assert_eq!(runs.load(Ordering::Relaxed), 0);
    assert_eq!(dead::list(&rig.bus, 0, 10).await.unwrap()[0].attempts, LIMITS.attempts_max);
    rig.publish(SUBJECT, "sound").await;
    assert_eq!(running.next().await.text, "sound");
    running.drained().await;
}

#[tokio::test]
async fn waiting_is_not_counted_as_failing() {
    let rig = Rig::start().await;
    let spec = consumer(&TRIGGERS, "worker", Duration::from_secs(30));
    let calls = AtomicUsize::new(0);
    let limits = Limits { attempts_max: 2, ..LIMITS };
    let mut running = run(&rig.bus, &spec, limits, move |_| {
        let result = match calls.fetch_add(1, Ordering::Relaxed) {
            0..5 => Err(Failure::Later { after: Duration::from_millis(20), why: "rate limit".into() }),
            5 => Err(Failure::retry("once")),
            6 => Err(Failure::Later { after: Duration::from_millis(20), why: "rate limit".into() }),
            _ => Ok(()),
        };
        async { result }
    });
    rig.publish(SUBJECT, "x").await;
    let mut attempts = Vec::new();
    for _ in 0..8 {
        attempts.push(running.next().await.delivery.attempt);
    }
    assert_eq!(attempts, [1, 1, 1, 1, 1, 1, 2, 2]);
    until("it is settled", || async { rig.left(&spec).await == (0, 0) }).await;
    assert!(dead::list(&rig.bus, 0, 10).await.unwrap().is_empty());
    running.drained().await;
}

#[tokio::test]
async fn a_panic_and_a_missed_deadline_are_failures_of_one_message_only() {
    let rig = Rig::start().await;
    let spec = consumer(&TRIGGERS, "worker", Duration::from_secs(30));
    let limits = Limits { attempts_max: 2, deadline: Duration::from_millis(200), ..LIMITS };
    let mut running = run(&rig.bus, &spec, limits, |got| async move {
        match got.text.as_str() {
            "panic" => panic!("as told"),
            "hang" => std::future::pending().await,
            _ => Ok(()),
        }
    });
    for text in ["panic", "hang", "fine"] {
        rig.publish(SUBJECT, text).await;
    }
    until("two dead letters", || async { dead::list(&rig.bus, 0, 10).await.unwrap().len() == 2 }).await;
    let mut reasons: Vec<String> =
        dead::list(&rig.bus, 0, 10).await.unwrap().into_iter().map(|letter| letter.reason).collect();
    reasons.sort();
    assert_eq!(
        reasons,
        [
            "2 attempts failed, the last with: not done within 200ms",
            "2 attempts failed, the last with: the handler panicked: as told",
        ]
    );
    let mut texts = running.texts(5).await;
    texts.sort();
    assert_eq!(texts, ["fine", "hang", "hang", "panic", "panic"]);
    running.drained().await;
}

#[tokio::test]
async fn long_work_is_not_given_to_somebody_else() {
    let rig = Rig::start().await;
    let spec = consumer(&TRIGGERS, "worker", ACK_WAIT);
    let mut running = run(&rig.bus, &spec, LIMITS, |_| async {
        tokio::time::sleep(ACK_WAIT * 4).await;
        Ok(())
    });
    rig.publish(SUBJECT, "long").await;
    running.next().await;
    until("it is settled", || async { rig.left(&spec).await == (0, 0) }).await;
    assert!(running.got.try_recv().is_err(), "delivered twice");
    running.drained().await;
}

#[tokio::test]
async fn a_drain_finishes_what_is_held_and_strands_nothing() {
    let rig = Rig::start().await;
    let spec = consumer(&TRIGGERS, "worker", Duration::from_secs(60));
    for n in 0..20 {
        rig.publish(SUBJECT, n.to_string()).await;
    }
    let gate = Arc::new(Semaphore::new(0));
    let opened = Arc::clone(&gate);
    let mut running = run(&rig.bus, &spec, Limits { slots: 4, ..LIMITS }, move |_| {
        let gate = Arc::clone(&opened);
        async move {
            gate.acquire().await.unwrap().forget();
            Ok(())
        }
    });
    let mut first = running.texts(4).await;
    assert_eq!(rig.left(&spec).await, (4, 16), "never more than there are slots");
    running.drain.cancel();
    gate.add_permits(100);
    while let Ok(got) = running.got.try_recv() {
        first.push(got.text);
    }
    running.drained().await;
    until("all acks are in", || async { rig.left(&spec).await.0 == 0 }).await;

    // A stranded message would come only after the ack wait of 60 s.
    let mut running = run(&rig.bus, &spec, LIMITS, |_| async { Ok(()) });
    let rest = usize::try_from(rig.left(&spec).await.1).unwrap();
    assert!(rest <= 16);
    until("all is settled", || async { rig.left(&spec).await == (0, 0) }).await;
    let mut got = 0;
    while running.got.try_recv().is_ok() {
        got += 1;
    }
    assert_eq!(got + first.len(), 20);
    running.drained().await;
}

#[tokio::test]
async fn unread_hints_coalesce_and_one_that_comes_during_work_is_delivered_afterwards() {
    let rig = Rig::start().await;
    for n in 0..200 {
        rig.publish(&format!("ctrlplane.evaluate.w.{}", n % 5), n.to_string()).await;
    }
    assert_eq!(rig.messages_in(EVALUATE.name).await, 5);
    let gate = Arc::new(Semaphore::new(0));
    let opened = Arc::clone(&gate);
    let mut running = run(&rig.bus, &evaluator_hints(), LIMITS, move |_| {
        let gate = Arc::clone(&opened);
        async move {
            gate.acquire().await.unwrap().forget();
            Ok(())
        }
    });
    let mut texts = running.texts(5).await;
    texts.sort();
    assert_eq!(texts, ["195", "196", "197", "198", "199"]);
    rig.publish("ctrlplane.evaluate.w.0", "during").await;
    gate.add_permits(100);
    assert_eq!(running.next().await.text, "during");
    until("it is settled", || async { rig.left(&evaluator_hints()).await == (0, 0) }).await;
    running.drained().await;
}
