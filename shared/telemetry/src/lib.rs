//! Tracing, logs and OpenTelemetry, and the trace context that crosses the bus.
//! It knows nothing of NATS, HTTP servers or settings: a carrier is a string or an `http::HeaderMap`.

#![warn(missing_docs)]

pub mod context;
mod init;
mod otel;
mod redact;
mod writer;

pub use context::{current_traceparent, set_parent};
pub use init::{Guard, InitError, LogFormat, check_filter, init, init_for_tests};
pub use redact::{REDACTED, redact};
