//! Reading what a bucket or stream keeps, from its oldest message to the one that is last now, and no further.

use std::ops::ControlFlow;

use tokio_util::sync::CancellationToken;

use crate::connect::Bus;
use crate::error::BusError;
use crate::follow::{Change, FollowSource, From, follow};

/// Tells every message that is kept, in the order of the stream and each once, until `on` breaks off: of a bucket all
/// revisions, with the deletions. What is stored meanwhile may be left out. A lost connection is waited for: give it a
/// deadline.
///
/// # Errors
/// When the bus refuses.
pub async fn replay(
    bus: &Bus,
    source: FollowSource,
    on: impl FnMut(Change) -> ControlFlow<()> + Send,
) -> Result<(), BusError> {
    tell(bus, source, From::All, on).await
}

/// As [`replay`], of each subject or key the last message only.
///
/// # Errors
/// When the bus refuses.
pub async fn latest(
    bus: &Bus,
    source: FollowSource,
    on: impl FnMut(Change) -> ControlFlow<()> + Send,
) -> Result<(), BusError> {
    tell(bus, source, From::LastPerSubject, on).await
}

async fn tell(
    bus: &Bus,
    source: FollowSource,
    from: From,
    mut on: impl FnMut(Change) -> ControlFlow<()> + Send,
) -> Result<(), BusError> {
    let end = CancellationToken::new();
    let each = |change: Change| {
        // What is on its way already comes nonetheless.
        if end.is_cancelled() {
            return;
        }
        let goes_on = match change {
            Change::CaughtUp { .. } => ControlFlow::Break(()),
            change @ (Change::Put { .. } | Change::Delete { .. }) => on(change),
        };
        if goes_on.is_break() {
            end.cancel();
        }
    };
    follow(bus, source, from, each, end.clone()).await
}
