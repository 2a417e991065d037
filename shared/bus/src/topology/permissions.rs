//! Who may publish and subscribe to what: derived from the table of needs, written as a nats-server configuration.

use std::fmt::Write as _;

use super::needs::{Access, Place, Service, role};

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
    Permissions { publish, subscribe: vec![format!("_INBOX_{}.>", service.name())] }
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
        Access::Remove(place) => vec![format!("$JS.API.STREAM.MSG.DELETE.{}", stored_in(*place))],
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
         # nats-server takes the passwords from its environment.\n\
         authorization {\n  users = [\n",
    );
    for service in Service::ALL {
        let Permissions { publish, subscribe } = permissions_of(service);
        let variable = service.name().to_ascii_uppercase().replace('-', "_");
        // Writing to a string cannot fail.
        let _infallible = write!(
            text,
            "    {{\n      user: \"{}\"\n      password: $NATS_{variable}_PASSWORD\n      permissions: {{\n\
             {}{}      }}\n    }}\n",
            service.name(),
            list("publish", &publish),
            list("subscribe", &subscribe),
        );
    }
    text.push_str("  ]\n}\n");
    text
}

fn list(name: &str, subjects: &[String]) -> String {
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
    fn nobody_but_the_admin_creates_streams_or_hears_what_others_are_told() {
        for service in Service::ALL.into_iter().filter(|service| *service != Service::Admin) {
            let Permissions { publish, subscribe } = permissions_of(service);
            assert_eq!(subscribe, [format!("_INBOX_{}.>", service.name())]);
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
    fn only_the_api_notes_changes_of_freezes() {
        for service in Service::ALL.into_iter().filter(|service| *service != Service::Admin) {
            let publish = permissions_of(service).publish;
            let notes = publish.iter().any(|subject| subject.starts_with("$KV.freezes"));
            assert_eq!(notes, service == Service::Api, "{service:?}");
        }
    }

    #[test]
    fn only_the_api_writes_intent_and_the_evaluator_only_versions() {
        let writes = |service| {
            let publish = permissions_of(service).publish;
            publish.into_iter().filter(|subject| subject.starts_with("$KV.catalog")).collect::<Vec<_>>()
        };
        assert_eq!(writes(Service::Api), ["$KV.catalog.>"]);
        assert_eq!(writes(Service::PolicyEvaluator), ["$KV.catalog.*.version.>"]);
        for other in [
            Service::TriggerIngester,
            Service::Dispatcher,
            Service::AgentArgoWorkflows,
            Service::AgentGithubActions,
            Service::AgentKubernetesJobs,
            Service::AgentVerification,
            Service::StatusSyncer,
        ] {
            assert!(writes(other).is_empty(), "{other:?}");
        }
    }
}
