//! HTTP as an agent needs it: every request ends in time, every answer fits in memory, every failure says whether the
//! platform may have heard. It knows no platform and no credential.

mod base;
mod cache;
mod client;
mod error;
mod headers;
mod stream;

pub use base::{AllowedHosts, BaseUrl};
pub use client::{Call, HttpClient, HttpOptions, Outcome};
pub use error::{BuildError, Effect, SendError};
pub use headers::{number, retry_after, text};
pub use stream::{Line, Lines, StreamLimits};
