//! Argo's words for how workflows and their nodes stand. All lists are open: what we do not know is kept as it is.

use platform::words;

words! {
    /// The phase of a workflow.
    pub(super) Phase {
        /// The controller has not looked at it yet.
        Unknown = "",
        /// It waits: for a lock, a semaphore, or its turn.
        Pending = "Pending",
        /// Any node has started; it may be suspended.
        Running = "Running",
        /// It ended well.
        Succeeded = "Succeeded",
        /// A node failed, or somebody ended it.
        Failed = "Failed",
        /// The controller or a template went wrong.
        Error = "Error",
    }
}

words! {
    /// The phase of a node.
    pub(super) NodePhase {
        /// Not begun.
        Pending = "Pending",
        /// Begun.
        Running = "Running",
        /// It ended well.
        Succeeded = "Succeeded",
        /// Its condition did not hold.
        Skipped = "Skipped",
        /// It ended badly.
        Failed = "Failed",
        /// It could not be run.
        Error = "Error",
        /// What it depends on did not end so that it would run.
        Omitted = "Omitted",
    }
}

words! {
    /// What a node is.
    pub(super) NodeType {
        /// A pod.
        Pod = "Pod",
        /// A container of a pod.
        Container = "Container",
        /// A list of step groups.
        Steps = "Steps",
        /// Steps that run at once.
        StepGroup = "StepGroup",
        /// A graph of tasks.
        Dag = "DAG",
        /// Tasks that one task became.
        TaskGroup = "TaskGroup",
        /// The tries of one node.
        Retry = "Retry",
        /// Something that is not run.
        Skipped = "Skipped",
        /// Waits for a person or a while.
        Suspend = "Suspend",
        /// A request.
        Http = "HTTP",
        /// What a plugin does.
        Plugin = "Plugin",
    }
}

impl NodeType {
    /// Whether it does something itself, rather than hold other nodes.
    pub(super) fn is_leaf(&self) -> bool {
        match self {
            NodeType::Pod | NodeType::Container | NodeType::Suspend | NodeType::Http | NodeType::Plugin => {
                true
            }
            NodeType::Steps
            | NodeType::StepGroup
            | NodeType::Dag
            | NodeType::TaskGroup
            | NodeType::Retry
            | NodeType::Skipped => false,
            // Rather taken for work that was done: only what surely did nothing is called invalid.
            NodeType::Other(_) => true,
        }
    }
}
