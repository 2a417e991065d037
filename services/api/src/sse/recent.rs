//! The newest messages of `STATUS` in memory, read once and served to every client: one consumer, however many listen.
//! Bounded by count and bytes; what is older is read from the stream.

use std::collections::VecDeque;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;

use bus::topology::STATUS;
use bus::{Bus, BusError, Change, FollowSource, From, follow};
use bytes::{Bytes, BytesMut};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use super::newest::Newest;
use super::news::{News, Wanted};

/// How much is kept: at 500 events a second, half a minute of them, for clients that come back.
const BYTES_MAX: usize = 24 * 1024 * 1024;
const EVENTS_MAX: usize = 32_768;
/// How far back a new process reads, so that the clients of the one before it are served from memory.
const READ_BACK: u64 = 16_384;
/// Clients are woken at most this often; what comes in between is sent together.
const WAKE_EVERY: Duration = Duration::from_millis(20);
/// An event with what keeps it, besides its bytes.
const OVERHEAD_BYTES: usize = 256;

/// What was stored last, and how far it goes.
pub(crate) struct Recent {
    kept: RwLock<Kept>,
    /// Everything up to here is kept or was; clients wait for it to grow.
    head: watch::Sender<u64>,
    grown: Notify,
    caught_up: watch::Sender<bool>,
}

/// What a client gets that reads on.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// These events, maybe none, and everything up to that sequence has been looked at.
    UpTo(u64, Bytes),
    /// What follows the client's place is kept no more.
    Gone,
}

#[derive(Default)]
struct Kept {
    /// Everything after this is kept. `None`: nothing was read yet.
    floor: Option<u64>,
    head: u64,
    bytes: usize,
    news: VecDeque<Arc<News>>,
    newest: Newest,
}

impl Default for Recent {
    fn default() -> Self {
        Self {
            kept: RwLock::default(),
            head: watch::channel(0).0,
            grown: Notify::new(),
            caught_up: watch::channel(false).0,
        }
    }
}

impl Recent {
    /// Follows the stream until the drain.
    pub(crate) async fn follow(&self, bus: &Bus, drain: CancellationToken) -> Result<(), BusError> {
        let ends = tokio::select! {
            () = drain.cancelled() => return Ok(()),
            ends = bus.ends_of(&STATUS) => ends?,
        };
        let floor = ends.last.saturating_sub(READ_BACK).max(ends.first.saturating_sub(1));
        self.write(|kept| (kept.floor, kept.head) = (Some(floor), floor));
        let source = FollowSource::Stream(&STATUS, None);
        let following = follow(bus, source, From::After(floor), |change| self.apply(change), drain);
        tokio::select! {
            ended = following => ended,
            () = self.wake() => unreachable!("it wakes for ever"),
        }
    }

    /// Waits until what was there at the start is known.
    pub(crate) async fn caught_up(&self) {
        // The sender lives in `self`, so waiting cannot fail.
        let _there = self.caught_up.subscribe().wait_for(|there| *there).await.is_ok();
    }

    /// Grows when there is more to read.
    pub(super) fn head(&self) -> watch::Receiver<u64> {
        self.head.subscribe()
    }

    /// Whether a client can read on from there.
    pub(super) fn covers(&self, after: u64) -> bool {
        let kept = self.read();
        kept.floor.is_some_and(|floor| floor <= after) && after <= kept.head
    }

    /// What follows, of what is wanted, about so many bytes at most.
    pub(super) fn after(&self, after: u64, wanted: &Wanted, bytes_max: usize) -> Next {
        let kept = self.read();
        if kept.floor.is_none_or(|floor| floor > after) {
            return Next::Gone;
        }
        let begin = kept.news.partition_point(|news| news.sequence <= after);
        let mut chunk = BytesMut::new();
        for news in kept.news.range(begin..) {
            if wanted.wants(news) {
                chunk.extend_from_slice(&news.frame);
                if chunk.len() >= bytes_max {
                    return Next::UpTo(news.sequence, chunk.freeze());
                }
            }
        }
        Next::UpTo(kept.head.max(after), chunk.freeze())
    }

    fn apply(&self, change: Change) {
        match change {
            Change::Put { key, sequence, payload, headers, .. } => {
                let news = News::read(&key, sequence, &headers, &payload);
                self.write(|kept| kept.take(sequence, news));
            }
            Change::Delete { sequence, .. } => self.write(|kept| kept.take(sequence, None)),
            Change::CaughtUp { sequence } => {
                self.write(|kept| kept.take(sequence, None));
                self.caught_up.send_replace(true);
            }
        }
        self.grown.notify_one();
    }

