//! GitLab's words for how a pipeline or a job stands. The list is open: GitLab adds words, and what we do not know is kept
//! as it is. Source: `Ci::HasStatus` of GitLab 19, which pipelines, jobs and bridges share.

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
            /// Every word GitLab has published.
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
    /// The `status` of a pipeline or a job.
    Status {
        /// Made, not yet looked at.
        Created = "created",
        /// Waits for its resource group.
        WaitingForResource = "waiting_for_resource",
        /// Its environment is made ready.
        Preparing = "preparing",
        /// Runs on something outside that will report back.
        WaitingForCallback = "waiting_for_callback",
        /// Waits for a runner.
        Pending = "pending",
        /// Runs.
        Running = "running",
        /// Over, well.
        Success = "success",
        /// Over, badly.
        Failed = "failed",
        /// Asked to end; clean-up is under way.
        Canceling = "canceling",
        /// Over, because it was asked to end.
        Canceled = "canceled",
        /// Over without having run.
        Skipped = "skipped",
        /// Waits for a person to start it.
        Manual = "manual",
        /// Waits for its time.
        Scheduled = "scheduled",
    }
}

impl Status {
    /// Whether it ends a pipeline or job, until somebody starts it again.
    pub(super) fn is_over(&self) -> bool {
        match self {
            Self::Success | Self::Failed | Self::Canceled | Self::Skipped => true,
            Self::Created
            | Self::WaitingForResource
            | Self::Preparing
            | Self::WaitingForCallback
            | Self::Pending
            | Self::Running
            | Self::Canceling
            | Self::Manual
            | Self::Scheduled
            | Self::Other(_) => false,
        }
    }
}
