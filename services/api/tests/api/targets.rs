//! Release targets: what was decided, by which rules, and the chain of causes behind the last job.

use crate::harness::{World, acme, job, until};
use bus::topology::TARGETS;
use domain::decision::{
    ConsideredVersion, JobOnTarget, RuleVerdict, TargetDecision, TargetState, Verdict, VersionOnTarget,
};
use domain::job::JobStatus;
use domain::subject::target_key;
use reqwest::StatusCode;
use serde_json::json;

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
        }),
        last: None,
        attempts: Vec::new(),
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
        verifications: Default::default(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_says_what_was_decided_and_why() {
    let world = World::with_shop().await;
    let version = "/api/v1/workspaces/acme/deployments/web/versions";
    assert_eq!(world.post("otto", version, json!({ "tag": "1.0.1" })).await.status, StatusCode::ACCEPTED);
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
