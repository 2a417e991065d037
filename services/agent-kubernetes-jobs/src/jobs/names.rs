//! How objects carry a job's id: name, labels and annotations. A name is made of the job, so a start that is repeated meets
//! the first one's object.

use super::wire::Job;
use cluster::Metadata;
use domain::id::JobId;

/// The label of Jobs and their pods that carries the job's id.
pub const JOB_ID: &str = "ctrlplane.dev/job-id";
/// The label of Jobs and their pods that says which attempt they are, from 1.
pub const ATTEMPT: &str = "ctrlplane.dev/attempt";
/// The annotation of Jobs that we were asked to end.
pub const CANCELLED: &str = "ctrlplane.dev/cancelled";
/// Who owns the fields we apply.
pub(super) const FIELD_MANAGER: &str = "ctrlplane-agent";

/// The id of a job's run: the name of its first object. All attempts are one run.
pub(super) fn run_id(job: JobId) -> String {
    format!("job-{}", job.0.hyphenated())
}

/// The job of a run.
pub(super) fn job_of(run_id: &str) -> Option<JobId> {
    run_id.strip_prefix("job-")?.parse().ok()
}

/// The object of an attempt: at most 63 bytes, because it becomes a label of its pods.
pub(super) fn object_name(run_id: &str, attempt: u32) -> String {
    match attempt {
        0 | 1 => run_id.to_owned(),
        more => format!("{run_id}-a{more}"),
    }
}

/// Which job and attempt an object is of, by its labels.
pub(super) fn owner(metadata: &Metadata) -> Option<(JobId, u32)> {
    let job = metadata.labels.get(JOB_ID)?.parse().ok()?;
    let attempt = metadata.labels.get(ATTEMPT).and_then(|attempt| attempt.parse().ok()).filter(|n| *n > 0);
    Some((job, attempt.unwrap_or(1)))
}

/// Whether the object is the one we make for that attempt.
pub(super) fn is_ours(job: &Job, id: JobId, attempt: u32) -> bool {
    owner(&job.metadata) == Some((id, attempt))
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    #[test]
    fn a_name_is_made_of_job_and_attempt_and_never_too_long() {
        let job = JobId(Uuid::from_u128(7));
        let id = run_id(job);
        assert_eq!(id, "job-00000000-0000-0000-0000-000000000007");
        assert_eq!((object_name(&id, 1), object_name(&id, 2)), (id.clone(), format!("{id}-a2")));
        assert!(object_name(&id, u32::MAX).len() <= 63);
        assert_eq!(job_of(&id), Some(job));
        assert_eq!((job_of("job-7"), job_of("other")), (None, None));
    }

    #[test]
    fn an_object_belongs_to_the_job_of_its_label() {
        let with = |labels: &[(&str, &str)]| {
            let labels =
                labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
            owner(&Metadata { labels, ..Metadata::default() })
        };
        let id = "00000000-0000-0000-0000-000000000007";
        let job = JobId(Uuid::from_u128(7));
        assert_eq!(with(&[(JOB_ID, id)]), Some((job, 1)));
        assert_eq!(with(&[(JOB_ID, id), (ATTEMPT, "3")]), Some((job, 3)));
        assert_eq!(with(&[(JOB_ID, id), (ATTEMPT, "x")]), Some((job, 1)));
        assert_eq!((with(&[]), with(&[(JOB_ID, "seven")])), (None, None));
    }
}
