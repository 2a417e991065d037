//! The wire, as documents: a JSON Schema of every message, and the AsyncAPI description of every subject.
//! The files in `schemas/` are made from here, and a test holds them to it.

use crate::audit::AuditEvent;
use crate::command::AgentCommand;
use crate::decision::TargetDecision;
use crate::entity::Entity;
use crate::hint::Hint;
use crate::job::{JobEvent, JobView};
use crate::trigger::TriggerAttributes;
use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema};
use serde_json::{Value, json};

/// One kind of message.
#[derive(Debug, Clone)]
pub struct Message {
    /// The name of its schema file, without ending.
    pub name: &'static str,
    /// The subject or key it travels under, with parameters in braces.
    pub address: &'static str,
    /// Where it is kept.
    pub home: &'static str,
    /// What it is.
    pub what: &'static str,
    /// Its JSON Schema, draft 2020-12.
    pub schema: Schema,
}

/// Every kind of message on the bus.
pub fn messages() -> Vec<Message> {
    vec![
        message::<Entity>(
            "entity",
            "$KV.catalog.{workspace}.{kind}.{id}",
            "bucket catalog",
            "Intent: an entity of the catalog. The last value of a key counts.",
        ),
        message::<TargetDecision>(
            "target-decision",
            "$KV.targets.{workspace}.{deployment}.{environment}.{resource}",
            "bucket targets",
            "Decision on a release target, with every rule's reason.",
        ),
        message::<TriggerAttributes>(
            "trigger-attributes",
            "ctrlplane.trigger.{workspace}.{source}.{eventType}",
            "stream TRIGGERS",
            "An event from outside: CloudEvents 1.0, binary mode. These are its attributes, each a header `ce-<name>` \
             (datacontenttype: `content-type`); the body is the payload as it came.",
        ),
        message::<Hint>(
            "hint",
            "ctrlplane.evaluate.{workspace}.{deployment}",
            "stream EVALUATE",
            "A wake-up of the evaluator; a newer one replaces an unread one.",
        ),
        message::<JobEvent>(
            "job-event",
            "ctrlplane.job.{workspace}.{job}",
            "stream JOBS",
            "What happened to a job. The state of a job is the fold of its subject.",
        ),
        message::<AgentCommand>(
            "agent-command",
            "ctrlplane.command.{platform}.{agent}.{verb}.{job}",
            "stream COMMANDS",
            "What an agent is asked to do.",
        ),
        message::<JobView>(
            "job-status",
            "ctrlplane.status.{workspace}.{platform}.{deployment}.{environment}.{job}",
            "stream STATUS",
            "The public status of a job. Anyone with permission may subscribe, by wildcard; the last of each job is kept.",
        ),
        message::<AuditEvent>(
            "audit-event",
            "ctrlplane.audit.{workspace}.{kind}",
            "stream AUDIT",
            "Who did what: one event per write through the API.",
        ),
    ]
}

fn message<T: JsonSchema>(
    name: &'static str,
    address: &'static str,
    home: &'static str,
    what: &'static str,
) -> Message {
    let mut schema = SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<T>();
    schema.insert("description".to_owned(), what.into());
    Message { name, address, home, what, schema }
}

/// The AsyncAPI 3.0 document of all subjects; message payloads refer to the schema files beside it.
pub fn asyncapi() -> Value {
    let mut channels = serde_json::Map::new();
    let mut operations = serde_json::Map::new();
    for message in messages() {
        channels.insert(
            message.name.to_owned(),
            json!({
                "address": message.address,
                "description": format!("{} Kept in {}.", message.what, message.home),
                "parameters": parameters_of(message.address),
                "messages": { message.name: {
                    "contentType": "application/json",
                    "payload": { "$ref": format!("./{}.json", message.name) },
                }},
            }),
        );
        operations.insert(format!("receive-{}", message.name), receive(message.name));
    }
    channels.insert(DEAD_LETTER.to_owned(), dead_letter());
    operations.insert(format!("receive-{DEAD_LETTER}"), receive(DEAD_LETTER));
    json!({
        "asyncapi": "3.0.0",
        "info": {
            "title": "Ctrlplane on NATS",
            "version": "1.0.0",
            "description": "Every subject and key of Ctrlplane, and the messages on them.",
            "license": { "name": "Apache-2.0" },
        },
        "defaultContentType": "application/json",
        "channels": channels,
        "operations": operations,
    })
}

const DEAD_LETTER: &str = "dead-letter";

/// A dead letter has no schema of its own: its body is the original's, whatever that was.
fn dead_letter() -> Value {
    let address = "ctrlplane.dead.{consumer}";
    let text = |what: &str| json!({ "type": "string", "description": what });
    let number = |what: &str| json!({ "type": "string", "pattern": "^[0-9]+$", "description": what });
    json!({
        "address": address,
        "description": "A message nobody could handle: the original bytes, and in headers where they came from and why \
                        they are here. The API lists them and sends them back. Kept in stream DEAD.",
        "parameters": parameters_of(address),
        "messages": { DEAD_LETTER: {
            "headers": {
                "type": "object",
                "properties": {
                    "Ctrlplane-Dead-Subject": text("The subject it was on."),
                    "Ctrlplane-Dead-Stream": text("The stream it was in."),
                    "Ctrlplane-Dead-Sequence": number("Its sequence there."),
                    "Ctrlplane-Dead-Consumer": text("Whose work it was."),
                    "Ctrlplane-Dead-Attempts": number("How often it was tried."),
                    "Ctrlplane-Dead-Reason": text("Why it was given up: one line."),
                    "Ctrlplane-Dead-Headers": text("Its headers: a JSON object, name to list of values."),
                    "Ctrlplane-Dead-Without-Payload":
                        text("`true` when it was too large to be kept here as well: the body is empty."),
                    "traceparent": text("Its trace (W3C), if it had one."),
                },
                "required": [
                    "Ctrlplane-Dead-Subject",
                    "Ctrlplane-Dead-Stream",
                    "Ctrlplane-Dead-Sequence",
                    "Ctrlplane-Dead-Consumer",
                    "Ctrlplane-Dead-Attempts",
                    "Ctrlplane-Dead-Reason",
                    "Ctrlplane-Dead-Headers",
                ],
            },
        }},
    })
}

fn receive(channel: &str) -> Value {
    json!({ "action": "receive", "channel": { "$ref": format!("#/channels/{channel}") } })
}

/// The parameters of an address, told as AsyncAPI wants it.
fn parameters_of(address: &str) -> serde_json::Map<String, Value> {
    let names = address.split('.').filter_map(|token| token.strip_prefix('{')?.strip_suffix('}'));
    names
        .map(|name| {
            (name.to_owned(), json!({ "description": format!("The {name}: one token, [A-Za-z0-9_-]+.") }))
        })
        .collect()
}
