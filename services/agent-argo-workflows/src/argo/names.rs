//! How a workflow carries its job: a name that is the same however often the job is started, and a label. Pure.

use domain::id::JobId;
use std::collections::BTreeMap;

/// The label with the job's id. What does not carry it is not ours, whatever its name.
pub(super) const JOB_LABEL: &str = "ctrlplane.dev/job-id";

/// The parameter that counts the attempts of a workflow. Argo itself forgets at a retry that there was one.
pub(super) const ATTEMPT_PARAMETER: &str = "ctrlplane-attempt";

/// The name of a job's workflow: 40 characters of the 63 that Argo allows.
pub(super) fn of_job(job: JobId) -> String {
    format!("job-{job}")
}

/// The job whose id the labels carry.
pub(super) fn job_in(labels: &BTreeMap<String, String>) -> Option<JobId> {
    labels.get(JOB_LABEL)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_is_read_back_from_its_label() {
        let job: JobId = "0b5c4e52-94c1-5d0a-8d2a-6a1f52c05a0e".parse().unwrap();
        assert_eq!(of_job(job), "job-0b5c4e52-94c1-5d0a-8d2a-6a1f52c05a0e");
        let labels = |value: &str| BTreeMap::from([(JOB_LABEL.to_owned(), value.to_owned())]);
        assert_eq!(job_in(&labels(&job.to_string())), Some(job));
        assert_eq!(job_in(&labels("x")), None);
        assert_eq!(job_in(&BTreeMap::new()), None);
    }
}
