use super::*;
use crate::Timestamp;
use crate::entity::Kind;
use crate::id::{DeploymentId, SystemId};
use crate::token::Slug;

fn acme() -> Slug {
    "acme".parse().unwrap()
}

fn read_one(text: &str) -> Result<Vec<Document>, Vec<Problem>> {
    read(&[File { name: "a.yaml", text }], Some(&acme()), Timestamp::UNIX_EPOCH)
}

fn problems(text: &str) -> Vec<String> {
    read_one(text).err().unwrap_or_default().iter().map(ToString::to_string).collect()
}

const SHOP: &str = "\
# a comment before the first document
kind: Workspace
metadata: { name: shop-team }
---
kind: System
metadata:
  name: shop
---
kind: Environment
metadata: { name: staging, labels: { tier: test } }
spec:
  systems: [shop]
  resourceSelector: resource.metadata.stage == 'staging'
---
kind: Deployment
metadata: { name: Web front }
spec:
  systems: [shop]
  jobAgents:
    - ref: github
      selector: resource.type == 'cluster'
---
kind: Version
spec: { deployment: Web front, tag: v1 }
metadata: {}
";

#[test]
fn names_become_ids_and_the_one_workspace_is_everybodys() {
    let documents = read_one(SHOP).unwrap();
    let team: Slug = "shop-team".parse().unwrap();
    assert_eq!(documents.len(), 5);
    assert!(documents.iter().all(|document| document.entity.meta().workspace == team));
    let lines: Vec<usize> = documents.iter().map(|document| document.line).collect();
    assert_eq!(lines, [1, 5, 9, 15, 23]);
    let Entity::Deployment(web) = &documents[3].entity else { panic!("{:?}", documents[3]) };
    assert_eq!(web.spec.systems, [SystemId::of(&team, "shop")]);
    assert_eq!(web.spec.slug.as_str(), "Web-front");
    let Entity::Version(version) = &documents[4].entity else { panic!("{:?}", documents[4]) };
    assert_eq!(
        (version.spec.deployment, version.meta.name.as_str()),
        (DeploymentId::of(&team, "Web front"), "v1")
    );
    assert_eq!(documents[3].line_of("spec.jobAgents[0].selector"), 21);
    assert_eq!(documents[3].line_of("spec.jobAgents[0].nothing"), 20);
}

#[test]
fn what_is_read_is_written_back_as_it_was() {
    for document in read_one(SHOP).unwrap() {
        let name_of = |kind: Kind, _| match kind {
            Kind::System => Some("shop".to_owned()),
            Kind::Deployment => Some("Web front".to_owned()),
            _ => None,
        };
        let manifest = to_manifest(&document.entity, &name_of).to_string();
        let again = read_one(&manifest).unwrap().remove(0).entity;
        assert_eq!(again, document.entity, "{manifest}");
    }
}

#[test]
fn every_mistake_says_where_it_stands() {
    for (text, said) in [
        ("kind: Deploiment\nmetadata: {name: a}", "a.yaml:1: kind: there is no kind \"Deploiment\""),
        ("kind: Deploiment\nmetadata: {name: a}", "did you mean Deployment?"),
        ("metadata: {name: a}", "a.yaml:1: kind: is missing"),
        ("kind: System\nmetadata: {}", "a.yaml:2: metadata.name: is missing"),
        ("kind: System\nmetadata: {name: a}\nspecs: {}", "a.yaml:3: specs: there is no field"),
        (
            "kind: System\nmetadata: {name: a}\nspec:\n  descripton: x",
            "a.yaml:4: spec.descripton: unknown field",
        ),
        ("kind: System\nmetadata: {name: a}\nspec:\n  descripton: x", "did you mean description?"),
        (
            "kind: System\nmetadata:\n  name: a\n  workspace: a.b",
            "a.yaml:4: metadata.workspace: has the character '.'",
        ),
        ("kind: System\n  metadata: x: y", "is no YAML"),
        ("[1, 2]", "is no map of fields"),
        ("kind: Approval\nmetadata: {name: a}", "ctrlplane approve"),
        (
            "kind: Environment\nmetadata: {name: a}\nspec:\n  systems: [s]\n  resourceSelector: resourc.a == 1",
            "a.yaml:5: spec.resourceSelector: is no CEL expression: there is no variable `resourc`",
        ),
        (
            "kind: Environment\nmetadata: {name: a}\nspec:\n  systems: []\n  resourceSelector: 'true'",
            "a.yaml:4: spec.systems: must name at least one system",
        ),
        (
            "kind: Policy\nmetadata: {name: a}\nspec:\n  selector: 'true'\n  rules:\n    - versionSelector: {selector: 'true'}\n    - anyApproval:\n        minApprovals: 0",
            "a.yaml:8: spec.rules[1].anyApproval.minApprovals: must be at least 1",
        ),
        (
            "kind: Policy\nmetadata: {name: a}\nspec:\n  selector: 'true'\n  rules:\n    - anyAproval: {minApprovals: 1}",
            "did you mean anyApproval?",
        ),
        (
            "kind: JobAgent\nmetadata: {name: a}\nspec:\n  type: github-app\n  config:\n    token: ghp_x",
            "a.yaml:6: spec.config.token: looks like a secret",
        ),
        (
            "kind: JobAgent\nmetadata: {name: a}\nspec: {type: github-app, maxConcurrent: 0}",
            "a.yaml:3: spec.maxConcurrent: must be at least 1",
        ),
        (
            "kind: JobAgent\nmetadata: {name: a}\nspec: {type: github-app, config: {inputs: {a: '{{ b'}}}",
            "spec.config.inputs: is no template",
        ),
        (
            "kind: TriggerSource\nmetadata: {name: a.b}\nspec: {sender: {type: github}, secretRefs: []}",
            "a.yaml:2: metadata.name: becomes part of a URL",
        ),
        (
            "kind: Trigger\nmetadata: {name: a}\nspec:\n  source: s\n  event: push\n  when: evnt.ref == ''\n  then: {createVersion: {deployment: d, tag: t}}",
            "a.yaml:6: spec.when",
        ),
        (
            "kind: System\nmetadata: {name: a}\n---\nkind: System\nmetadata: {name: a}",
            "a.yaml:5: metadata.name: is declared twice; the first time at a.yaml:1",
        ),
        (
            "kind: Deployment\nmetadata: {name: a}\nspec:\n  systems: 3",
            "a.yaml:4: spec.systems: invalid type",
        ),
    ] {
        let found = problems(text);
        assert!(
            found.iter().any(|problem| problem.contains(said)),
            "{text}\nwanted: {said}\nfound: {found:#?}"
        );
    }
}

#[test]
fn all_mistakes_are_found_at_once() {
    let text = "kind: Systm\nmetadata: {name: a}\n---\nkind: System\nmetadata: {}\n---\nkind: Policy\nmetadata: {name: p}\nspec: {selector: 'x', rules: [{anyApproval: {minApprovals: 0, approvers: 'usr'}}]}";
    assert_eq!(problems(text).len(), 5, "{:#?}", problems(text));
}

#[test]
fn a_document_without_a_workspace_says_so() {
    let file = File { name: "a.yaml", text: "kind: System\nmetadata: {name: a}" };
    let problem = read(&[file], None, Timestamp::UNIX_EPOCH).unwrap_err().remove(0);
    assert!(problem.message.contains("no workspace"), "{problem}");
}
