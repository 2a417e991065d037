//! Keeps what is due: leases that run out, jobs nobody claims, freezes that begin. The deadlines are in the records; every replica
//! keeps all of them and tries, and compare-and-set lets one succeed.

use crate::agenda::{has_run_out, is_timed_out};
use crate::desk::Desk;
use crate::effects::{CLOSED, LOST};
use crate::facts::{is_current, send_back};
use crate::record::Record;
use crate::store::{Place, StoreError, Stored};
use bus::topology::PULLS;
use bus::{Bus, BusError, Change, FollowSource, From, follow};
use chrono::TimeDelta;
use domain::Timestamp;
use domain::token::Slug;
use futures::StreamExt as _;
use service::Gate;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

/// How many records are worked at once.
const AT_ONCE: usize = 16;
/// How many one round takes.
const ROUND: usize = 256;
/// When what is due is looked at again, unless its record changes first.
const AGAIN_AFTER: TimeDelta = TimeDelta::seconds(1);
/// A timer sleeps no longer than this, and as often everything that waits is compared with its history.
const SLEEP_MAX: Duration = Duration::from_secs(30);
/// What ended longer ago than this when we started has been told.
const TOLD_AGAIN: TimeDelta = TimeDelta::hours(1);

/// The workspaces in which a freeze changed, with the catalog's revision of the last change.
#[derive(Debug, Default)]
pub(crate) struct Thaws {
    changed: Mutex<BTreeMap<Slug, u64>>,
    noticed: Notify,
}

impl Thaws {
    pub(crate) fn put(&self, workspace: Slug, revision: u64) {
        self.changed.lock().unwrap_or_else(PoisonError::into_inner).insert(workspace, revision);
        self.noticed.notify_one();
    }

