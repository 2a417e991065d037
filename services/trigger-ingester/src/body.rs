//! Reads the body of a delivery: bounded in size, in time, and in what all bodies together hold of the memory.
//! It does not know what is in it; whoever sends it is not believed yet.

use axum::body::{Body, BodyDataStream};
use axum::http::header::CONTENT_LENGTH;
use axum::http::{HeaderMap, StatusCode};
use bus::PAYLOAD_BYTES_MAX;
use bytes::{Bytes, BytesMut};
use futures::StreamExt as _;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// The unit in which memory is given out.
const PIECE_BYTES: usize = 64 * 1024;

/// Why a body was not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unread {
    /// It is larger than a payload may be.
    #[error("a payload may have {} MiB", PAYLOAD_BYTES_MAX / 1024 / 1024)]
    TooLarge,
    /// The sender is too slow.
    #[error("the body did not come in time")]
    TooSlow,
    /// The connection broke.
    #[error("the body broke off")]
    Broken,
    /// There is no memory for it now.
    #[error("too much is coming in at once, come again")]
    Crowded,
}

impl Unread {
    /// The status to answer with.
    pub(crate) fn status(self) -> StatusCode {
        match self {
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::Broken => StatusCode::BAD_REQUEST,
            Self::Crowded => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

/// All bodies that are in memory now.
pub(crate) struct Bodies {
    size_bytes_max: usize,
    within: Duration,
    pieces: Arc<Semaphore>,
}

impl Default for Bodies {
    fn default() -> Self {
        // Twenty of the largest, or eight thousand ordinary ones.
        Self::new(PAYLOAD_BYTES_MAX, Duration::from_secs(30), 20 * PAYLOAD_BYTES_MAX)
    }
}

/// A body; its share of the memory is free again when it goes.
#[derive(Debug)]
pub(crate) struct Held {
    bytes: Bytes,
    _share: Option<OwnedSemaphorePermit>,
}

impl Held {
    /// As it came.
    pub(crate) fn bytes(&self) -> &Bytes {
        &self.bytes
    }
}

impl Bodies {
    fn new(size_bytes_max: usize, within: Duration, all_bytes_max: usize) -> Self {
        let pieces = Arc::new(Semaphore::new(all_bytes_max.div_ceil(PIECE_BYTES)));
        Self { size_bytes_max, within, pieces }
    }

    /// The whole body. A length that is announced is believed before a byte is read.
    ///
    /// # Errors
    /// [`Unread`] says why not.
    pub(crate) async fn read(&self, headers: &HeaderMap, body: Body) -> Result<Held, Unread> {
        let announced =
            headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
        if announced.is_some_and(|bytes| bytes > self.size_bytes_max as u64) {
            return Err(Unread::TooLarge);
        }
        timeout(self.within, self.gather(body.into_data_stream()))
            .await
            .unwrap_or_else(|_elapsed| Err(Unread::TooSlow))
    }

    async fn gather(&self, mut parts: BodyDataStream) -> Result<Held, Unread> {
        let (mut bytes, mut share) = (BytesMut::new(), None);
        let mut granted_bytes = 0;
        while let Some(part) = parts.next().await {
            let part = part.map_err(|_connection| Unread::Broken)?;
            let size_bytes = bytes.len() + part.len();
            if size_bytes > self.size_bytes_max {
                return Err(Unread::TooLarge);
            }
            while granted_bytes < size_bytes {
                let piece = self.pieces.clone().try_acquire_owned().map_err(|_none_left| Unread::Crowded)?;
                match &mut share {
                    None => share = Some(piece),
                    Some(share) => OwnedSemaphorePermit::merge(share, piece),
                }
                granted_bytes += PIECE_BYTES;
            }
            bytes.extend_from_slice(&part);
        }
        Ok(Held { bytes: bytes.freeze(), _share: share })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::stream;
    use std::convert::Infallible;

    const SOON: Duration = Duration::from_secs(10);

    fn parts(sizes: &[usize]) -> Body {
        let parts: Vec<Result<Bytes, Infallible>> =
            sizes.iter().map(|size| Ok(Bytes::from(vec![b'x'; *size]))).collect();
        Body::from_stream(stream::iter(parts))
    }

    fn announced(size_bytes: usize) -> HeaderMap {
        [(CONTENT_LENGTH, size_bytes.into())].into_iter().collect()
    }

    #[tokio::test]
    async fn a_body_may_be_as_large_as_allowed_and_no_larger_announced_or_not() {
        let bodies = Bodies::new(100, SOON, PIECE_BYTES);
        assert_eq!(bodies.read(&HeaderMap::new(), parts(&[60, 40])).await.unwrap().bytes().len(), 100);
        assert_eq!(bodies.read(&HeaderMap::new(), parts(&[60, 41])).await.unwrap_err(), Unread::TooLarge);
        assert_eq!(bodies.read(&announced(100), parts(&[100])).await.unwrap().bytes().len(), 100);
        let never = Body::from_stream(stream::pending::<Result<Bytes, Infallible>>());
        assert_eq!(bodies.read(&announced(101), never).await.unwrap_err(), Unread::TooLarge);
    }

    #[tokio::test]
    async fn a_sender_that_falls_silent_is_not_waited_for() {
        let bodies = Bodies::new(100, Duration::from_millis(10), PIECE_BYTES);
        let begun = stream::iter([Ok::<_, Infallible>(Bytes::from_static(b"x"))]).chain(stream::pending());
        let outcome = bodies.read(&HeaderMap::new(), Body::from_stream(begun)).await;
        assert_eq!(outcome.unwrap_err(), Unread::TooSlow);
        assert_eq!(bodies.pieces.available_permits(), 1, "what it held is free again");
    }

    #[tokio::test]
    async fn all_bodies_together_hold_no_more_than_allowed() {
        let bodies = Bodies::new(3 * PIECE_BYTES, SOON, 2 * PIECE_BYTES);
        let read = async |size| bodies.read(&HeaderMap::new(), parts(&[size])).await;
        let first = read(PIECE_BYTES + 1).await.unwrap();
        assert_eq!(read(1).await.unwrap_err(), Unread::Crowded);
        drop(first);
        assert_eq!(read(2 * PIECE_BYTES).await.unwrap().bytes().len(), 2 * PIECE_BYTES);
        assert_eq!(read(2 * PIECE_BYTES + 1).await.unwrap_err(), Unread::Crowded);
    }
}
