//! Who may publish and subscribe to what: derived from the table of needs, written as a nats-server configuration.

use domain::id::JobAgentId;
use domain::subject;
use domain::token::Slug;

use super::STATUS;
use super::needs::{Access, Place, Requests, Service, role};

/// What a user of the bus may do. Everything else is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Permissions {
    /// Subjects it may publish to.
    pub publish: Vec<String>,
    /// Subjects it may subscribe to.
    pub subscribe: Vec<String>,
}

/// What the service may do: exactly what it needs. The admin may do everything.
pub fn permissions_of(service: Service) -> Permissions {
    if service == Service::Admin {
        return Permissions { publish: vec![">".to_owned()], subscribe: vec![">".to_owned()] };
    }
    let mut publish: Vec<String> = role(service).iter().flat_map(subjects).collect();
    publish.sort();
    publish.dedup();
    let asked = role(service).into_iter().filter_map(|access| match access {
        Access::Serve(Requests { asked, .. }) => Some(asked.to_owned()),
        Access::Consume(_)
        | Access::Follow(_)
        | Access::Read(_)
        | Access::Write(..)
        | Access::Remove(_)
        | Access::Inspect(_)
        | Access::Ask(_) => None,
    });
    let subscribe = std::iter::once(format!("_INBOX_{}.>", service.name())).chain(asked).collect();
    Permissions { publish, subscribe }
}

/// What a program may do that pulls the jobs of one agent over the bus: ask for that agent, and hear its own answers.
/// Its client's inboxes must begin with [`subject::pull_inbox`].
pub fn puller_permissions(workspace: &Slug, agent: JobAgentId) -> Permissions {
    Permissions {
        publish: vec![subject::pulls_of(workspace, agent)],
        subscribe: vec![format!("{}.>", subject::pull_inbox(workspace, agent))],
    }
}

/// The user of such a program, as it stands in the list of users. Its password is `$NATS_<USER>_PASSWORD`.
pub fn puller_conf(user: &str, workspace: &Slug, agent: JobAgentId) -> String {
    user_conf(user, &puller_permissions(workspace, agent))
}

/// The user of programs that only look: they hear every status and read what `STATUS` keeps, message by message. No
/// consumers: one could be made to deliver to any subject, which would be writing.
pub const SUBSCRIBER: &str = "subscriber";

/// What [`SUBSCRIBER`] may do. Its client's inboxes must begin with `_INBOX_subscriber`.
pub fn subscriber_permissions() -> Permissions {
    Permissions {
        publish: vec![
            format!("$JS.API.DIRECT.GET.{}", STATUS.name),
            format!("$JS.API.DIRECT.GET.{}.>", STATUS.name),
            format!("$JS.API.STREAM.INFO.{}", STATUS.name),
        ],
        subscribe: vec![format!("_INBOX_{SUBSCRIBER}.>"), STATUS.subjects[0].to_owned()],
    }
}

/// The user of a program that hears the statuses of one workspace as they come, and may ask for nothing: a server cannot
/// keep reading apart by workspace. Its password is `$NATS_<USER>_PASSWORD`.
pub fn listener_conf(user: &str, workspace: &Slug) -> String {
    let heard = format!("ctrlplane.status.{workspace}.>");
    user_conf(user, &Permissions { publish: Vec::new(), subscribe: vec![heard] })
}

fn subjects(access: &Access) -> Vec<String> {
    match access {
        Access::Consume(consumer) => {
            let (stream, name) = (consumer.stream.name, &consumer.name);
            vec![
                format!("$JS.API.STREAM.INFO.{stream}"),
                format!("$JS.API.CONSUMER.INFO.{stream}.{name}"),
                format!("$JS.API.CONSUMER.MSG.NEXT.{stream}.{name}"),
                format!("$JS.ACK.{stream}.{name}.>"),
                // The second form of ack subjects, with domain and account, of nats-server 2.14 and later.
                format!("$JS.ACK.*.*.{stream}.{name}.>"),
            ]
        }
        Access::Follow(place) => {
            let stream = stored_in(*place);
            vec![
                format!("$JS.API.STREAM.INFO.{stream}"),
                format!("$JS.API.CONSUMER.CREATE.{stream}.>"),
                format!("$JS.API.CONSUMER.DELETE.{stream}.>"),
                format!("$JS.API.CONSUMER.INFO.{stream}.>"),
                format!("$JS.API.CONSUMER.MSG.NEXT.{stream}.>"),
            ]
        }
        Access::Read(place) => {
            let stream = stored_in(*place);
            let mut subjects = vec![
                format!("$JS.API.STREAM.INFO.{stream}"),
                format!("$JS.API.DIRECT.GET.{stream}"),
                format!("$JS.API.DIRECT.GET.{stream}.>"),
            ];
            if let Place::Objects(_) = place {
                // The client reads an object's chunks with a consumer of its own, paced by the server.
                subjects.push(format!("$JS.API.CONSUMER.CREATE.{stream}"));
                subjects.push(format!("$JS.API.CONSUMER.CREATE.{stream}.>"));
                subjects.push(format!("$JS.API.CONSUMER.DELETE.{stream}.>"));
                subjects.push(format!("$JS.FC.{stream}.>"));
            }
            subjects
        }
        Access::Write(place, what) => match place {
            Place::Stream(stream) => vec![format!("$JS.API.STREAM.INFO.{}", stream.name), (*what).to_owned()],
            Place::Bucket(bucket) => {
                vec![format!("$JS.API.STREAM.INFO.{}", bucket.stream()), bucket.subject(what)]
            }
            Place::Objects(objects) => vec![
                format!("$JS.API.STREAM.INFO.{}", objects.stream()),
                format!("$JS.API.STREAM.PURGE.{}", objects.stream()),
                format!("$O.{}.{what}", objects.name),
            ],
        },
        Access::Serve(Requests { answered, .. }) => vec![(*answered).to_owned()],
        Access::Ask(asked) => vec![(*asked).to_owned()],
        Access::Inspect(consumer) => {
            let (stream, name) = (consumer.stream.name, &consumer.name);
            vec![format!("$JS.API.STREAM.INFO.{stream}"), format!("$JS.API.CONSUMER.INFO.{stream}.{name}")]
        }
        Access::Remove(place) => match place {
            Place::Stream(stream) => vec![format!("$JS.API.STREAM.MSG.DELETE.{}", stream.name)],
            // Single messages of a bucket cannot be deleted: its keys are purged.
            Place::Bucket(_) | Place::Objects(_) => {
                vec![format!("$JS.API.STREAM.PURGE.{}", stored_in(*place))]
            }
        },
    }
}