    fn take(&self) -> BTreeMap<Slug, u64> {
        std::mem::take(&mut *self.changed.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Desk {
    /// Follows the records until the drain.
    pub(crate) async fn follow(
        &self,
        bus: &Bus,
        gate: Gate,
        known: watch::Sender<bool>,
        drain: CancellationToken,
    ) -> Result<(), BusError> {
        let (started_at, mut caught_up) = (self.clock.now(), false);
        let on = |change: Change| match change {
            Change::Put { key, sequence, payload, published_at, .. } => {
                let Some(place) = Place::parse(&key) else { return };
                match serde_json::from_slice::<Record>(&payload) {
                    Ok(record) => {
                        if !caught_up && record.is_over() && published_at + TOLD_AGAIN > started_at {
                            self.ended.lock().unwrap_or_else(PoisonError::into_inner).push(place.clone());
                        }
                        self.see(&place, &Stored { record, revision: sequence });
                    }
                    Err(error) => {
                        tracing::error!(key, %error, "a record that cannot be read is left alone");
                        self.agenda().forget(&place);
                    }
                }
            }
            Change::Delete { key, .. } => {
                if let Some(place) = Place::parse(&key) {
                    self.agenda().forget(&place);
                }
            }
            Change::CaughtUp { sequence } => {
                let (waiting, claimed) = self.agenda().counts();
                tracing::info!(sequence, waiting, claimed, "knows the queues");
                caught_up = true;
                gate.set(true, "caught up");
                known.send_replace(true);
            }
        };
        follow(bus, FollowSource::Bucket(&PULLS, None), From::LastPerSubject, on, drain).await
    }

    /// Keeps deadlines until the drain.
    pub(crate) async fn keep(
        self: Arc<Self>,
        bus: Bus,
        thaws: Arc<Thaws>,
        drain: CancellationToken,
    ) -> anyhow::Result<()> {
        let mut connected = bus.connected();
        self.agenda().reachable_since(self.clock.now());
        let mut all = std::mem::take(&mut *self.ended.lock().unwrap_or_else(PoisonError::into_inner));
        all.extend(self.agenda().everything());
        self.look_over(all).await;
        let mut ticks = tokio::time::interval(SLEEP_MAX);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while !drain.is_cancelled() {
            let now = self.clock.now();
            let (due, next) = {
                let mut agenda = self.agenda();
                let (waiting, claimed) = agenda.counts();
                metrics::gauge!("pull_jobs", "stage" => "waiting").set(waiting as f64);
                metrics::gauge!("pull_jobs", "stage" => "claimed").set(claimed as f64);
                (agenda.take_due(now, now + AGAIN_AFTER, ROUND), agenda.next())
            };
            let found = !due.is_empty();
            self.look_over(due).await;
            for (workspace, revision) in thaws.take() {
                self.thaw_all(&workspace, revision).await;
            }
            if found {
                continue;
            }
            tokio::select! {
                () = drain.cancelled() => {}
                () = self.due_changed.notified() => {}
                () = thaws.noticed.notified() => {}
                changed = connected.changed() => {
                    // While the bus was away nobody could renew a lease.
                    if changed.is_ok() && *connected.borrow_and_update() {
                        self.agenda().reachable_since(self.clock.now());
                    }
                }
                () = self.until(next) => {}
                _ = ticks.tick() => {
                    let fresh = self.agenda().all_fresh();
                    self.look_over(fresh).await;
                }
            }
        }
        Ok(())
    }

    async fn until(&self, next: Option<Timestamp>) {
        match next {
            // Rounded up, so that it is due when we wake.
            Some(at) => self.clock.until(at + TimeDelta::milliseconds(1), SLEEP_MAX).await,
            None => std::future::pending().await,
        }
    }

    async fn look_over(&self, places: Vec<Place>) {
        futures::stream::iter(places)
            .for_each_concurrent(AT_ONCE, |place| async move {
                if let Err(error) = self.look(&place).await {
                    tracing::warn!(job = %place.job, %error, "cannot act on a deadline, trying again");
                }
            })
            .await;
    }

    /// Does what is due about one job.
    async fn look(&self, place: &Place) -> Result<(), StoreError> {
        let Some(stored) = self.store.load(place).await? else {
            self.agenda().forget(place);
            return Ok(());
        };
        self.see(place, &stored);
        let (now, since) = (self.clock.now(), self.agenda().since());
        let record = &stored.record;
        if !record.is_fresh() {
            if !has_run_out(record, since, now) {
                // A crash may have left it untold.
                self.tell(place, &stored, None).await?;
                return Ok(());
            }
            let lost_max = self.settings.lost_leases_max;
            let lose =
                |record: &mut Record| Ok(has_run_out(record, since, now) && record.lose(lost_max, now));
            return self.change_and_tell(LOST, place, lose, "a lease ran out").await;
        }
        if !self.check(place).await? {
            return Ok(());
        }
        if is_timed_out(record, now) {
            let time_out = |record: &mut Record| Ok(is_timed_out(record, now) && record.time_out());
            return self.change_and_tell(CLOSED, place, time_out, "deadline/queue").await;
        }
        if let Some(why) = self.frost.overtakes(&record.command, now).await? {
            self.give_back(place, &stored, why).await?;
        }
        Ok(())
    }

    async fn change_and_tell(
        &self,
        around: crate::effects::Around,
        place: &Place,
        change: impl FnMut(&mut Record) -> Result<bool, Infallible> + Send,
        cause: &str,
    ) -> Result<(), StoreError> {
        let Some(Ok(stored)) = self.store.change(around, place, change).await? else { return Ok(()) };
        tracing::info!(job = %place.job, fence = stored.record.fence, "{cause}");
        metrics::counter!("pull_deadlines_total", "deadline" => cause.to_owned()).increment(1);
        self.see(place, &stored);
        self.tell(place, &stored, Some(cause.to_owned())).await?;
        Ok(())
    }

    /// A freeze of the workspace changed: what nobody has begun goes back to the dispatcher, which knows the freezes.
    async fn thaw_all(&self, workspace: &Slug, revision: u64) {
        let fresh = self.agenda().fresh(workspace);
        futures::stream::iter(fresh)
            .for_each_concurrent(AT_ONCE, |place| async move {
                let looked = async {
                    match self.store.load(&place).await? {
                        Some(stored)
                            if stored.record.is_fresh() && stored.record.command.freezes_seen < revision =>
                        {
                            self.give_back(
                                &place,
                                &stored,
                                "a freeze was declared or lifted since the dispatch",
                            )
                            .await
                        }
                        Some(_) | None => Ok(()),
                    }
                };
                if let Err(error) = looked.await {
                    // The claim looks again.
                    tracing::warn!(job = %place.job, %error, "a frozen job could not be given back yet");
                }
            })
            .await;
    }

    async fn give_back(&self, place: &Place, stored: &Stored, why: &str) -> Result<(), BusError> {
        if let Some(known) = self.jobs.load(&place.workspace, place.job).await?
            && is_current(&known, &stored.record)
        {
            send_back(&self.jobs, known, why, None).await?;
        }
        self.withdraw(place, stored).await
    }
}
