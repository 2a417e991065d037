//! Live events: the statuses of jobs as server-sent events. First what is true now, then what changes; or, for a
//! client that comes back, what it missed. All clients read what is recent from one fold in memory; only what is older
//! is read from the stream for one of them.

use std::sync::Arc;
use std::time::Duration;

use bus::Bus;
use bus::topology::STATUS;
use bytes::Bytes;
use tokio::sync::mpsc::error::SendTimeoutError;
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

pub(crate) use self::news::Wanted;
use self::recent::Next;
pub(crate) use self::recent::Recent;

mod catch_up;
mod newest;
mod news;
mod recent;

/// How many chunks a client may lag behind before its buffer is full, and about how large they are.
pub(crate) const BUFFER_CHUNKS: usize = 4;
const CHUNK_BYTES: usize = 16 * 1024;
/// How many clients read the stream at once: each has a consumer of its own.
const CATCH_UPS_MAX: usize = 32;
/// How often a silent client hears where it is, so that what it does not want never makes its place too old.
const SAY_WHERE_EVERY: Duration = Duration::from_secs(15);
const REOPEN_FIRST: Duration = Duration::from_millis(50);
const REOPEN_CAP: Duration = Duration::from_secs(2);

/// What all clients share.
pub(crate) struct Events {
    pub(crate) recent: Arc<Recent>,
    catch_ups: Semaphore,
}

/// A client, and where it is.
pub(crate) struct Client {
    wanted: Wanted,
    position: Position,
    chunks: mpsc::Sender<Bytes>,
    /// How long it may leave its buffer full.
    slow: Duration,
    is_live: bool,
    /// The newest event when it came.
    live_from: u64,
}

/// Where to read on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Position {
    /// With the last status of every job.
    Snapshot,
    /// After this sequence of `STATUS`.
    After(u64),
}

/// Why the reading stopped.
enum Stopped {
    /// The client is gone or too slow: it comes back with its last id, or not at all.
    Ended(&'static str),
    /// The consumer was lost, or memory has forgotten: read on from the stream.
    Lost(String),
}

impl Events {
    /// Nobody listens yet.
    pub(crate) fn new(recent: Arc<Recent>) -> Self {
        Self { recent, catch_ups: Semaphore::new(CATCH_UPS_MAX) }
    }

    /// Feeds the client until it is gone, too slow, or we drain. Opens again by itself after every loss.
    pub(crate) async fn feed(&self, bus: &Bus, mut client: Client, drain: CancellationToken) {
        let chunks = client.chunks.clone();
        let why = tokio::select! {
            biased;
            () = drain.cancelled() => "we drain",
            () = chunks.closed() => "it is gone",
            why = self.until_ended(bus, &mut client) => why,
        };
        tracing::debug!(workspace = %client.wanted.workspace, why, "a client of live events ends");
    }

    async fn until_ended(&self, bus: &Bus, client: &mut Client) -> &'static str {
        let mut pause = REOPEN_FIRST;
        loop {
            let before = client.position;
            let stopped = match self.read(bus, client).await {
                Ok(stopped) => stopped,
                Err(error) => Stopped::Lost(error.to_string()),
            };
            match stopped {
                Stopped::Ended(why) => return why,
                Stopped::Lost(why) => {
                    tracing::debug!(workspace = %client.wanted.workspace, why, after = ?client.position, "reading events again");
                    metrics::counter!("api_events_reopened_total").increment(1);
                }
            }
            pause = if client.position == before { (pause * 2).min(REOPEN_CAP) } else { REOPEN_FIRST };
            tokio::time::sleep(pause).await;
        }
    }

    /// From the stream until memory has the rest, then from memory.
    async fn read(&self, bus: &Bus, client: &mut Client) -> Result<Stopped, async_nats::Error> {
        if !client.is_live {
            // Memory may be a moment behind the stream.
            client.live_from = bus.last_sequence(&STATUS).await?;
        }
        let is_recent = match client.position {
            Position::After(after) => self.recent.covers(after),
            Position::Snapshot => false,
        };
        if !is_recent {
            let _permit = self.catch_ups.acquire().await?;
            if let Some(stopped) = catch_up::read(bus, client).await? {
                return Ok(stopped);
            }
        }
        Ok(self.read_recent(client).await)
    }

    async fn read_recent(&self, client: &mut Client) -> Stopped {
        let mut head = self.recent.head();
        loop {
            let reached = *head.borrow_and_update();
            let Position::After(after) = client.position else {
                return Stopped::Lost("a snapshot has no place yet".to_owned());
            };
            let (up_to, chunk) = match self.recent.after(after, &client.wanted, CHUNK_BYTES) {
                Next::UpTo(up_to, chunk) => (up_to, chunk),
                Next::Gone => return Stopped::Lost("memory has forgotten what follows".to_owned()),
            };
            let is_silent = chunk.is_empty();
            if !is_silent && let Some(stopped) = client.send(chunk).await {
                return stopped;
            }
            client.position = Position::After(up_to);
            if up_to < reached {
                continue;
            }
            if up_to >= client.live_from
                && let Some(stopped) = client.live(up_to).await
            {
                return stopped;
            }
            match tokio::time::timeout(SAY_WHERE_EVERY, head.changed()).await {
                Ok(Ok(())) => {}
                Ok(Err(_closed)) => return Stopped::Lost("nobody follows the stream".to_owned()),
                Err(_silence) => {
                    let here = Bytes::from(format!(": here\nid: {up_to}\n\n"));
                    if let Some(stopped) = client.send(here).await {
                        return stopped;
                    }
                }
            }
        }
    }
}

impl Client {
    /// One that begins after that event, or with what is true now.
    pub(crate) fn new(
        wanted: Wanted,
        after: Option<u64>,
        chunks: mpsc::Sender<Bytes>,
        slow: Duration,
    ) -> Self {
        let position = after.map_or(Position::Snapshot, Position::After);
        Self { wanted, position, chunks, slow, is_live: false, live_from: 0 }
    }

    /// Says, once, that everything that was true when the client came has been told.
    async fn live(&mut self, at: u64) -> Option<Stopped> {
        if std::mem::replace(&mut self.is_live, true) {
            return None;
        }
        self.send(Bytes::from(format!("event: live\nid: {at}\ndata: {{}}\n\n"))).await
    }

    /// Says that everything follows once more.
    async fn reset(&mut self) -> Option<Stopped> {
        self.position = Position::Snapshot;
        self.is_live = false;
        self.send(Bytes::from_static(b"event: reset\ndata: {}\n\n")).await
    }

    async fn send(&mut self, chunk: Bytes) -> Option<Stopped> {
        match self.chunks.send_timeout(chunk, self.slow).await {
            Ok(()) => None,
            Err(SendTimeoutError::Closed(_)) => Some(Stopped::Ended("it is gone")),
            Err(SendTimeoutError::Timeout(_)) => {
                metrics::counter!("api_events_cut_off_total").increment(1);
                Some(Stopped::Ended("it is too slow"))
            }
        }
    }
}

impl Position {
    fn at_least(self, sequence: u64) -> Self {
        match self {
            Self::Snapshot => Self::After(sequence),
            Self::After(after) => Self::After(after.max(sequence)),
        }
    }
}
