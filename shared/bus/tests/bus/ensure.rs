//! Streams and consumers: created once by whoever may, compared by everybody, never trusted.

use std::time::Duration;

use async_nats::jetstream::stream::Config;
use bus::topology::{IDEMPOTENCY, JOBS, Needs, SESSIONS, Service, needs_of};
use bus::{Bus, BusError, Provision};
use servers::TestServers;
use tokio::task::JoinSet;

use crate::rig::options;

#[tokio::test]
async fn any_number_of_replicas_may_create_at_once_and_all_fit_afterwards() {
    let servers = TestServers::start().await;
    let verify = Bus::connect(&options(&servers, "v", Provision::Verify)).await.unwrap();
    let needs = needs_of(Service::Admin);
    assert!(matches!(verify.ensure(&needs).await, Err(BusError::Missing { .. })));

    let mut replicas = JoinSet::new();
    for n in 0..4 {
        let (options, needs) = (options(&servers, &format!("replica-{n}"), Provision::Create), needs.clone());
        replicas.spawn(async move { Bus::connect(&options).await.unwrap().ensure(&needs).await });
    }
    for result in replicas.join_all().await {
        result.unwrap();
    }
    for service in Service::ALL {
        verify.ensure(&needs_of(service)).await.unwrap();
    }
}

#[tokio::test]
async fn what_does_not_fit_is_named_or_made_to_fit_and_the_operators_choices_stay() {
    let servers = TestServers::start().await;
    let create = Bus::connect(&options(&servers, "c", Provision::Create)).await.unwrap();
    let verify = Bus::connect(&options(&servers, "v", Provision::Verify)).await.unwrap();
    let needs = Needs { streams: vec![&JOBS], ..Needs::default() };
    let days = Duration::from_secs(90 * 24 * 60 * 60);
    let other =
        Config { name: "JOBS".into(), subjects: vec!["other".into()], max_age: days, ..Config::default() };
    create.jetstream().create_stream(other).await.unwrap();

    let misfit = verify.ensure(&needs).await.unwrap_err().to_string();
    assert!(misfit.contains("stream JOBS does not fit: subjects is [\"other\"]"), "{misfit}");
    create.ensure(&needs).await.unwrap();
    verify.ensure(&needs).await.unwrap();
    let config = create.jetstream().get_stream("JOBS").await.unwrap().cached_info().config.clone();
    assert_eq!((config.subjects, config.max_age), (vec!["ctrlplane.job.>".to_owned()], days));
}

#[tokio::test]
async fn a_consumer_that_does_not_fit_is_named_or_made_to_fit() {
    let servers = TestServers::start().await;
    let create = Bus::connect(&options(&servers, "c", Provision::Create)).await.unwrap();
    let verify = Bus::connect(&options(&servers, "v", Provision::Verify)).await.unwrap();
    let mut needs = needs_of(Service::Dispatcher);
    needs.consumers[0].max_ack_pending = 5;
    create.ensure(&needs).await.unwrap();
    let wanted = needs_of(Service::Dispatcher);
    let misfit = verify.ensure(&wanted).await.unwrap_err().to_string();
    assert!(misfit.contains("max_ack_pending is 5"), "{misfit}");
    create.ensure(&wanted).await.unwrap();
    verify.ensure(&wanted).await.unwrap();
}

#[tokio::test]
async fn a_bucket_that_anybody_can_fill_gets_its_bound_later_and_the_operators_own_stays() {
    let servers = TestServers::start().await;
    let create = Bus::connect(&options(&servers, "c", Provision::Create)).await.unwrap();
    let verify = Bus::connect(&options(&servers, "v", Provision::Verify)).await.unwrap();
    let needs = Needs { buckets: vec![&IDEMPOTENCY, &SESSIONS], ..Needs::default() };
    create.ensure(&needs).await.unwrap();
    let bytes_max = async |name: &str| {
        let stream = create.jetstream().get_stream(name).await.unwrap();
        stream.cached_info().config.max_bytes
    };
    for (name, bytes) in [("KV_idempotency", -1), ("KV_sessions", 5_000_000)] {
        let stream = create.jetstream().get_stream(name).await.unwrap();
        let config = Config { max_bytes: bytes, ..stream.cached_info().config.clone() };
        create.jetstream().update_stream(config).await.unwrap();
    }
    verify.ensure(&needs).await.expect("a service runs on what an earlier version made");
    create.ensure(&needs).await.unwrap();
    let bound = IDEMPOTENCY.bytes_max.map(i64::from);
    assert_eq!((Some(bytes_max("KV_idempotency").await), bytes_max("KV_sessions").await), (bound, 5_000_000));
}
