//! Reading what a bucket or stream keeps, from its oldest message to the one that is last now, and no further.

use tokio_util::sync::CancellationToken;

use crate::connect::Bus;
use crate::error::BusError;
use crate::follow::{Change, FollowSource, From, follow};

/// Why it could not be read to its end.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// It keeps more than the caller takes.
    #[error("there are more than {max} messages")]
    TooMany {
        /// How many the caller takes.
        max: usize,
    },
    /// The bus failed.
    #[error(transparent)]
    Bus(#[from] BusError),
}

/// Tells every message that is kept, in the order of the stream and each once: of a bucket all revisions, with the
/// deletions. What is stored meanwhile may be left out. A lost connection is waited for: give it a deadline.
///
/// # Errors
/// When there are more than `max`, or the bus refuses.
pub async fn replay(
    bus: &Bus,
    source: FollowSource,
    max: usize,
    mut on: impl FnMut(Change) + Send,
) -> Result<(), ReplayError> {
    let (mut told, mut too_many) = (0_usize, false);
    let end = CancellationToken::new();
    let each = |change: Change| {
        // What is on its way already comes nonetheless.
        if end.is_cancelled() {
            return;
        }
        match change {
            Change::CaughtUp { .. } => end.cancel(),
            Change::Put { .. } | Change::Delete { .. } if told == max => {
                too_many = true;
                end.cancel();
            }
            change @ (Change::Put { .. } | Change::Delete { .. }) => {
                told += 1;
                on(change);
            }
        }
    };
    follow(bus, source, From::All, each, end.clone()).await?;
    if too_many { Err(ReplayError::TooMany { max }) } else { Ok(()) }
}
