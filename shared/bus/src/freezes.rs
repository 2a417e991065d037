//! The last change of a freeze in each workspace, as a revision of the catalog: written before a freeze is confirmed, read
//! before a job goes out, so that nobody starts what was frozen because his catalog lags.

use domain::token::Slug;
use serde::{Deserialize, Serialize};

use crate::bucket::Bucket;
use crate::connect::Bus;
use crate::error::{BusError, CasError};
use crate::topology::FREEZES;

/// How often a change is noted against other writers. Each race is lost to a later change or to the same.
const RACES_MAX: usize = 64;

/// The `freezes` bucket.
#[derive(Debug, Clone)]
pub struct Freezes {
    bucket: Bucket,
}

/// The value behind a workspace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct LastChange {
    revision: u64,
}

impl Freezes {
    /// The bucket on that bus.
    pub fn new(bus: &Bus) -> Self {
        Self { bucket: bus.bucket(&FREEZES) }
    }

    /// The revision of the catalog at which a freeze of the workspace last changed; 0 when none ever did.
    ///
    /// # Errors
    /// When the bus does not answer, or what it keeps cannot be read.
    pub async fn changed_at(&self, workspace: &Slug) -> Result<u64, BusError> {
        let last = self.bucket.get_json::<LastChange>(workspace.as_str()).await?;
        Ok(last.map_or(0, |(last, _)| last.revision))
    }

    /// Notes that a freeze of the workspace changed at that revision. What is noted only ever grows.
    ///
    /// # Errors
    /// When the bus does not confirm it, or others were faster each time.
    pub async fn note(&self, workspace: &Slug, revision: u64) -> Result<(), CasError> {
        let (key, change) = (workspace.as_str(), LastChange { revision });
        for _ in 0..RACES_MAX {
            let noted = match self.bucket.get_json::<LastChange>(key).await? {
                Some((last, _)) if last.revision >= revision => return Ok(()),
                Some((_, at)) => self.bucket.update_json(key, &change, at).await,
                None => self.bucket.create_json(key, &change).await,
            };
            match noted {
                Ok(_) => return Ok(()),
                Err(CasError::Conflict) => {}
                Err(error @ CasError::Bus(_)) => return Err(error),
            }
        }
        Err(CasError::Conflict)
    }
}
