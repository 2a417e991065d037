//! docs/ingest.md is true: its examples are read as manifests, and every kind of source has one.

use std::collections::BTreeSet;
use std::path::Path;

use domain::entity::{Entity, SourceKind};

use crate::rig::manifests;

#[test]
fn every_example_is_read_and_every_kind_of_source_has_one() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/ingest.md");
    let page = std::fs::read_to_string(page).unwrap();
    let blocks = page.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next());
    let shown: BTreeSet<&str> = blocks
        .flat_map(|block| manifests("docs/ingest.md", block))
        .map(|entity| {
            let Entity::TriggerSource(source) = entity else { panic!("no source: {entity:?}") };
            kind(&source.spec.sender)
        })
        .collect();
    let all = ["github", "gitlab", "hmac", "token", "cloudevents", "standard-webhooks"];
    assert_eq!(shown, BTreeSet::from(all));
}

/// By name, so that a new kind is not forgotten here.
fn kind(sender: &SourceKind) -> &'static str {
    match sender {
        SourceKind::Github {} => "github",
        SourceKind::Gitlab {} => "gitlab",
        SourceKind::Hmac { .. } => "hmac",
        SourceKind::Token { .. } => "token",
        SourceKind::CloudEvents { .. } => "cloudevents",
        SourceKind::StandardWebhooks {} => "standard-webhooks",
    }
}
