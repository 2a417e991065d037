//! Release targets: what was decided, by which rules, and the chain of causes behind the last job.

use crate::harness::{World, acme, job, until};
use bus::Base;
use bus::topology::{CATALOG, TARGETS};
use domain::decision::{
    ConsideredVersion, JobOnTarget, RuleVerdict, TargetDecision, TargetState, Verdict, VersionOnTarget,
};
use domain::entity::{Entity, Meta, Record};
use domain::id::VersionId;
use domain::job::{ExternalRef, JobFact, JobStatus, Links, TerminalStatus};
use domain::subject::target_key;
use reqwest::StatusCode;
use serde_json::{Value, json};

fn decision() -> TargetDecision {
    let job = job(1);
    let at = "2026-01-01T00:00:00Z".parse().expect("an instant");
    let rule = RuleVerdict {
        policy: None,
        policy_name: "gate".into(),
        rule: "anyApproval".into(),
        verdict: Verdict::Wait { until: None },
        reason: "0 of 1 approvals".into(),
        satisfied_at: None,
        changes_at: Default::default(),
        inputs: Default::default(),
        policy_updated_at: Default::default(),
        rule_index: Default::default(),
        skipped_by: Default::default(),
        error: false,
    };
    TargetDecision {
        workspace: acme(),
        target: job.target,
        state: TargetState::Deploying,
        summary: "1.0.1 is on its way".into(),
        desired: Some(VersionOnTarget {
            version: job.version,
            tag: job.tag.clone(),
            release: job.release,
            since: at,
            content: None,
        }),
        current: None,
        active: Some(JobOnTarget {
            job: job.id,
            release: job.release,
            version: job.version,
            tag: job.tag.clone(),
            attempt: 1,
            status: JobStatus::Pending,
            reason: None,
            at,
            content: None,
        }),
        last: None,
        attempts: Vec::new(),
        left_out: 0,
        considered: vec![ConsideredVersion {
            version: job.version,
            tag: job.tag,
            allowed: false,
            rules: vec![rule],
        }],
        next_look: None,
        catalog_revision: 0,
        decided_at: at,
        cause: Some("a version".into()),
        earlier: Default::default(),
        held: Default::default(),
        redeployed: Default::default(),
        waits_for: Default::default(),
        places: Default::default(),
        verifications: Default::default(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_says_what_was_decided_and_why() {
    let world = World::with_shop().await;
    let version = "/api/v1/workspaces/acme/deployments/web/versions";
    assert_eq!(world.post("otto", version, json!({ "tag": "1.0.1" })).await.status, StatusCode::OK);
    let job = world.requested(1).await;
    let decision = decision();
    let key = target_key(&acme(), &decision.target);
    world.bus.bucket(&TARGETS).create_json(&key, &decision).await.unwrap();

    let targets = "/api/v1/workspaces/acme/release-targets";
    let listed = until("the decision is known", || async {
        let page = world.get("vera", &format!("{targets}?deployment=web&environment=staging")).await;
        (page.json["total"] == json!(1)).then_some(page)
    })
    .await;
    let line = &listed.json["items"][0];
    assert_eq!(
        (
            &line["deployment"]["name"],
            &line["environment"]["name"],
            &line["resource"]["name"],
            &line["state"]
        ),
        (&json!("web"), &json!("staging"), &json!("cluster-eu"), &json!("deploying"))
    );
    assert_eq!(world.get("vera", &format!("{targets}?environment=production")).await.json["total"], json!(0));

    let by_key = world.get("vera", &format!("{targets}/{}/explain", decision.target)).await;
    let names = "deployment=web&environment=staging&resource=cluster-eu";
    let by_names = world.get("vera", &format!("{targets}/explain?{names}")).await;
    assert_eq!((by_key.status, &by_key.json), (StatusCode::OK, &by_names.json), "{by_key:?}");
    let told: TargetDecision = serde_json::from_value(by_key.json["decision"].clone()).unwrap();
    assert_eq!(told, decision, "every version with every rule's verdict");
    let chain = by_key.json["chain"].as_array().unwrap();
    let steps: Vec<&str> = chain.iter().map(|link| link["step"].as_str().unwrap()).collect();
    assert_eq!(steps, ["version", "decision", "job"]);
    assert_eq!((&chain[0]["by"], &chain[2]["id"]), (&json!("otto"), &json!(job.id)));
    assert_eq!((&chain[1]["summary"], &chain[1]["job"]), (&json!("1.0.1 is on its way"), &json!(job.id)));
    assert_eq!(
        chain[1]["rules"],
        json!(decision.considered[0].rules),
        "it is the decision that asked for the job"
    );

    for (path, status) in [
        (format!("{targets}/x/explain"), StatusCode::NOT_FOUND),
        (format!("{targets}/explain?deployment=web"), StatusCode::BAD_REQUEST),
        (format!("{targets}/explain?{}", names.replace("cluster-eu", "moon")), StatusCode::BAD_REQUEST),
        (format!("{targets}/explain?{}", names.replace("staging", "production")), StatusCode::NOT_FOUND),
    ] {
        assert_eq!(world.get("vera", &path).await.status, status, "{path}");
    }
    world.end().await;
}

/// A decision shows ten; who asks why is told of the others as well, by the same rules.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_decision_leaves_out_is_told_when_somebody_asks_why() {
    let world = World::with_shop().await;
    let mut decision = decision();
    decision.left_out = 11;
    let gate = "kind: Policy\nmetadata: { name: gate, workspace: acme }\n\
                spec: { selector: 'true', rules: [{ anyApproval: { minApprovals: 1 } }] }\n";
    assert_eq!(world.apply("adam", gate, false).await.status, StatusCode::OK);
    let versions = "/api/v1/workspaces/acme/deployments/web/versions";
    for n in 0..12 {
        let made = world.post("otto", versions, json!({ "tag": format!("9.0.{n}") })).await;
        assert!(made.status.is_success(), "{made:?}");
    }
    decision.considered[0].version = VersionId::of(decision.target.deployment, "9.0.11");
    let key = target_key(&acme(), &decision.target);
    world.bus.bucket(&TARGETS).create_json(&key, &decision).await.unwrap();
    let path = format!("/api/v1/workspaces/acme/release-targets/{}/explain", decision.target);
    let told = until("the decision is known", || async {
        let told = world.get("vera", &path).await;
        (told.status == StatusCode::OK).then_some(told)
    })
    .await;
    assert_eq!(told.json["decision"]["leftOut"], json!(11));
    let more: Vec<ConsideredVersion> =
        serde_json::from_value(told.json["more"]["considered"].clone()).unwrap();
    let tags: Vec<&str> = more.iter().map(|told| told.tag.as_str()).collect();
    assert_eq!(
        tags[..11],
        ["9.0.10", "9.0.9", "9.0.8", "9.0.7", "9.0.6", "9.0.5", "9.0.4", "9.0.3", "9.0.2", "9.0.1", "9.0.0"]
    );
    for told in &more[..11] {
        let waits =
            told.rules.iter().find(|rule| rule.rule == "anyApproval").expect("every rule has its say");
        assert_eq!(
            (&waits.verdict, waits.inputs.is_some()),
            (&Verdict::Wait { until: None }, true),
            "{told:?}"
        );
    }
    world.end().await;
}

/// From the event to the run, by ids; and back to the decision that asked for the job, whatever was decided since.
#[tokio::test(flavor = "multi_thread")]
async fn the_last_job_leads_back_to_what_caused_it() {
    let world = World::with_shop().await;
    let job = job(1);
    // A version as a trigger makes it of a delivery.
    let at = "2026-01-01T00:00:00Z".parse().expect("an instant");
    let meta = Meta {
        id: job.version.0,
        workspace: acme(),
        name: "The basket".into(),
        metadata: [("ctrlplane/delivery", "d-1"), ("createdBy", "otto")]
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .into(),
        created_at: at,
        updated_at: at,
    };
    let spec =
        serde_json::from_value(json!({ "deployment": job.target.deployment, "tag": job.tag })).unwrap();
    let version = Entity::Version(Record { meta, spec });
    world.bus.bucket(&CATALOG).create_json(&version.key().to_string(), &version).await.unwrap();

    let grounds = decision().grounds(job.version).expect("what the rules said then");
    let requested = JobFact::Requested { catalog_revision: 7, grounds: Some(Box::new(grounds.clone())) };
    let cause = "approval 42 changed (revision 7)".to_owned();
    world.bus.jobs().record(&job, requested, Base::New, Some(cause.clone())).await.unwrap();
    let dispatch = json!({ "agent": job.release, "agentName": "github", "platform": "github-app", "config": {},
        "context": {}, "deadlines": { "queueSeconds": 60, "runSeconds": 60 } });
    world.record(&job, JobFact::Dispatched(serde_json::from_value(dispatch).unwrap())).await;
    world.record(&job, JobFact::TriggerStarted { fence: 1 }).await;
    let external = ExternalRef {
        platform: "github-app".parse().unwrap(),
        host: "api.github.com".into(),
        scope: "acme/shop".into(),
        id: "30".into(),
        attempt: 1,
        url: None,
    };
    let links: Links = [("run".to_owned(), "https://github.com/acme/shop/actions/runs/30".to_owned())].into();
    world.record(&job, JobFact::Triggered { external, links }).await;
    world.record(&job, JobFact::ended(TerminalStatus::Successful, None, "it ran")).await;

    // The target was decided on since, because of something else.
    let mut decision = decision();
    let active = decision.active.take().unwrap();
    decision.last = Some(JobOnTarget { status: JobStatus::Successful, ..active });
    decision.decided_at = "2026-01-02T00:00:00Z".parse().unwrap();
    (decision.cause, decision.catalog_revision) = (Some("a freeze".into()), 99);
    let key = target_key(&acme(), &decision.target);
    world.bus.bucket(&TARGETS).create_json(&key, &decision).await.unwrap();

    let path = format!("/api/v1/workspaces/acme/release-targets/{}/explain", decision.target);
    let told = until("the decision and the version are known", || async {
        let told = world.get("vera", &path).await;
        (told.status == StatusCode::OK && told.json["chain"][0]["step"] == "delivery").then_some(told)
    })
    .await;
    assert_eq!(
        (&told.json["decision"]["cause"], &told.json["decision"]["catalogRevision"]),
        (&json!("a freeze"), &json!(99))
    );
    let facts = world.bus.jobs().events(&acme(), job.id).await.unwrap();
    let chain: Vec<Value> = told.json["chain"].as_array().unwrap().clone();
    let steps: Vec<&str> = chain.iter().map(|link| link["step"].as_str().unwrap()).collect();
    assert_eq!(steps, ["delivery", "version", "decision", "job", "externalRun"]);
    let [delivery, version, asked, ran, run] = chain.as_slice() else { panic!("{chain:?}") };
    assert_eq!(delivery["id"], "d-1");
    assert_eq!((&version["id"], &version["by"]), (&json!(job.version), &json!("otto")));
    assert_eq!(
        (&asked["job"], &asked["cause"], &asked["catalogRevision"], &asked["at"]),
        (&json!(job.id), &json!(cause), &json!(7), &json!(facts[0].1.at)),
        "the one that asked for the job, and not the newest"
    );
    assert_eq!(
        (&asked["summary"], &asked["rules"]),
        (&json!(grounds.summary), &json!(grounds.rules)),
        "what was said then stays with the job"
    );
    assert!(!grounds.rules.is_empty());
    assert_eq!(
        (&ran["id"], &ran["status"], &ran["agent"]),
        (&json!(job.id), &json!("successful"), &json!("github"))
    );
    assert_eq!((&run["run"]["id"], &run["run"]["scope"]), (&json!("30"), &json!("acme/shop")));
    world.end().await;
}
