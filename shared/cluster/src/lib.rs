//! Kubernetes clusters as agents reach them: which cluster and as whom, calls with a deadline and from a budget, what a refusal
//! means, and list and watch. It knows the API's manners, and nothing of what an agent keeps there.
#![warn(missing_docs)]

mod access;
mod budget;
mod call;
mod connect;
mod refusal;
mod watch;
mod wire;

pub use access::{Access, AccessError, AllowedHosts, SignIn};
pub use budget::Counted;
pub use call::{Cluster, Done, Patch};
pub use connect::{Clusters, Options, SecretByName};
pub use refusal::Refused;
pub use watch::{Change, Seen, Watch, watch};
pub use wire::Metadata;
