//! A digest of everything the views say about a workspace: equal digests, equal views, byte for byte.

use crate::error::ProjectionError;
use crate::generation::Generation;
use crate::keys;
use crate::read::value;
use crate::store::Projections;
use domain::token::Slug;
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;

/// How many keys are read in one round trip.
const STEP: usize = 500;

impl Projections {
    /// SHA-256, in hex, over all documents, timelines and indexes of a workspace in the live generation.
    /// Reads everything: for comparing views before and after a rebuild, not for serving.
    ///
    /// # Errors
    /// When Redis does not answer.
    pub async fn digest(&self, workspace: &Slug) -> Result<String, ProjectionError> {
        let generation = self.pointers().await?.readable();
        of(self, &generation, workspace).await
    }
}

/// The digest of a workspace in a generation.
pub(crate) async fn of(
    projections: &Projections,
    generation: &Generation,
    workspace: &Slug,
) -> Result<String, ProjectionError> {
    let prefix = keys::prefix(generation, workspace);
    let names = every_name(projections, &prefix).await?;
    let mut hasher = Sha256::new();
    let mut add = |text: &str| {
        hasher.update((text.len() as u64).to_be_bytes());
        hasher.update(text.as_bytes());
    };
    let names: Vec<String> = names.into_iter().collect();
    for step in names.chunks(STEP) {
        let mut pipe = redis::pipe();
        for name in step {
            let key = format!("{prefix}{name}");
            if name.starts_with("job:") {
                pipe.cmd("HMGET").arg(key).arg("sequence").arg("document").arg("indexes").arg("score");
            } else {
                pipe.cmd("ZRANGE").arg(key).arg(0).arg(-1).arg("WITHSCORES");
            }
        }
        let answers = projections.run(&pipe).await?;
        for (name, answer) in step.iter().zip(answers) {
            add(name);
            let parts: Vec<Option<String>> = value(answer)?;
            for part in parts {
                add(part.as_deref().unwrap_or(""));
            }
        }
    }
    Ok(hex::encode(hasher.finalize()))
}

async fn every_name(projections: &Projections, prefix: &str) -> Result<BTreeSet<String>, ProjectionError> {
    let pattern = format!("{prefix}*");
    let mut names = BTreeSet::new();
    let mut cursor = "0".to_owned();
    loop {
        let (next, found) = projections.scan(&cursor, &pattern).await?;
        names.extend(found.into_iter().filter_map(|key| key.strip_prefix(prefix).map(str::to_owned)));
        if next == "0" {
            return Ok(names);
        }
        cursor = next;
    }
}
