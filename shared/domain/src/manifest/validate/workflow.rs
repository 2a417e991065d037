//! Workflows: their inputs fit, their jobs have no cycle, and everything that is named is there.

use super::Found;
use crate::entity::{AgentChoice, ForEach, InputType, Workflow, WorkflowInput, WorkflowJob};
use crate::near::did_you_mean;
use crate::selector::Selector;
use crate::token::Slug;
use crate::workflow::{
    AGENT_VARIABLES, CONDITION_VARIABLES, CONTEXT_NAMES, INPUTS_MAX, JOBS_BYTES_MAX, JOBS_MAX, RUN_JOBS_MAX,
    fits,
};
use serde_json::{Map, Value};
use std::collections::BTreeSet;

impl Found {
    pub(super) fn workflow(&mut self, spec: &Workflow) {
        if spec.inputs.len() > INPUTS_MAX {
            let message = format!("has {} inputs; {INPUTS_MAX} are allowed", spec.inputs.len());
            self.say("spec.inputs", message, None);
        }
        for (n, input) in spec.inputs.iter().enumerate() {
            let is_known = spec.inputs[..n].iter().any(|other| other.key == input.key);
            self.input(&format!("spec.inputs[{n}]"), input, is_known);
        }
        self.some("spec.jobs", &spec.jobs, "a workflow without a job does nothing");
        let bytes = serde_json::to_vec(&spec.jobs).map_or(0, |json| json.len());
        if spec.jobs.len() > JOBS_MAX {
            self.say("spec.jobs", format!("has {} jobs; {JOBS_MAX} are allowed", spec.jobs.len()), None);
            return;
        }
        if bytes > JOBS_BYTES_MAX {
            self.say("spec.jobs", format!("has {bytes} bytes; {JOBS_BYTES_MAX} are allowed"), None);
        }
        for (n, job) in spec.jobs.iter().enumerate() {
            let field = format!("spec.jobs[{n}]");
            if spec.jobs[..n].iter().any(|other| other.name == job.name) {
                self.say(format!("{field}.name"), format!("there is another job `{}`", job.name), None);
            }
            self.job(&field, spec, job);
        }
        for (n, job) in spec.jobs.iter().enumerate().filter(|(_, job)| needs_itself(spec, &job.name)) {
            let message =
                format!("`{}` needs itself by way of what it needs: it could never start", job.name);
            self.say(format!("spec.jobs[{n}].needs"), message, Some("take one of the needs out"));
        }
    }

    fn input(&mut self, field: &str, input: &WorkflowInput, is_known: bool) {
        let key = &input.key;
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if key.is_empty() || !key.chars().all(is_name) || key.starts_with(|c: char| c.is_ascii_digit()) {
            let hint = Some("letters, digits and _, as in `image_tag`");
            self.say(format!("{field}.key"), "is no name that templates can speak of", hint);
        }
        if is_known {
            self.say(format!("{field}.key"), format!("there is another input `{key}`"), None);
        }
        for (n, option) in input.options.iter().enumerate() {
            let any = WorkflowInput { options: Vec::new(), ..input.clone() };
            if let Err(why) = fits(&any, option) {
                self.say(format!("{field}.options[{n}]"), why, None);
            }
        }
        if let Some(default) = &input.default {
            if let Err(why) = fits(input, default) {
                self.say(format!("{field}.default"), why, None);
            }
            self.secrets(field, &Map::from_iter([(key.clone(), default.clone())]));
        }
    }

    fn job(&mut self, field: &str, spec: &Workflow, job: &WorkflowJob) {
        match &job.agent {
            AgentChoice::Ref(name) => self.text(&format!("{field}.agent.ref"), name),
            AgentChoice::Selector(selector) => {
                self.expression(&format!("{field}.agent.selector"), selector, AGENT_VARIABLES);
            }
        }
        self.layer_over(&format!("{field}.config"), &job.config, CONTEXT_NAMES);
        let names = || spec.jobs.iter().map(|job| job.name.as_str());
        for (n, need) in job.needs.iter().enumerate() {
            let at = format!("{field}.needs[{n}]");
            if !names().any(|name| name == need.as_str()) {
                let hint = did_you_mean(need.as_str(), names());
                self.say(at, format!("there is no job `{need}`"), hint.as_deref());
            } else if job.needs[..n].contains(need) {
                self.say(at, format!("`{need}` is named twice"), None);
            }
        }
        if let Some(condition) = &job.condition {
            self.condition(&format!("{field}.if"), condition, spec, job);
        }
        self.for_each(&format!("{field}.forEach"), spec, job.for_each.as_ref());
        self.at_least_one(&format!("{field}.deadlines.queueSeconds"), job.deadlines.queue_seconds);
        self.at_least_one(&format!("{field}.deadlines.runSeconds"), job.deadlines.run_seconds);
    }

    fn condition(&mut self, field: &str, condition: &str, spec: &Workflow, job: &WorkflowJob) {
        self.expression(field, condition, CONDITION_VARIABLES);
        let Ok(selector) = Selector::compile(condition, CONDITION_VARIABLES) else { return };
        let inputs: Vec<&str> = spec.inputs.iter().map(|input| input.key.as_str()).collect();
        let needs: Vec<&str> = job.needs.iter().map(Slug::as_str).collect();
        for (variable, known) in [("inputs", inputs), ("needs", needs)] {
            for name in selector.fields_of(variable).filter(|name| !known.contains(name)) {
                let hint = did_you_mean(name, known.iter().copied());
                let message = format!("there is no `{variable}.{name}`");
                self.say(field, message, hint.as_deref());
            }
        }
        if selector.uses("item") && job.for_each.is_none() {
            self.say(field, "`item` is null: the job has no `forEach`", None);
        }
    }

    fn for_each(&mut self, field: &str, spec: &Workflow, over: Option<&ForEach>) {
        match over {
            None => {}
            Some(ForEach::Input(key)) => {
                let names = || spec.inputs.iter().map(|input| input.key.as_str());
                match spec.inputs.iter().find(|input| input.key == *key) {
                    None => {
                        let hint = did_you_mean(key, names());
                        self.say(field, format!("there is no input `{key}`"), hint.as_deref());
                    }
                    Some(input) if input.input_type != InputType::Array => {
                        self.say(field, format!("input `{key}` is no array"), Some("give it `type: array`"));
                    }
                    Some(_) => {}
                }
            }
            Some(ForEach::Items(items)) => {
                if items.is_empty() || items.len() > RUN_JOBS_MAX {
                    let message = format!("has {} items; 1 to {RUN_JOBS_MAX} are allowed", items.len());
                    self.say(field, message, None);
                }
                self.secrets(field, &Map::from_iter([("items".to_owned(), Value::Array(items.clone()))]));
            }
        }
    }
}

fn needs_itself(spec: &Workflow, name: &Slug) -> bool {
    let needs_of = |name: &Slug| {
        let jobs = spec.jobs.iter().filter(move |job| job.name == *name);
        jobs.flat_map(|job| job.needs.iter()).collect::<Vec<_>>()
    };
    let (mut open, mut seen) = (needs_of(name), BTreeSet::new());
    while let Some(next) = open.pop() {
        if next == name {
            return true;
        }
        if seen.insert(next) {
            open.extend(needs_of(next));
        }
    }
    false
}