fn stored_in(place: Place) -> String {
    match place {
        Place::Stream(stream) => stream.name.to_owned(),
        Place::Bucket(bucket) => bucket.stream(),
        Place::Objects(objects) => objects.stream(),
    }
}

/// The text of `deploy/nats/users.conf`. Passwords are `$NATS_<SERVICE>_PASSWORD`, which nats-server reads
/// from its environment.
pub fn users_conf() -> String {
    let mut text = String::from(
        "# Who may do what on the bus. Generated from the topology table of the `bus` crate; a test there rewrites it.\n\
         # nats-server takes the passwords from its environment. Pullers have users of their own: docs/pull-agents.md\n\
         authorization {\n  users = [\n",
    );
    for service in Service::ALL {
        text.push_str(&user_conf(service.name(), &permissions_of(service)));
    }
    text.push_str(&user_conf(SUBSCRIBER, &subscriber_permissions()));
    text.push_str("  ]\n}\n");
    text
}

fn user_conf(user: &str, permissions: &Permissions) -> String {
    let variable = user.to_ascii_uppercase().replace('-', "_");
    let (publish, subscribe) =
        (list("publish", &permissions.publish), list("subscribe", &permissions.subscribe));
    format!(
        "    {{\n      user: \"{user}\"\n      password: $NATS_{variable}_PASSWORD\n      permissions: {{\n\
         {publish}{subscribe}      }}\n    }}\n"
    )
}

