//! The only clock of the system: everything else takes `now` as an argument.

use domain::Timestamp;

/// The present moment.
#[allow(clippy::disallowed_methods, reason = "this is the replacement the lint names")]
pub fn now() -> Timestamp {
    chrono::Utc::now()
}

/// The moment of that many nanoseconds since the epoch, as the server stamps messages.
/// Nanoseconds that no stream can hold (before 1677, after 2262) become the epoch.
pub(crate) fn of_nanos(nanos: i128) -> Timestamp {
    chrono::DateTime::from_timestamp_nanos(i64::try_from(nanos).unwrap_or(0))
}
