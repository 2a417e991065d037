//! What each service touches: one table, from which its needs and its permissions are derived.

use domain::token::Slug;
use domain::verification;

use super::{
    ARGO_WORKFLOWS, ATTEMPTS, AUDIT, BUCKETS, BUDGETS, BucketSpec, CATALOG, COMMANDS, CONFIRMATIONS,
    ConsumerSpec, DEAD, DELIVERIES, EVALUATE, FREEZES, GITHUB_ACTIONS, GITHUB_EVENTS, GITLAB_CI,
    GITLAB_EVENTS, HTTP_PULL, IDEMPOTENCY, JOBS, KEYS, KUBERNETES_JOBS, OBJECT_STORES, ObjectStoreSpec,
    PAYLOADS, PULLS, RUNS, SESSIONS, SLOTS, STATUS, STREAMS, StreamSpec, TARGETS, TRIGGERS, VERIFICATIONS,
    WEBHOOKS, agent_commands, agent_events, dispatcher_jobs, evaluator_hints, evaluator_triggers,
    syncer_jobs,
};

/// A service, as a user of the bus.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    /// Takes events in.
    TriggerIngester,
    /// Decides.
    PolicyEvaluator,
    /// Hands out jobs.
    Dispatcher,
    /// Works on Argo Workflows.
    AgentArgoWorkflows,
    /// Works on GitHub Actions.
    AgentGithubActions,
    /// Works on GitLab CI/CD.
    AgentGitlabCi,
    /// Keeps the queues of pull agents.
    AgentHttpPull,
    /// Works on Kubernetes Jobs.
    AgentKubernetesJobs,
    /// Measures.
    AgentVerification,
    /// Keeps the views and watches the deadlines.
    StatusSyncer,
    /// Serves people and CI.
    Api,
    /// Sets everything up.
    Admin,
}

impl Service {
    /// Every service.
    pub const ALL: [Service; 12] = [
        Service::TriggerIngester,
        Service::PolicyEvaluator,
        Service::Dispatcher,
        Service::AgentArgoWorkflows,
        Service::AgentGithubActions,
        Service::AgentGitlabCi,
        Service::AgentHttpPull,
        Service::AgentKubernetesJobs,
        Service::AgentVerification,
        Service::StatusSyncer,
        Service::Api,
        Service::Admin,
    ];

    /// Its name: the user on the bus, and part of its inboxes.
    pub fn name(self) -> &'static str {
        match self {
            Service::TriggerIngester => "trigger-ingester",
            Service::PolicyEvaluator => "policy-evaluator",
            Service::Dispatcher => "dispatcher",
            Service::AgentArgoWorkflows => "agent-argo-workflows",
            Service::AgentGithubActions => "agent-github-actions",
            Service::AgentGitlabCi => "agent-gitlab-ci",
            Service::AgentHttpPull => "agent-http-pull",
            Service::AgentKubernetesJobs => "agent-kubernetes-jobs",
            Service::AgentVerification => "agent-verification",
            Service::StatusSyncer => "status-syncer",
            Service::Api => "api",
            Service::Admin => "admin",
        }
    }
}

/// What must exist for a service to work.
#[derive(Debug, Clone, Default)]
pub struct Needs {
    /// Streams.
    pub streams: Vec<&'static StreamSpec>,
    /// Buckets.
    pub buckets: Vec<&'static BucketSpec>,
    /// Object stores.
    pub objects: Vec<&'static ObjectStoreSpec>,
    /// Durable consumers.
    pub consumers: Vec<ConsumerSpec>,
}

/// What must exist for the service to work. [`Service::Admin`] needs everything, so it creates everything.
pub fn needs_of(service: Service) -> Needs {
    let mut needs = Needs::default();
    for access in role(service) {
        match access {
            Access::Consume(consumer) => {
                push(&mut needs.streams, consumer.stream);
                needs.consumers.push(consumer);
            }
            // Whether it is there is what is to be seen.
            Access::Inspect(_) | Access::Serve(_) | Access::Ask(_) => {}
            Access::Follow(place) | Access::Read(place) | Access::Write(place, _) | Access::Remove(place) => {
                match place {
                    Place::Stream(stream) => push(&mut needs.streams, stream),
                    Place::Bucket(bucket) => push(&mut needs.buckets, bucket),
                    Place::Objects(objects) => push(&mut needs.objects, objects),
                }
            }
        }
    }
    needs
}

