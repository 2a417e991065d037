//! Argo's words for how workflows and their nodes stand. All lists are open: what we do not know is kept as it is.

use serde::{Deserialize, Serialize};

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $text:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(from = "String", into = "String")]
        pub(super) enum $name {
            $($(#[$vdoc])* $variant,)+
            /// A word we do not know.
            Other(String),
        }

        impl $name {
            /// Every word Argo has published.
            #[cfg(test)]
            pub(super) const PUBLISHED: &[&str] = &[$($text),+];

            /// The word on the wire.
            pub(super) fn as_str(&self) -> &str {
                match self {
                    $(Self::$variant => $text,)+
                    Self::Other(text) => text,
                }
            }
        }

        impl From<String> for $name {
            fn from(text: String) -> Self {
                match text.as_str() {
                    $($text => Self::$variant,)+
                    _ => Self::Other(text),
                }
            }
        }

        impl From<$name> for String {
            fn from(word: $name) -> Self {
                word.as_str().to_owned()
            }
        }
    };
}

words! {
    /// The phase of a workflow.
    Phase {
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
    NodePhase {
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
    NodeType {
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