    async fn wake(&self) {
        loop {
            self.grown.notified().await;
            let head = self.read().head;
            self.head.send_if_modified(|known| std::mem::replace(known, head) != head);
            tokio::time::sleep(WAKE_EVERY).await;
        }
    }

    fn read(&self) -> RwLockReadGuard<'_, Kept> {
        self.kept.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, change: impl FnOnce(&mut Kept)) {
        change(&mut self.kept.write().unwrap_or_else(PoisonError::into_inner));
    }
}

impl Kept {
    fn take(&mut self, sequence: u64, news: Option<News>) {
        self.head = self.head.max(sequence);
        // Several writers may be late: what is older than what was told is told to nobody.
        let Some(news) = news.filter(|news| news.is_farewell() || self.newest.is_news(news.job, news.fact))
        else {
            return;
        };
        self.bytes += news.frame.len() + OVERHEAD_BYTES;
        self.news.push_back(Arc::new(news));
        while self.news.len() > EVENTS_MAX || self.bytes > BYTES_MAX {
            let Some(oldest) = self.news.pop_front() else { break };
            self.bytes -= oldest.frame.len() + OVERHEAD_BYTES;
            self.floor = Some(oldest.sequence);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::news::tests::news;
    use super::*;

    const PLACE: &str = "acme.github-app.web.staging";
    const OTHER: &str = "acme.github-app.db.staging";

    fn wanted(deployment: &str) -> Wanted {
        Wanted {
            workspace: "acme".parse().unwrap(),
            platform: None,
            deployment: Some(deployment.parse().unwrap()),
            environment: None,
            statuses: Vec::new(),
        }
    }

    fn after(recent: &Recent, at: u64, deployment: &str, bytes: usize) -> (u64, Vec<u64>) {
        let Next::UpTo(at, chunk) = recent.after(at, &wanted(deployment), bytes) else { panic!("gone") };
        let text = String::from_utf8(chunk.to_vec()).unwrap();
        (at, text.lines().filter_map(|line| line.strip_prefix("id: ")?.parse().ok()).collect())
    }

    #[test]
    fn each_client_reads_on_from_its_own_place() {
        let recent = Recent::default();
        assert_eq!(recent.after(0, &wanted("web"), 1), Next::Gone, "nothing was read yet");
        recent.write(|kept| {
            (kept.floor, kept.head) = (Some(10), 10);
            for (sequence, place) in [(11, PLACE), (13, OTHER), (14, PLACE), (17, OTHER)] {
                kept.take(sequence, Some(news(sequence as usize, place, sequence, sequence, false)));
            }
        });
        assert!(recent.covers(10) && recent.covers(17) && !recent.covers(9) && !recent.covers(18));
        assert_eq!(after(&recent, 10, "web", usize::MAX), (17, vec![11, 14]));
        assert_eq!(after(&recent, 10, "web", 1), (11, vec![11]), "a full chunk ends there");
        assert_eq!(after(&recent, 11, "web", usize::MAX), (17, vec![14]));
        assert_eq!(after(&recent, 17, "web", usize::MAX), (17, vec![]));
        assert_eq!(after(&recent, 20, "web", usize::MAX), (20, vec![]), "who is ahead of us waits");
        assert_eq!(recent.after(9, &wanted("web"), 1), Next::Gone);
    }

    #[test]
    fn late_and_repeated_news_is_kept_for_nobody() {
        let recent = Recent::default();
        recent.write(|kept| {
            (kept.floor, kept.head) = (Some(0), 0);
            for (sequence, fact) in [(1, 5), (2, 4), (3, 5), (4, 6)] {
                kept.take(sequence, Some(news(1, PLACE, sequence, fact, false)));
            }
        });
        assert_eq!(after(&recent, 0, "web", usize::MAX), (4, vec![1, 4]));
    }

    #[test]
    fn it_does_not_grow_without_end_and_says_what_is_gone() {
        let recent = Recent::default();
        recent.write(|kept| {
            (kept.floor, kept.head) = (Some(0), 0);
            for sequence in 1..=EVENTS_MAX as u64 + 5 {
                kept.take(sequence, Some(news(sequence as usize, PLACE, sequence, sequence, false)));
            }
        });
        assert!(!recent.covers(4) && recent.covers(5));
        assert_eq!(after(&recent, 5, "web", 1), (6, vec![6]));
    }
}
