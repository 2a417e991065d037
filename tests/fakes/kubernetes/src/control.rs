//! What whoever holds the fake does behind everybody's back.

use crate::controller::{self, Ending, set_condition};
use crate::server::FakeKubernetes;
use serde_json::Value;

impl FakeKubernetes {
    /// A Job as it is.
    pub fn job(&self, namespace: &str, name: &str) -> Option<Value> {
        self.shared.world().store.get("jobs", namespace, name).cloned()
    }

    /// All Jobs of a namespace.
    pub fn jobs(&self, namespace: &str) -> Vec<Value> {
        self.shared.world().store.all("jobs", namespace).cloned().collect()
    }

    /// Its pod runs. `false`: there is no such Job, or it is over.
    pub fn run(&self, namespace: &str, name: &str) -> bool {
        self.shared.change(|world| controller::run(&mut world.store, namespace, name))
    }

    /// It ends. `false`: there is no such Job, or it is over.
    pub fn end(&self, namespace: &str, name: &str, ending: Ending) -> bool {
        self.shared.change(|world| controller::end(&mut world.store, namespace, name, ending))
    }

    /// It gets a condition, whatever that is.
    pub fn condition(&self, namespace: &str, name: &str, kind: &str, holds: &str, reason: &str) -> bool {
        self.shared.change(|world| {
            controller::change(&mut world.store, namespace, name, |status| {
                set_condition(status, kind, holds, reason, &format!("says {reason}"));
            })
        })
    }

    /// Its pods get this status.
    pub fn pods_say(&self, namespace: &str, name: &str, status: &Value) -> bool {
        self.shared.change(|world| {
            let Some(job) = world.store.get("jobs", namespace, name).cloned() else { return false };
            controller::each_pod(&mut world.store, &job, |of_pod| *of_pod = status.clone());
            true
        })
    }

    /// It is deleted, by its TTL or by a person.
    pub fn delete(&self, namespace: &str, name: &str) -> bool {
        self.shared.change(|world| controller::delete(&mut world.store, namespace, name).is_some())
    }

    /// Somebody makes this object.
    pub fn put(&self, resource: &str, object: Value) {
        self.shared.change(|world| world.store.put(resource, object));
    }

    /// An object of any kind as it is.
    pub fn object(&self, resource: &str, namespace: &str, name: &str) -> Option<Value> {
        self.shared.world().store.get(resource, namespace, name).cloned()
    }

    /// All objects of a kind in a namespace.
    pub fn objects(&self, resource: &str, namespace: &str) -> Vec<Value> {
        self.shared.world().store.all(resource, namespace).cloned().collect()
    }

    /// Somebody removes this object.
    pub fn remove(&self, resource: &str, namespace: &str, name: &str) -> bool {
        self.shared.change(|world| world.store.remove(resource, namespace, name).is_some())
    }

    /// Every open watch ends, as when a load balancer forgets its connections.
    pub fn cut_watches(&self) {
        self.shared.cuts.send_modify(|cuts| *cuts += 1);
    }

    /// Every position is too old from now on, as after a compaction of etcd.
    pub fn compact(&self) {
        self.shared.change(|world| world.store.compact());
    }

    /// How many watches are open.
    pub fn watching(&self) -> usize {
        self.shared.cuts.receiver_count()
    }
}
