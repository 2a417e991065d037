//! How many files and connections a process may have open at once.

/// Takes what the system allows: the usual first limit of 1,024 is fewer than the clients that may listen to live events.
/// Where it cannot be raised, it stays; connections past it are refused, and the log says so.
pub fn raise_file_limit() {
    match rlimit::increase_nofile_limit(u64::MAX) {
        Ok(limit) => tracing::debug!(limit, "files that may be open at once"),
        Err(error) => tracing::warn!(%error, "the limit of open files cannot be raised"),
    }
}
