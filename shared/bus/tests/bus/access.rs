//! Permissions: with the users file that is deployed, every service can do its work, and nothing else.

use bus::topology::{
    CATALOG, DELIVERIES, JOBS, PAYLOADS, STATUS, SUBSCRIBER, Service, dispatcher_jobs, evaluator_triggers,
    needs_of, users_conf,
};
use bus::{Bus, ConnectOptions, Failure, FollowSource, From, HeaderMap, Provision, dead};
use servers::TestServers;

use crate::rig::{LIMITS, follow, options, run, until, within};

pub(crate) async fn servers_with_users() -> TestServers {
    let mut conf = users_conf();
    for user in Service::ALL.map(Service::name).into_iter().chain([SUBSCRIBER]) {
        let variable = format!("$NATS_{}_PASSWORD", user.to_ascii_uppercase().replace('-', "_"));
        assert!(conf.contains(&variable), "{variable}");
        conf = conf.replace(&variable, &format!("\"secret of {user}\""));
    }
    TestServers::with(|nats| nats.extra_config = conf).await
}

pub(crate) fn login(servers: &TestServers, service: Service, provision: Provision) -> ConnectOptions {
    ConnectOptions {
        user: Some(service.name().into()),
        password: Some(format!("secret of {}", service.name())),
        ..options(servers, service.name(), provision)
    }
}

async fn connect(servers: &TestServers, service: Service) -> Bus {
    let bus = Bus::connect(&login(servers, service, Provision::Verify)).await.unwrap();
    bus.ensure(&needs_of(service)).await.unwrap();
    bus
}

#[tokio::test]
async fn every_service_works_with_exactly_its_permissions() {
    let servers = servers_with_users().await;
    let admin = Bus::connect(&login(&servers, Service::Admin, Provision::Create)).await.unwrap();
    admin.ensure(&needs_of(Service::Admin)).await.unwrap();

    let ingester = connect(&servers, Service::TriggerIngester).await;
    ingester.bucket(&DELIVERIES).create("d1", "x".into()).await.unwrap();
    let large = bytes::Bytes::from(vec![1; ingester.max_payload_bytes() + 1]);
    ingester.objects(&PAYLOADS).put("d1", large.clone()).await.unwrap();
    ingester
        .publish("ctrlplane.trigger.w.s.e".into(), HeaderMap::new(), "x".into(), Some("d1"))
        .await
        .unwrap();

    let evaluator = connect(&servers, Service::PolicyEvaluator).await;
    let mut catalog = follow(&evaluator, FollowSource::Bucket(&CATALOG, None), From::LastPerSubject);
    assert_eq!(catalog.next().await, "caught up at 0");
    let mut triggers = run(&evaluator, &evaluator_triggers(), LIMITS, |got| async move {
        if got.delivery.attempt == 1 {
            Err(Failure::retry("once"))
        } else {
            Err(Failure::Reject("no".into()))
        }
    });
    triggers.texts(2).await;
    until("it is given up", || async { dead::list(&admin, 0, 10).await.unwrap().len() == 1 }).await;
    triggers.drained().await;
    assert_eq!(evaluator.objects(&PAYLOADS).get("d1", large.len()).await.unwrap(), Some(large));
    evaluator.bucket(&CATALOG).create("w.version.1", "v".into()).await.unwrap();
    assert_eq!(catalog.next().await, "w.version.1=v");
    evaluator.publish("ctrlplane.job.w.j".into(), HeaderMap::new(), "x".into(), None).await.unwrap();

    let dispatcher = connect(&servers, Service::Dispatcher).await;
    let mut jobs = run(&dispatcher, &dispatcher_jobs(), LIMITS, |_| async { Ok(()) });
    jobs.next().await;
    jobs.drained().await;

    let syncer = connect(&servers, Service::StatusSyncer).await;
    let mut folded = follow(&syncer, FollowSource::Stream(&JOBS, None), From::All);
    assert_eq!(folded.lines(2).await, ["ctrlplane.job.w.j=x", "caught up at 1"]);
    syncer.publish("ctrlplane.status.w.p.d.e.j".into(), HeaderMap::new(), "s".into(), None).await.unwrap();

    let api = connect(&servers, Service::Api).await;
    let mut live = follow(&api, FollowSource::Stream(&STATUS, None), From::LastPerSubject);
    assert_eq!(live.lines(2).await, ["ctrlplane.status.w.p.d.e.j=s", "caught up at 1"]);
    let letters = dead::list(&api, 0, 10).await.unwrap();
    dead::redrive(&api, letters[0].sequence).await.unwrap();
    connect(&servers, Service::AgentGithubActions).await;
    connect(&servers, Service::AgentHttpPull).await;
    connect(&servers, Service::AgentGitlabCi).await;
    connect(&servers, Service::AgentKubernetesJobs).await;
    connect(&servers, Service::AgentVerification).await;
}

#[tokio::test]
async fn a_refused_permission_is_fatal_and_says_what_was_refused() {
    let servers = servers_with_users().await;
    let admin = Bus::connect(&login(&servers, Service::Admin, Provision::Create)).await.unwrap();
    admin.ensure(&needs_of(Service::Admin)).await.unwrap();
    for (service, subject) in [
        (Service::TriggerIngester, "ctrlplane.job.w.j"),
        (Service::StatusSyncer, "ctrlplane.command.p.a.trigger.j"),
        (Service::PolicyEvaluator, "$KV.catalog.w.policy.1"),
        (Service::AgentGithubActions, "$KV.slots.x"),
        (Service::AgentHttpPull, "ctrlplane.command.http-pull.a.trigger.j"),
        (Service::AgentVerification, "ctrlplane.command.verification.a.trigger.j"),
        (Service::Dispatcher, "$JS.API.STREAM.DELETE.JOBS"),
    ] {
        let bus = connect(&servers, service).await;
        bus.client().publish(subject, "x".into()).await.unwrap();
        let words = within("the refusal", bus.fatal()).await;
        assert!(words.contains(subject), "{words}");
    }
}

#[tokio::test]
async fn wrong_credentials_are_refused_at_once() {
    let servers = servers_with_users().await;
    let wrong =
        ConnectOptions { password: Some("wrong".into()), ..login(&servers, Service::Api, Provision::Verify) };
    let error = within("the refusal", Bus::connect(&wrong)).await.unwrap_err();
    assert!(matches!(error, bus::BusError::Refused { .. }), "{error:?}");
    assert!(!format!("{error:?}{wrong:?}").contains("wrong"), "no password in an error");
}
