//! What was told of each job already, so that nothing is said twice, whatever live events repeat. Bounded.

use std::collections::HashMap;

use domain::id::JobId;
use domain::job::{JobStatus, JobView};

/// How many jobs are remembered; past that, the half with the oldest news is forgotten.
const JOBS_MAX: usize = 50_000;

/// The last that was told of each job.
#[derive(Default)]
pub(super) struct Told(HashMap<JobId, Line>);

struct Line {
    sequence: u64,
    shown: Shown,
}

/// What a person sees change.
#[derive(PartialEq)]
struct Shown {
    status: JobStatus,
    cancelling: bool,
    message: Option<String>,
    run: Option<String>,
}

impl Told {
    /// Whether a person has not seen this yet; notes it.
    pub(super) fn is_news(&mut self, job: &JobView) -> bool {
        let shown = Shown {
            status: job.status,
            cancelling: job.cancelling,
            message: job.message.clone(),
            run: job.links.get("run").cloned(),
        };
        match self.0.get_mut(&job.id) {
            Some(told) if told.sequence >= job.sequence => false,
            Some(told) => {
                told.sequence = job.sequence;
                let is_news = told.shown != shown;
                told.shown = shown;
                is_news
            }
            None => {
                if self.0.len() >= JOBS_MAX {
                    self.forget_half();
                }
                self.0.insert(job.id, Line { sequence: job.sequence, shown });
                true
            }
        }
    }

    fn forget_half(&mut self) {
        let mut sequences: Vec<u64> = self.0.values().map(|line| line.sequence).collect();
        let middle = sequences.len() / 2;
        let median = *sequences.select_nth_unstable(middle).1;
        self.0.retain(|_, line| line.sequence > median);
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use domain::id::derive;
    use serde_json::json;

    /// The n-th job, as of that fact.
    pub(crate) fn job(n: usize, sequence: u64, status: JobStatus) -> JobView {
        let id = derive(&["x"]);
        let target = json!({ "deployment": id, "environment": id, "resource": id });
        let at = "2026-01-01T00:00:00Z";
        serde_json::from_value(json!({
            "id": derive(&["job", &n.to_string()]), "workspace": "acme", "status": status, "deployment": "web",
            "environment": "staging", "target": target, "versionId": id, "version": "v1", "releaseId": id,
            "attempt": 1, "createdAt": at, "updatedAt": at, "sequence": sequence,
        }))
        .unwrap()
    }

    #[test]
    fn nothing_is_told_twice_and_nothing_old() {
        let mut told = Told::default();
        assert!(told.is_news(&job(1, 5, JobStatus::Queued)));
        assert!(!told.is_news(&job(1, 5, JobStatus::Queued)), "the same again");
        assert!(!told.is_news(&job(1, 4, JobStatus::Pending)), "late news");
        assert!(
            !told.is_news(&job(1, 6, JobStatus::Queued)),
            "a newer fact that changes nothing a person sees"
        );
        assert!(told.is_news(&job(1, 7, JobStatus::InProgress)));
        assert!(told.is_news(&job(2, 1, JobStatus::InProgress)), "another job");
    }

    #[test]
    fn memory_is_bounded() {
        let mut told = Told::default();
        for n in 0..=JOBS_MAX {
            assert!(told.is_news(&job(n, n as u64, JobStatus::Queued)));
        }
        assert!(told.0.len() <= JOBS_MAX);
        assert!(!told.is_news(&job(JOBS_MAX, 0, JobStatus::Pending)), "the newest is remembered");
    }
}
