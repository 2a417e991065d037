//! Waiting for a condition, with a bound. The one place where the tests wait.

use std::future::Future;
use std::time::{Duration, Instant};

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(20);

/// Looks until the condition holds, and answers what it found; panics with what was seen last when time is up.
///
/// # Panics
/// When the condition does not hold within the bound.
pub async fn eventually<T, E, F, Fut>(what: &str, within: Duration, mut look: F) -> T
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<T, E>>,
    E: std::fmt::Display,
{
    let give_up = Instant::now() + within;
    loop {
        match look().await {
            Ok(found) => return found,
            Err(seen) if Instant::now() >= give_up => {
                panic!("{what}: not within {within:?}; seen last: {seen}")
            }
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}
