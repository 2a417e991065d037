//! Reading a platform's log of deliveries, page by page, as far as one look gets. What it did not come to is noted in the
//! account, and the next look goes on there: so a long backlog is read in several looks, and nothing is read twice.

use crate::platform::CallError;
use crate::recover::{HookAt, Recover};
use domain::Timestamp;
use domain::webhook::{Account, Attempt, Unread};
use std::time::Duration;
use tokio::time::Instant;

/// How many pages of a log are read in a row.
const PAGES_MAX: usize = 100;
/// So long pages are begun in a look; half of it for the rest of an earlier one, and half for what is new, where there is both.
pub(super) const READ_FOR: Duration = Duration::from_secs(30);
/// The last page ends so long after that, if need be unread.
const LAST_PAGE_FOR: Duration = Duration::from_secs(10);

/// The log of one webhook at one look.
pub(super) struct Log<'a> {
    /// Where it is asked for.
    pub(super) recover: &'a dyn Recover,
    /// Which.
    pub(super) at: &'a HookAt<'a>,
    /// One page is given up after this.
    pub(super) call_deadline: Duration,
    /// So long pages are begun: [`READ_FOR`].
    pub(super) read_for: Duration,
}

/// What was read in a row.
struct Reading {
    attempts: Vec<Attempt>,
    /// The page that would have been read next; `None`: nothing is left, or not even the first page came.
    next: Option<String>,
    /// What ended it before its time.
    broken: Option<CallError>,
}

impl Reading {
    fn is_whole(&self) -> bool {
        self.next.is_none() && self.broken.is_none()
    }
}

impl Log<'_> {
    /// Reads what an earlier look left and what is new since, and takes it in. `oldest` is how far back the platform keeps
    /// what can be sent again.
    ///
    /// # Errors
    /// What the platform said instead of a page. What was read before that is taken in.
    pub(super) async fn take_in(
        &self,
        account: &mut Account,
        now: Timestamp,
        oldest: Timestamp,
        reads: impl Fn(&str) -> bool,
    ) -> Result<(), CallError> {
        let (mut trouble, mut read_for) = (None, self.read_for);
        if let Some(Unread { since, page }) = account.unread.take() {
            read_for /= 2;
            let since = since.max(oldest);
            let rest = self.read(since, Some(page), read_for).await;
            if let (Some(CallError::Invalid(why)), []) = (&rest.broken, rest.attempts.as_slice()) {
                // The page has no such name any more. From the top everything would count twice.
                let hook = &self.at.hook.scope;
                tracing::warn!(hook, %since, "the rest of the log is lost, what was missed in it too: {why}");
            } else {
                account.unread = rest.next.map(|page| Unread { since, page });
            }
            account.take_in(rest.attempts, &reads);
            trouble = rest.broken;
        }
        let since = account.read_from(now, now - oldest);
        let new = self.read(since, None, read_for).await;
        if new.broken.is_none() {
            account.looked_at = Some(now);
        }
        // There is one rest at a time: new ones in parts wait for it.
        if new.is_whole() || account.unread.is_none() {
            account.unread = account.unread.take().or_else(|| new.next.map(|page| Unread { since, page }));
            account.take_in(new.attempts, &reads);
        }
        match trouble.or(new.broken) {
            None => Ok(()),
            Some(error) => Err(error),
        }
    }

    /// Reads on from a page until the end of the log, the end of the time, or an error. One page is tried at least.
    async fn read(&self, since: Timestamp, first: Option<String>, read_for: Duration) -> Reading {
        let until = Instant::now() + read_for;
        let mut reading = Reading { attempts: Vec::new(), next: first, broken: None };
        for count in 0..PAGES_MAX {
            if count > 0 && Instant::now() >= until {
                break;
            }
            let deadline = (Instant::now() + self.call_deadline).min(until + LAST_PAGE_FOR);
            let page = self.recover.attempts(self.at, since, reading.next.as_deref());
            let page = tokio::time::timeout_at(deadline, page)
                .await
                .unwrap_or_else(|_| Err(CallError::Transient("a page of the log took too long".to_owned())));
            match page {
                Ok(page) => {
                    reading.attempts.extend(page.attempts);
                    reading.next = page.next;
                    if reading.next.is_none() {
                        break;
                    }
                }
                Err(error) => {
                    reading.broken = Some(error);
                    break;
                }
            }
        }
        reading
    }
}

#[cfg(test)]
mod tests;