fn list(name: &str, subjects: &[String]) -> String {
    // An empty list would allow everything.
    if subjects.is_empty() {
        return format!("        {name}: {{ deny: \">\" }}\n");
    }
    let lines: String = subjects.iter().map(|subject| format!("          \"{subject}\"\n")).collect();
    format!("        {name}: [\n{lines}        ]\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_deployed_file_says_what_the_table_says() {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/nats/users.conf");
        let stored = std::fs::read_to_string(file).unwrap_or_default();
        if stored != users_conf() {
            std::fs::create_dir_all(concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/nats")).unwrap();
            std::fs::write(file, users_conf()).unwrap();
            panic!("deploy/nats/users.conf was stale and has been rewritten: commit it");
        }
    }

    #[test]
    fn the_page_on_pullers_shows_the_user_they_need() {
        let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/pull-agents.md");
        let agent = "7a6d4e0e-5b4c-5d43-9d0e-0f5a1f0b9a01".parse().unwrap();
        let user = puller_conf("puller", &"acme".parse().unwrap(), agent);
        let page = std::fs::read_to_string(page).unwrap();
        assert!(page.contains(&format!("```\n{user}```")), "docs/pull-agents.md must show\n{user}");
    }

    #[test]
    fn the_page_on_streams_shows_the_user_of_one_workspace() {
        let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/streams.md");
        let user = listener_conf("acme-listener", &"acme".parse().unwrap());
        let page = std::fs::read_to_string(page).unwrap();
        assert!(page.contains(&format!("```\n{user}```")), "docs/streams.md must show\n{user}");
    }

    #[test]
    fn a_subscriber_only_looks() {
        let Permissions { publish, subscribe } = subscriber_permissions();
        for subject in publish {
            assert!(
                subject.starts_with("$JS.API.DIRECT.GET.STATUS")
                    || subject.starts_with("$JS.API.STREAM.INFO.STATUS"),
                "{subject}"
            );
        }
        assert_eq!(subscribe, ["_INBOX_subscriber.>", "ctrlplane.status.>"]);
    }

    #[test]
    fn a_puller_asks_for_its_agent_and_hears_only_what_it_asked() {
        let (one, other) = ("acme".parse().unwrap(), "globex".parse().unwrap());
        let agent = |workspace: &Slug| JobAgentId::of(workspace, "runner");
        let (here, there) =
            (puller_permissions(&one, agent(&one)), puller_permissions(&other, agent(&other)));
        for subject in here.publish.iter().chain(&here.subscribe) {
            assert!(subject.contains(".acme.") && subject.contains(&agent(&one).to_string()), "{subject}");
            assert!(!there.publish.contains(subject) && !there.subscribe.contains(subject));
        }
        let answered = permissions_of(Service::AgentHttpPull).publish;
        assert!(answered.contains(&"_INBOX.pull.>".to_owned()), "{answered:?}");
    }

    #[test]
    fn nobody_but_the_admin_creates_streams_or_hears_what_others_are_told() {
        for service in Service::ALL.into_iter().filter(|service| *service != Service::Admin) {
            let Permissions { publish, subscribe } = permissions_of(service);
            let mut heard = vec![format!("_INBOX_{}.>", service.name())];
            if service == Service::AgentHttpPull {
                heard.push("ctrlplane.pull.*.*.*".to_owned());
                heard.push("ctrlplane.desk.*.*.*".to_owned());
            }
            assert_eq!(subscribe, heard);
            for subject in publish {
                assert!(
                    !subject.contains("STREAM.CREATE") && !subject.contains("STREAM.DELETE"),
                    "{subject}"
                );
                assert!(!matches!(subject.as_str(), ">" | "$JS.>" | "$JS.API.>" | "$KV.>" | "ctrlplane.>"));
            }
        }
    }

    #[test]
    fn only_the_api_asks_for_jobs_without_their_agents_key() {
        for service in Service::ALL.into_iter().filter(|service| *service != Service::Admin) {
            let asks =
                permissions_of(service).publish.iter().any(|subject| subject.starts_with("ctrlplane.desk"));
            assert_eq!(asks, service == Service::Api, "{service:?}");
        }
    }

    #[test]
    fn only_the_api_notes_changes_of_freezes() {
        for service in Service::ALL.into_iter().filter(|service| *service != Service::Admin) {
            let publish = permissions_of(service).publish;
            let notes = publish.iter().any(|subject| subject.starts_with("$KV.freezes"));
            assert_eq!(notes, service == Service::Api, "{service:?}");
        }
    }

    #[test]
    fn only_the_api_knows_who_may_call() {
        for service in Service::ALL.into_iter().filter(|service| *service != Service::Admin) {
            let publish = permissions_of(service).publish;
            let knows =
                publish.iter().any(|subject| subject.contains("KV_keys") || subject.contains("KV_sessions"));
            assert_eq!(knows, service == Service::Api, "{service:?}");
        }
    }

    #[test]
    fn an_agent_writes_the_accounts_of_its_own_platform_only() {
        for service in Service::ALL.into_iter().filter(|service| *service != Service::Admin) {
            let publish = permissions_of(service).publish;
            let writes: Vec<&String> =
                publish.iter().filter(|subject| subject.starts_with("$KV.webhooks")).collect();
            match service {
                Service::AgentGithubActions => assert_eq!(writes, ["$KV.webhooks.github-app.>"]),
                Service::AgentGitlabCi => assert_eq!(writes, ["$KV.webhooks.gitlab.>"]),
                Service::TriggerIngester
                | Service::PolicyEvaluator
                | Service::Dispatcher
                | Service::AgentArgoWorkflows
                | Service::AgentHttpPull
                | Service::AgentKubernetesJobs
                | Service::AgentVerification
                | Service::StatusSyncer
                | Service::Api
                | Service::Admin => assert!(writes.is_empty(), "{service:?} {writes:?}"),
            }
        }
    }

    #[test]
    fn only_the_api_writes_intent_and_the_evaluator_only_versions_and_runs() {
        let writes = |service| {
            let publish = permissions_of(service).publish;
            publish.into_iter().filter(|subject| subject.starts_with("$KV.catalog")).collect::<Vec<_>>()
        };
        assert_eq!(writes(Service::Api), ["$KV.catalog.>"]);
        assert_eq!(
            writes(Service::PolicyEvaluator),
            ["$KV.catalog.*.version.>", "$KV.catalog.*.workflow-run.>"]
        );
        for other in [
            Service::TriggerIngester,
            Service::Dispatcher,
            Service::AgentArgoWorkflows,
            Service::AgentGithubActions,
            Service::AgentGitlabCi,
            Service::AgentHttpPull,
            Service::AgentKubernetesJobs,
            Service::AgentVerification,
            Service::StatusSyncer,
        ] {
            assert!(writes(other).is_empty(), "{other:?}");
        }
    }
}
