//! Whatever does not agree is found.

use super::books::{Books, Run};
use domain::id::{DeploymentId, EnvironmentId, JobAgentId, JobId, ReleaseId, ResourceId, VersionId, derive};
use domain::job::{
    Dispatch, ExternalRef, JobEvent, JobFact, JobRef, JobStatus, JobView, Links, TerminalStatus, evolve,
};
use domain::subject;
use domain::target::TargetKey;
use projections::HistoryEntry;
use serde_json::{Map, Value};

fn job() -> JobRef {
    let id = derive(&["ledger"]);
    JobRef {
        workspace: "acme".parse().unwrap(),
        id: JobId(id),
        target: TargetKey {
            deployment: DeploymentId(id),
            environment: EnvironmentId(id),
            resource: ResourceId(id),
        },
        version: VersionId(id),
        tag: "v1".to_owned(),
        release: ReleaseId(id),
        attempt: 1,
        deployment: "web".parse().unwrap(),
        environment: "staging".parse().unwrap(),
        purpose: Default::default(),
        content: None,
    }
}

fn facts() -> Vec<(u64, JobEvent)> {
    let external = ExternalRef {
        platform: "p".parse().unwrap(),
        host: "h".to_owned(),
        scope: "s".to_owned(),
        id: "7".to_owned(),
        attempt: 1,
        url: None,
    };
    let dispatch = Dispatch {
        agent: JobAgentId(derive(&["agent"])),
        agent_name: "a".to_owned(),
        platform: "p".parse().unwrap(),
        config: Map::new(),
        context: Value::Null,
        deadlines: Default::default(),
        secrets: Default::default(),
    };
    let facts = [
        JobFact::Requested { catalog_revision: 1, grounds: None },
        JobFact::Dispatched(dispatch),
        JobFact::TriggerStarted { fence: 1 },
        JobFact::Triggered { external, links: Links::new() },
        JobFact::ended(TerminalStatus::Successful, None, "well"),
    ];
    let at = bus::clock::now();
    let event = |fact| JobEvent { job: job(), at, cause: None, traceparent: None, fact };
    (11..).zip(facts.map(event)).collect()
}

/// One job whose books agree.
fn books() -> Books {
    let (job, facts) = (job(), facts());
    let (mut state, mut timeline, mut told) = (None, Vec::new(), Vec::new());
    for (sequence, event) in &facts {
        let next = evolve(state.take(), event);
        timeline.push(HistoryEntry::of(*sequence, event, &next));
        told.push(JobView::of(&next, *sequence));
        state = Some(next);
    }
    let platform = "p".parse().unwrap();
    let subject = subject::status(&job.workspace, Some(&platform), &job.deployment, &job.environment, job.id);
    Books {
        runs: vec![Run { id: "7".to_owned(), job: job.id.to_string(), ended: JobStatus::Successful }],
        views: [(job.id, (told.last().cloned(), timeline))].into(),
        counted: [(JobStatus::Successful, 1)].into(),
        statuses: [(subject, told)].into(),
        histories: [(job.id, facts)].into(),
    }
}

/// The only disagreement, once something was changed.
fn wrong(change: impl FnOnce(&mut Books)) -> String {
    let mut books = books();
    change(&mut books);
    books.disagreements(1).join("\n")
}

#[test]
fn books_that_agree_are_in_order() {
    assert_eq!(books().disagreements(1), Vec::<String>::new());
    assert!(books().disagreements(2).join("\n").contains("1 jobs instead of 2"));
}

#[test]
fn whatever_does_not_agree_is_found() {
    let id = job().id;
    let again = Run { id: "8".to_owned(), job: id.to_string(), ended: JobStatus::Successful };
    assert!(wrong(|books| books.runs.push(again)).contains(r#"the runs ["7", "8"]"#));
    assert!(wrong(|books| books.runs.clear()).contains("the runs []"));
    assert!(wrong(|books| books.runs[0].id = "9".to_owned()).contains(r#"the runs ["9"]"#));
    assert!(wrong(|books| books.runs[0].job = "x".to_owned()).contains("which is none"));
    assert!(wrong(|books| books.counted.clear()).contains("Redis counts {}"));
    let failed = |books: &mut Books| books.runs[0].ended = JobStatus::Failure;
    assert!(wrong(failed).contains("is Successful, its run Failure"));
    assert!(wrong(failed).contains("the platform {Failure: 1}"));
    let last = |books: &mut Books| books.histories.get_mut(&id).and_then(Vec::pop).is_some();
    assert!(wrong(|books| assert!(last(books))).contains("is Queued"));
    let shown = |books: &mut Books| books.views.get_mut(&id).unwrap().0.as_mut().unwrap().sequence = 3;
    assert!(wrong(shown).contains("Redis shows"));
    assert!(wrong(|books| books.views.get_mut(&id).unwrap().0 = None).contains("Redis shows None"));
    assert!(wrong(|books| books.views.get_mut(&id).unwrap().1.truncate(2)).contains("Redis' timeline"));
    let told = |books: &mut Books| books.statuses.values_mut().next().unwrap().pop().is_some();
    assert!(wrong(|books| assert!(told(books))).contains("last told"));
    assert!(
        wrong(|books| books.statuses.values_mut().for_each(|told| told.swap(0, 1)))
            .contains("was told after")
    );
}
