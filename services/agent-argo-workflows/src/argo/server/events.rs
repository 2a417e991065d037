//! One line of Argo Server's event stream. Servers write server-sent events, `data: {"result": …}`; gateways before them may
//! write the bare JSON. Pure.

use crate::argo::workflow::Workflow;
use serde::Deserialize;

/// What a line says.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Event {
    /// How a workflow stands now, or stood when it was deleted.
    Workflow {
        /// The workflow.
        workflow: Box<Workflow>,
        /// Whether its object is gone.
        deleted: bool,
    },
    /// The stream cannot go on.
    Failed {
        /// As HTTP would say it; 0 where nothing is said.
        status: u16,
        /// In Argo's words.
        message: String,
    },
    /// Nothing: a sign of life, or what we do not know.
    Nothing,
}

#[derive(Deserialize)]
struct Wire {
    result: Option<Change>,
    error: Option<Failure>,
}

#[derive(Deserialize)]
struct Change {
    #[serde(default, rename = "type")]
    kind: String,
    object: Option<Workflow>,
}

#[derive(Deserialize)]
struct Failure {
    #[serde(default)]
    http_code: u16,
    #[serde(default)]
    message: String,
}

/// Reads a line.
pub(super) fn read(line: &str) -> Event {
    let data = line.strip_prefix("data:").unwrap_or(line).trim();
    if !data.starts_with('{') {
        return Event::Nothing;
    }
    match serde_json::from_str(data) {
        Ok(Wire { error: Some(Failure { http_code: status, message }), .. }) => {
            Event::Failed { status, message }
        }
        Ok(Wire { result: Some(Change { kind, object: Some(workflow) }), .. }) => match kind.as_str() {
            "ADDED" | "MODIFIED" | "DELETED" => {
                Event::Workflow { workflow: Box::new(workflow), deleted: kind == "DELETED" }
            }
            _ => Event::Nothing,
        },
        Ok(_) | Err(_) => Event::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_in_both_ways_they_are_written() {
        let event = r#"{"result":{"type":"MODIFIED","object":{"metadata":{"name":"w"},"status":{"phase":"Running"}}}}"#;
        for line in [format!("data: {event}"), format!("data:{event}"), event.to_owned()] {
            let Event::Workflow { workflow, deleted: false } = read(&line) else { panic!("{line}") };
            assert_eq!(workflow.metadata.name, "w");
        }
        let deleted = event.replace("MODIFIED", "DELETED");
        assert!(matches!(read(&deleted), Event::Workflow { deleted: true, .. }));
    }

    #[test]
    fn errors_end_a_stream_and_the_rest_is_nothing() {
        let error = r#"data: {"error":{"grpc_code":8,"http_code":429,"message":"EOF","http_status":"Too Many Requests"}}"#;
        assert_eq!(read(error), Event::Failed { status: 429, message: "EOF".to_owned() });
        for line in [
            "",
            ":",
            ": keep alive",
            "event: x",
            "data: ",
            "data: {",
            r#"data: {"result":{"type":"BOOKMARK"}}"#,
        ] {
            assert_eq!(read(line), Event::Nothing, "{line}");
        }
        let new = r#"{"result":{"type":"NEW","object":{}}}"#;
        assert_eq!(read(new), Event::Nothing);
    }
}
