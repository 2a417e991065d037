//! That a platform said of a run what is known: no fact, as nothing happened, but worth showing.

use crate::Timestamp;
use crate::id::JobId;
use crate::token::Slug;
use serde::{Deserialize, Serialize};

/// The value in the bucket `confirmations`, key `<workspace>.<job>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Confirmation {
    /// When the look began that found nothing new.
    pub at: Timestamp,
}

impl Confirmation {
    /// Where it is kept.
    pub fn key(workspace: &Slug, job: JobId) -> String {
        format!("{workspace}.{job}")
    }

    /// Whose it is.
    pub fn job_of(key: &str) -> Option<(Slug, JobId)> {
        let (workspace, job) = key.split_once('.')?;
        Some((workspace.parse().ok()?, job.parse().ok()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_tells_whose_it_is() {
        let (acme, job): (Slug, _) = ("acme".parse().unwrap(), JobId(crate::id::derive(&["job"])));
        assert_eq!(Confirmation::job_of(&Confirmation::key(&acme, job)), Some((acme, job)));
        assert_eq!(Confirmation::job_of("acme"), None);
    }
}
