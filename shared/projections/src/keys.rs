//! Every Redis key of this system, in one table.
//!
//! | Key | Type | Holds |
//! |---|---|---|
//! | `cp:v1:{views}:generations` | hash | `live`, `next`: which generation is read, which is being filled |
//! | `cp:v1:{views}:rebuild` | string | who fills it; expires |
//! | `cp:v1:{views}:applied` | hash | stream → greatest sequence that reached the views |
//! | `cp:v1:<generation>:workspaces` | set | workspace slugs |
//! | `cp:v1:<generation>:{<workspace>}:job:<id>` | hash | `sequence`, `document` (a `JobView`), `indexes` it is in, its `score` there; `confirmed`: the last look that found nothing new, in ms |
//! | `cp:v1:<generation>:{<workspace>}:history:<id>` | sorted set | score sequence, member `HistoryEntry` |
//! | `cp:v1:<generation>:{<workspace>}:jobs:<index>` | sorted set | score creation in ms, member job id |
//!
//! Indexes: `all`, `status:<status>`, `deployment:<id>`, `environment:<id>`, `resource:<id>`, `target:<key>`,
//! `version:<id>`, `platform:<slug>`, `agent:<id>`, `workflow:<id>`, `run:<id>`. Everything of one workspace has one hash tag, so it stays in one
//! slot of a cluster and a script may touch all of it.

use crate::filter::JobFilter;
use crate::generation::Generation;
use domain::id::JobId;
use domain::job::{JobStatus, JobView, Purpose};
use domain::target::TargetKey;
use domain::token::Slug;

/// Every key begins so. The version is that of this table: another table, another version.
const ROOT: &str = "cp:v1:";

/// Which generations there are.
pub(crate) const POINTERS: &str = "cp:v1:{views}:generations";
/// Who rebuilds.
pub(crate) const REBUILD: &str = "cp:v1:{views}:rebuild";
/// How far the views are.
pub(crate) const APPLIED: &str = "cp:v1:{views}:applied";
/// Matches every key of every generation, and the three above.
pub(crate) const EVERY_KEY: &str = "cp:v1:*";

/// The set of workspaces of a generation.
pub(crate) fn workspaces(generation: &Generation) -> String {
    format!("{ROOT}{generation}:workspaces")
}

/// The generation a key belongs to; `None` for keys that belong to none.
pub(crate) fn generation_of(key: &str) -> Option<&str> {
    let (generation, _) = key.strip_prefix(ROOT)?.split_once(':')?;
    (!generation.starts_with('{')).then_some(generation)
}

/// What every key of a workspace in a generation begins with.
pub(crate) fn prefix(generation: &Generation, workspace: &Slug) -> String {
    format!("{ROOT}{generation}:{{{workspace}}}:")
}

pub(crate) fn job(prefix: &str, id: JobId) -> String {
    format!("{prefix}job:{id}")
}

pub(crate) fn history(prefix: &str, id: JobId) -> String {
    format!("{prefix}history:{id}")
}

pub(crate) fn index(prefix: &str, name: &str) -> String {
    format!("{prefix}jobs:{name}")
}

/// The index of every job.
pub(crate) const ALL: &str = "all";

/// The index of the jobs in a status.
pub(crate) fn by_status(status: JobStatus) -> String {
    format!("status:{status}")
}

/// The indexes a job is in.
pub(crate) fn indexes_of(view: &JobView) -> Vec<String> {
    let mut names = vec![ALL.to_owned(), by_status(view.status)];
    match view.purpose {
        Purpose::Deploy | Purpose::Verify { .. } => names.extend([
            format!("deployment:{}", view.target.deployment),
            format!("environment:{}", view.target.environment),
            format!("resource:{}", view.target.resource),
            format!("target:{}", view.target),
            format!("version:{}", view.version_id),
        ]),
        Purpose::Workflow { workflow, run } => {
            names.extend([format!("workflow:{workflow}"), format!("run:{run}")]);
        }
    }
    names.extend(view.platform.as_ref().map(|platform| format!("platform:{platform}")));
    names.extend(view.job_agent_id.map(|agent| format!("agent:{agent}")));
    names
}

/// The indexes that answer a filter: a job fits when each group has it in at least one of its indexes.
pub(crate) fn groups_of(filter: &JobFilter) -> Vec<Vec<String>> {
    let JobFilter { statuses, deployment, environment, resource, version, platform, agent, workflow, run } =
        filter;
    let mut groups = Vec::new();
    if !statuses.is_empty() {
        groups.push(statuses.iter().map(|status| by_status(*status)).collect());
    }
    let mut one = |name: Option<String>| groups.extend(name.map(|name| vec![name]));
    match (*deployment, *environment, *resource) {
        (Some(deployment), Some(environment), Some(resource)) => {
            one(Some(format!("target:{}", TargetKey { deployment, environment, resource })));
        }
        (deployment, environment, resource) => {
            one(deployment.map(|id| format!("deployment:{id}")));
            one(environment.map(|id| format!("environment:{id}")));
            one(resource.map(|id| format!("resource:{id}")));
        }
    }
    one(version.map(|id| format!("version:{id}")));
    one(platform.as_ref().map(|slug| format!("platform:{slug}")));
    one(agent.map(|id| format!("agent:{id}")));
    one(workflow.map(|id| format!("workflow:{id}")));
    one(run.map(|id| format!("run:{id}")));
    if groups.is_empty() {
        groups.push(vec![ALL.to_owned()]);
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::id::{DeploymentId, EnvironmentId, ResourceId, derive};

    #[test]
    fn a_key_tells_its_generation() {
        let generation = Generation::from("abc".to_owned());
        let acme: Slug = "acme".parse().unwrap();
        for key in [workspaces(&generation), index(&prefix(&generation, &acme), ALL)] {
            assert_eq!(generation_of(&key), Some("abc"), "{key}");
        }
        for key in [POINTERS, REBUILD, APPLIED, "other:key"] {
            assert_eq!(generation_of(key), None, "{key}");
        }
    }

    #[test]
    fn a_whole_target_is_one_index() {
        let (deployment, environment, resource) =
            (DeploymentId(derive(&["d"])), EnvironmentId(derive(&["e"])), ResourceId(derive(&["r"])));
        let mut filter = JobFilter { deployment: Some(deployment), ..JobFilter::default() };
        assert_eq!(groups_of(&filter), [[format!("deployment:{deployment}")]]);
        filter.environment = Some(environment);
        filter.resource = Some(resource);
        assert_eq!(
            groups_of(&filter),
            [[format!("target:{}", TargetKey { deployment, environment, resource })]]
        );
        assert_eq!(groups_of(&JobFilter::default()), [["all"]]);
        let either = JobFilter {
            statuses: vec![JobStatus::Pending, JobStatus::Queued],
            version: Some(domain::id::VersionId(derive(&["v"]))),
            ..JobFilter::default()
        };
        assert_eq!(groups_of(&either)[0], ["status:pending", "status:queued"]);
        assert_eq!(groups_of(&either).len(), 2);
    }
}
