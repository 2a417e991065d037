//! What tests and demos do to a fake behind its clients' backs.

use crate::faults::Fault;
use crate::news::NewsFault;
use crate::server::FakeArgo;
use crate::state::{Call, Key, Workflow};
use serde_json::{Value, json};

fn key(namespace: &str, name: &str) -> Key {
    (namespace.to_owned(), name.to_owned())
}

impl FakeArgo {
    /// The workflows whose objects are there.
    pub fn workflows(&self) -> Vec<Workflow> {
        self.shared.lock().workflows.values().cloned().collect()
    }

    pub fn workflow(&self, namespace: &str, name: &str) -> Option<Workflow> {
        self.shared.lock().workflows.get(&key(namespace, name)).cloned()
    }

    /// How many workflows were ever submitted.
    pub fn submitted(&self) -> usize {
        self.shared.lock().submitted
    }

    /// Calls that came in, oldest first.
    pub fn calls(&self) -> Vec<Call> {
        self.shared.lock().calls.iter().cloned().collect()
    }

    /// What goes wrong with the next calls.
    pub fn inject(&self, fault: Fault) {
        self.shared.lock().faults.add(fault);
    }

    /// No call goes wrong any more.
    pub fn clear_faults(&self) {
        self.shared.lock().faults.clear();
    }

    /// What goes wrong with the next changes on their way to streams.
    pub fn spoil_news(&self, faults: &[NewsFault]) {
        self.shared.lock().history.script(faults);
    }

    /// Ends every stream that is open.
    pub fn cut_streams(&self) {
        self.shared.cuts.send_modify(|cuts| *cuts += 1);
    }

    /// How many streams are open.
    pub fn streams(&self) -> usize {
        self.shared.cuts.receiver_count()
    }

    /// Forgets what happened so far: streams cannot be read on from before now.
    pub fn forget_history(&self) {
        self.shared.change(|state| state.history.forget(state.version));
    }

    /// Makes it run. `false` where there is no such workflow, as below.
    pub fn begin(&self, namespace: &str, name: &str) -> bool {
        self.with(namespace, name, |state, key| state.begin(key))
    }

    /// Makes it wait at a step until somebody resumes it.
    pub fn suspend(&self, namespace: &str, name: &str) -> bool {
        self.with(namespace, name, |state, key| {
            state.begin(key);
            state.suspend(key);
        })
    }

    /// Ends it in that phase, with these words, and its step with those.
    pub fn finish(&self, namespace: &str, name: &str, phase: &str, message: &str, step: &str) -> bool {
        self.with(namespace, name, |state, key| {
            if state.workflows.get(key).is_some_and(|workflow| workflow.phase().is_empty()) {
                state.begin(key);
            }
            state.finish(key, phase, message, step);
        })
    }

    /// Writes into the object, by JSON pointer, as somebody with `kubectl` would. The places must be there.
    pub fn write(&self, namespace: &str, name: &str, pointer: &str, value: &Value) -> bool {
        self.with(namespace, name, |state, key| {
            state.edit(key, |object| {
                let (parent, field) = pointer.rsplit_once('/').unwrap_or(("", pointer));
                if let Some(parent) = object.pointer_mut(parent) {
                    parent[field] = json!(value);
                }
            });
        })
    }

    /// Deletes the object, as its time to live does. What is over stays in the archive, if there is one.
    pub fn delete(&self, namespace: &str, name: &str) -> bool {
        self.shared.change(|state| state.remove(&key(namespace, name)))
    }

    /// Empties the archive.
    pub fn clear_archive(&self) {
        self.shared.lock().archive.clear();
    }

    fn with(&self, namespace: &str, name: &str, change: impl FnOnce(&mut crate::state::State, &Key)) -> bool {
        let key = key(namespace, name);
        self.shared.change(|state| {
            let Some(workflow) = state.workflows.get_mut(&key) else { return false };
            workflow.epoch += 1;
            change(state, &key);
            true
        })
    }
}