fn push<T: PartialEq>(list: &mut Vec<&'static T>, item: &'static T) {
    if !list.contains(&item) {
        list.push(item);
    }
}

/// Where messages are.
#[derive(Debug, Clone, Copy)]
pub(super) enum Place {
    Stream(&'static StreamSpec),
    Bucket(&'static BucketSpec),
    Objects(&'static ObjectStoreSpec),
}

/// One thing a service does.
#[derive(Debug)]
pub(super) enum Access {
    /// Works the messages of a durable consumer.
    Consume(ConsumerSpec),
    /// Folds it with a consumer of its own.
    Follow(Place),
    /// Reads single messages or values.
    Read(Place),
    /// Writes these subjects, or these keys of a bucket.
    Write(Place, &'static str),
    /// Deletes single messages of a stream.
    Remove(Place),
    /// Sees how far somebody's durable consumer is.
    Inspect(ConsumerSpec),
    /// Answers requests.
    Serve(Requests),
    /// Asks, and waits for the answer.
    Ask(&'static str),
}

/// Requests that nobody stores: who asks waits for the answer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Requests {
    /// Their subjects.
    pub(super) asked: &'static str,
    /// Where answers go.
    pub(super) answered: &'static str,
}

/// What pullers ask.
const PULL_REQUESTS: Requests = Requests { asked: "ctrlplane.pull.*.*.*", answered: "_INBOX.pull.>" };

/// What the api asks for those it has let in: without a key, so nobody else may ask.
const DESK_REQUESTS: Requests = Requests { asked: "ctrlplane.desk.*.*.*", answered: "_INBOX_api.>" };

/// What the service does. The table that [`needs_of`] and [`super::permissions_of`] are derived from.
pub(super) fn role(service: Service) -> Vec<Access> {
    use Access::{Ask, Consume, Follow, Read, Remove, Serve, Write};
    use Place::{Bucket, Objects, Stream};
    let mut role = match service {
        Service::TriggerIngester => vec![
            Follow(Bucket(&CATALOG)),
            Write(Stream(&TRIGGERS), "ctrlplane.trigger.>"),
            Read(Stream(&TRIGGERS)),
            Read(Bucket(&DELIVERIES)),
            Write(Bucket(&DELIVERIES), ">"),
            Read(Objects(&PAYLOADS)),
            Write(Objects(&PAYLOADS), ">"),
        ],
        Service::PolicyEvaluator => vec![
            Consume(evaluator_triggers()),
            Consume(evaluator_hints()),
            Follow(Bucket(&CATALOG)),
            Follow(Bucket(&TARGETS)),
            Follow(Stream(&JOBS)),
            Read(Bucket(&CATALOG)),
            Write(Bucket(&CATALOG), "*.version.>"),
            Write(Bucket(&CATALOG), "*.workflow-run.>"),
            Read(Bucket(&TARGETS)),
            Write(Bucket(&TARGETS), ">"),
            Write(Stream(&EVALUATE), "ctrlplane.evaluate.>"),
            Read(Stream(&JOBS)),
            Write(Stream(&JOBS), "ctrlplane.job.>"),
            Read(Objects(&PAYLOADS)),
        ],
        Service::Dispatcher => vec![
            Consume(dispatcher_jobs()),
            Follow(Bucket(&CATALOG)),
            Read(Stream(&JOBS)),
            Write(Stream(&JOBS), "ctrlplane.job.>"),
            Write(Stream(&COMMANDS), "ctrlplane.command.>"),
            Read(Bucket(&SLOTS)),
            Write(Bucket(&SLOTS), ">"),
            Remove(Bucket(&SLOTS)),
            Read(Bucket(&FREEZES)),
        ],
        Service::AgentArgoWorkflows => vec![
            Consume(agent_commands(&slug(ARGO_WORKFLOWS))),
            Read(Stream(&JOBS)),
            Write(Stream(&JOBS), "ctrlplane.job.>"),
            Read(Bucket(&FREEZES)),
            Read(Bucket(&RUNS)),
            Write(Bucket(&RUNS), ">"),
            Read(Bucket(&BUDGETS)),
            Write(Bucket(&BUDGETS), ">"),
            Follow(Bucket(&BUDGETS)),
            Write(Bucket(&CONFIRMATIONS), ">"),
        ],
        Service::AgentGithubActions => agent(GITHUB_ACTIONS, &GITHUB_EVENTS, "github-app.>"),
        Service::AgentGitlabCi => agent(GITLAB_CI, &GITLAB_EVENTS, "gitlab.>"),
        Service::AgentHttpPull => vec![
            Consume(agent_commands(&slug(HTTP_PULL))),
            Follow(Bucket(&CATALOG)),
            Read(Bucket(&FREEZES)),
            Read(Stream(&JOBS)),
            Write(Stream(&JOBS), "ctrlplane.job.>"),
            Follow(Bucket(&PULLS)),
            Read(Bucket(&PULLS)),
            Write(Bucket(&PULLS), ">"),
            Serve(PULL_REQUESTS),
            Serve(DESK_REQUESTS),
        ],
        Service::AgentKubernetesJobs => vec![
            Consume(agent_commands(&slug(KUBERNETES_JOBS))),
            Read(Stream(&JOBS)),
            Write(Stream(&JOBS), "ctrlplane.job.>"),
            Read(Bucket(&FREEZES)),
            Read(Bucket(&RUNS)),
            Write(Bucket(&RUNS), ">"),
            Read(Bucket(&BUDGETS)),
            Write(Bucket(&BUDGETS), ">"),
            Follow(Bucket(&BUDGETS)),
            Write(Bucket(&CONFIRMATIONS), ">"),
        ],
        Service::AgentVerification => vec![
            Consume(agent_commands(&slug(verification::PLATFORM))),
            Read(Stream(&JOBS)),
            Write(Stream(&JOBS), "ctrlplane.job.>"),
            Read(Bucket(&RUNS)),
            Write(Bucket(&RUNS), ">"),
            Follow(Bucket(&VERIFICATIONS)),
            Read(Bucket(&VERIFICATIONS)),
            Write(Bucket(&VERIFICATIONS), ">"),
            Write(Bucket(&CONFIRMATIONS), ">"),
            // It asks itself to look at what it measured.
            Write(Stream(&COMMANDS), "ctrlplane.command.verification.*.observe.>"),
        ],
        Service::StatusSyncer => vec![
            Consume(syncer_jobs()),
            Follow(Stream(&JOBS)),
            Follow(Bucket(&WEBHOOKS)),
            Follow(Bucket(&CONFIRMATIONS)),
            Read(Stream(&JOBS)),
            Write(Stream(&JOBS), "ctrlplane.job.>"),
            Read(Stream(&STATUS)),
            Write(Stream(&STATUS), "ctrlplane.status.>"),
            Write(Stream(&COMMANDS), "ctrlplane.command.*.*.observe.>"),
            Write(Stream(&COMMANDS), "ctrlplane.command.*.*.cancel.>"),
        ],
        Service::Api => {
            let mut api = vec![
                Follow(Bucket(&CATALOG)),
                Read(Bucket(&CATALOG)),
                Write(Bucket(&CATALOG), ">"),
                Read(Bucket(&FREEZES)),
                Write(Bucket(&FREEZES), ">"),
                Follow(Bucket(&TARGETS)),
                Read(Bucket(&TARGETS)),
                Write(Stream(&AUDIT), "ctrlplane.audit.>"),
                Read(Stream(&AUDIT)),
                Follow(Stream(&AUDIT)),
                // Who may call, and who is logged in.
                Follow(Bucket(&KEYS)),
                Read(Bucket(&KEYS)),
                Write(Bucket(&KEYS), ">"),
                Read(Bucket(&SESSIONS)),
                Write(Bucket(&SESSIONS), ">"),
                // A back-test reads what happened, from the beginning.
                Follow(Stream(&JOBS)),
                Read(Stream(&JOBS)),
                Write(Stream(&JOBS), "ctrlplane.job.>"),
                Read(Stream(&STATUS)),
                Follow(Stream(&STATUS)),
                Read(Stream(&DEAD)),
                Remove(Stream(&DEAD)),
                // A redrive puts the original back where it came from.
                Write(Stream(&TRIGGERS), "ctrlplane.trigger.>"),
                Write(Stream(&EVALUATE), "ctrlplane.evaluate.>"),
                Write(Stream(&COMMANDS), "ctrlplane.command.>"),
                // What the doctor looks at.
                Read(Stream(&TRIGGERS)),
                Follow(Bucket(&BUDGETS)),
                Follow(Bucket(&WEBHOOKS)),
                // What came in, newest first, and who waits for which agent.
                Follow(Stream(&TRIGGERS)),
                Read(Bucket(&SLOTS)),
                Ask(DESK_REQUESTS.asked),
                Read(Bucket(&IDEMPOTENCY)),
                Write(Bucket(&IDEMPOTENCY), ">"),
            ];
            api.extend(consumers().into_iter().map(|(_, consumer)| Access::Inspect(consumer)));
            api
        }
        Service::Admin => everything(),
    };
    role.push(Write(Stream(&DEAD), "ctrlplane.dead.>"));
    role.push(Read(Bucket(&ATTEMPTS)));
    role.push(Write(Bucket(&ATTEMPTS), ">"));
    role
}

/// What an agent does that is told of its platform's runs by webhooks of these event tokens, and looks after the webhooks
/// with these keys.
fn agent(platform: &str, events: &[&str], webhooks: &'static str) -> Vec<Access> {
    use Access::{Consume, Follow, Read, Write};
    use Place::{Bucket, Objects, Stream};
    let platform = slug(platform);
    let mut agent = vec![
        Consume(agent_commands(&platform)),
        Read(Stream(&JOBS)),
        Write(Stream(&JOBS), "ctrlplane.job.>"),
        Read(Bucket(&FREEZES)),
        Read(Bucket(&RUNS)),
        Write(Bucket(&RUNS), ">"),
        Read(Bucket(&BUDGETS)),
        Write(Bucket(&BUDGETS), ">"),
        Follow(Bucket(&BUDGETS)),
        // Whose webhooks it looks after, and what is known of them.
        Follow(Bucket(&CATALOG)),
        Follow(Bucket(&WEBHOOKS)),
        Read(Bucket(&WEBHOOKS)),
        Write(Bucket(&WEBHOOKS), webhooks),
        Write(Bucket(&CONFIRMATIONS), ">"),
        Read(Objects(&PAYLOADS)),
    ];
    agent.extend(events.iter().map(|token| Consume(agent_events(&platform, &slug(token)))));
    agent
}

/// Every durable consumer, and whose work it brings.
pub fn consumers() -> Vec<(Service, ConsumerSpec)> {
    let workers =
        Service::ALL.into_iter().filter(|service| !matches!(service, Service::Admin | Service::Api));
    let of = |service| role(service).into_iter().map(move |access| (service, access));
    let consumed = workers.flat_map(of).filter_map(|(service, access)| match access {
        Access::Consume(consumer) => Some((service, consumer)),
        Access::Follow(_)
        | Access::Read(_)
        | Access::Write(..)
        | Access::Remove(_)
        | Access::Inspect(_)
        | Access::Serve(_)
        | Access::Ask(_) => None,
    });
    consumed.collect()
}

fn everything() -> Vec<Access> {
    let mut all = Vec::new();
    all.extend(STREAMS.map(|stream| Access::Read(Place::Stream(stream))));
    all.extend(BUCKETS.map(|bucket| Access::Read(Place::Bucket(bucket))));
    all.extend(OBJECT_STORES.map(|objects| Access::Read(Place::Objects(objects))));
    let others = Service::ALL.into_iter().filter(|service| *service != Service::Admin);
    all.extend(others.flat_map(role).filter(|access| matches!(access, Access::Consume(_))));
    all
}

fn slug(text: &str) -> Slug {
    text.parse().expect("the constants of this table are slugs; a test reads them all")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_admin_creates_whatever_any_service_needs() {
        let admin = needs_of(Service::Admin);
        for service in Service::ALL {
            let needs = needs_of(service);
            assert!(needs.streams.iter().all(|stream| admin.streams.contains(stream)), "{service:?}");
            assert!(needs.buckets.iter().all(|bucket| admin.buckets.contains(bucket)), "{service:?}");
            assert!(needs.objects.iter().all(|objects| admin.objects.contains(objects)), "{service:?}");
            assert!(needs.consumers.iter().all(|consumer| admin.consumers.contains(consumer)), "{service:?}");
        }
    }

    #[test]
    fn consumer_names_are_slugs_and_name_one_consumer_each() {
        let names: Vec<String> =
            needs_of(Service::Admin).consumers.into_iter().map(|consumer| consumer.name).collect();
        assert!(names.len() > 4 && names.iter().all(|name| name.parse::<Slug>().is_ok()), "{names:?}");
        let different: std::collections::BTreeSet<&String> = names.iter().collect();
        assert_eq!(different.len(), names.len(), "{names:?}");
    }

    #[test]
    fn every_consumer_reads_what_its_stream_stores() {
        for consumer in needs_of(Service::Admin).consumers {
            let stored = consumer.stream.subjects[0].trim_end_matches('>');
            assert!(consumer.filter.starts_with(stored), "{consumer:?}");
        }
    }
}
