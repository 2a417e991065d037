//! For whom a running workflow waits: suspended as a whole, or at a step that only a person ends. Pure.

use super::words::{NodePhase, NodeType};
use super::workflow::{Node, Suspend, Workflow};

/// How many steps are named.
const NAMED_MAX: usize = 3;

/// What holds a workflow until a person says so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Waiting {
    /// For people.
    pub(super) message: String,
    /// The node to look at, where it is one.
    pub(super) node: Option<String>,
}

/// What a running workflow waits for a person at; `None` where it does not.
pub(super) fn waiting(workflow: &Workflow) -> Option<Waiting> {
    let mut steps: Vec<&Node> =
        workflow.status.nodes.values().filter(|node| waits_for_a_person(workflow, node)).collect();
    steps.sort_by_key(|node| (node.started_at.clone(), node.label().to_owned()));
    match steps.as_slice() {
        [] if workflow.spec.suspend => Some(Waiting {
            message: "the workflow is suspended until somebody resumes it".to_owned(),
            node: None,
        }),
        [] => None,
        [first, ..] => {
            let named: Vec<&str> = steps.iter().take(NAMED_MAX).map(|node| node.label()).collect();
            let more = match steps.len() - named.len() {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            let message = format!("waits for somebody to resume {}{more}", named.join(", "));
            Some(Waiting { message, node: Some(first.id.clone()) })
        }
    }
}

/// A step that waits for a while goes on by itself.
fn waits_for_a_person(workflow: &Workflow, node: &Node) -> bool {
    node.node_type == NodeType::Suspend
        && node.phase == NodePhase::Running
        && suspend_of(workflow, node).is_none_or(|suspend| suspend.duration.is_empty())
}

/// The template of a node: its own workflow's, or one that was stored from another object.
fn suspend_of<'w>(workflow: &'w Workflow, node: &Node) -> Option<&'w Suspend> {
    let stored = &workflow.status.stored_templates;
    if let Some(from) = &node.template_ref {
        let end = format!("/{}/{}", from.name, from.template);
        let found = stored.iter().find(|(key, _)| key.ends_with(&end));
        return found.and_then(|(_, template)| template.suspend.as_ref());
    }
    let end = format!("/{}", node.template_name);
    let own = workflow.spec.templates.iter().chain(&workflow.status.stored_workflow_template_spec.templates);
    own.filter(|template| template.name == node.template_name)
        .chain(stored.iter().filter(|(key, _)| key.ends_with(&end)).map(|(_, template)| template))
        .find_map(|template| template.suspend.as_ref())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn node(name: &str, kind: &str, phase: &str, template: &str) -> Value {
        json!({ "id": format!("w-{name}"), "displayName": name, "type": kind, "phase": phase, "templateName": template })
    }

    fn told(workflow: Value) -> Option<Waiting> {
        waiting(&serde_json::from_value(workflow).unwrap())
    }

    #[test]
    fn a_step_waits_for_a_person_unless_it_has_a_duration() {
        let at = |nodes: Value, duration: &str| {
            told(json!({ "metadata": {}, "spec": { "templates": [
                    { "name": "approve", "suspend": {} }, { "name": "pause", "suspend": { "duration": duration } }] },
                "status": { "nodes": nodes } }))
        };
        let approve = node("ok", "Suspend", "Running", "approve");
        let waits = at(json!({ "a": approve }), "20").unwrap();
        assert_eq!(waits.message, "waits for somebody to resume ok");
        assert_eq!(waits.node.as_deref(), Some("w-ok"));
        assert_eq!(at(json!({ "a": node("p", "Suspend", "Running", "pause") }), "20"), None);
        assert!(at(json!({ "a": node("p", "Suspend", "Running", "pause") }), "").is_some());
        assert_eq!(at(json!({ "a": node("ok", "Suspend", "Succeeded", "approve") }), "20"), None);
        assert_eq!(at(json!({ "a": node("ok", "Pod", "Running", "approve") }), "20"), None);
        assert!(at(json!({ "a": node("ok", "Suspend", "Running", "unknown") }), "20").is_some());
    }

    #[test]
    fn templates_of_other_objects_are_known_by_where_they_were_stored() {
        let mut pause = node("p", "Suspend", "Running", "");
        pause["templateRef"] = json!({ "name": "shared", "template": "pause" });
        let stored = |duration: &str| {
            json!({ "namespaced/other/pause": { "name": "pause", "suspend": {} },
                "cluster/shared/pause": { "name": "pause", "suspend": { "duration": duration } } })
        };
        let at = |duration: &str| {
            told(
                json!({ "metadata": {}, "status": { "nodes": { "a": pause }, "storedTemplates": stored(duration) } }),
            )
        };
        assert_eq!(at("1h"), None);
        assert!(at("").is_some());
    }

    #[test]
    fn many_steps_are_counted_and_a_suspended_workflow_says_so() {
        let nodes: serde_json::Map<String, Value> = ["a", "b", "c", "d", "e"]
            .map(|name| (name.to_owned(), node(name, "Suspend", "Running", "t")))
            .into_iter()
            .collect();
        let waits = told(json!({ "metadata": {}, "status": { "nodes": nodes } })).unwrap();
        assert_eq!(waits.message, "waits for somebody to resume a, b, c and 2 more");
        let suspended = told(json!({ "metadata": {}, "spec": { "suspend": true } })).unwrap();
        assert!(suspended.message.contains("suspended") && suspended.node.is_none());
        assert_eq!(told(json!({ "metadata": {} })), None);
    }
}
