//! Missed news: every few minutes one replica reads the platform's log of webhook deliveries, counts what was sent and what
//! we have, and asks for what is missing. The account of a webhook in the bucket `webhooks` is the cursor and the claim in
//! one: whoever moves its next look by compare-and-set is the one who looks. So it survives restarts, and needs no leader.

mod accounts;
mod agents;
mod look;
mod read;

use crate::platform::Platform;
use crate::recover::Recover;
use accounts::Accounts;
use agents::Agents;
use bus::clock::Clock;
use bus::topology::WEBHOOKS;
use bus::{Bucket, Bus, BusError};
use chrono::TimeDelta;
use domain::Timestamp;
use domain::webhook::{Hook, HookUser};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How often we see which look is due.
const TICK: Duration = Duration::from_secs(1);
/// After a failure of the bus.
const PAUSE: Duration = Duration::from_secs(2);

/// How missed deliveries are looked for.
#[derive(Debug, Clone)]
pub struct RecoverySettings {
    /// How long between two looks at a platform's log while nothing is missing; else four times as often, but not more often
    /// than every half minute (or than this, where this is less).
    pub every: Duration,
    /// How far the first look goes back.
    pub look_back: Duration,
    /// One call is given up after this.
    pub call_deadline: Duration,
}

impl RecoverySettings {
    /// A look so often; with `every` at zero, none.
    pub fn every(every: Duration, call_deadline: Duration) -> Option<Self> {
        (!every.is_zero()).then(|| Self { every, call_deadline, ..Self::default() })
    }
}

impl Default for RecoverySettings {
    fn default() -> Self {
        Self {
            every: Duration::from_secs(120),
            look_back: Duration::from_secs(60 * 60),
            call_deadline: Duration::from_secs(15),
        }
    }
}

/// Looks for what a platform sent and we did not get. One per process of an agent.
#[derive(Debug)]
pub struct Recovery<P> {
    platform: Arc<P>,
    bus: Bus,
    bucket: Bucket,
    clock: Clock,
    settings: RecoverySettings,
    agents: Agents,
    accounts: Accounts,
}

/// Who uses a webhook, and the config of each.
type Users = Vec<(HookUser, Map<String, Value>)>;

impl<P: Platform> Recovery<P> {
    /// Looks by that clock, once it runs.
    pub fn new(platform: Arc<P>, bus: &Bus, settings: RecoverySettings, clock: Clock) -> Arc<Self> {
        let (agents, accounts) = (Agents::default(), Accounts::default());
        let bucket = bus.bucket(&WEBHOOKS);
        Arc::new(Self { platform, bus: bus.clone(), bucket, clock, settings, agents, accounts })
    }

    /// Looks until `drain`. Of a platform that keeps no log nothing is looked for.
    ///
    /// # Errors
    /// What [`bus::follow`] cannot heal by itself.
    pub async fn run(self: Arc<Self>, drain: CancellationToken) -> Result<(), BusError> {
        let Some(recover) = self.platform.recover() else {
            drain.cancelled().await;
            return Ok(());
        };
        let name = self.platform.name();
        let agents = self.agents.follow(&self.bus, &name, drain.clone());
        let accounts = self.accounts.follow(&self.bus, &name, drain.clone());
        let looks = self.look_on(recover, drain.clone());
        let (agents, accounts, ()) = futures::future::join3(agents, accounts, looks).await;
        agents.and(accounts)
    }

    async fn look_on(&self, recover: &dyn Recover, drain: CancellationToken) {
        let there = async {
            self.agents.caught_up().await;
            self.accounts.caught_up().await;
        };
        if drain.run_until_cancelled(there).await.is_none() {
            return;
        }
        loop {
            let now = self.clock.now();
            let pause = match drain.run_until_cancelled(self.look_at_all(recover, now)).await {
                None => return,
                Some(Ok(())) => TICK.min(self.settings.every),
                Some(Err(error)) => {
                    tracing::warn!(%error, "cannot look for missed deliveries, trying again");
                    PAUSE
                }
            };
            let next = self.clock.until(now + TimeDelta::from_std(pause).unwrap_or(TimeDelta::MAX), pause);
            if drain.run_until_cancelled(next).await.is_none() {
                return;
            }
        }
    }

    /// Looks at every webhook that is due, and lets go of accounts nobody needs.
    async fn look_at_all(&self, recover: &dyn Recover, now: Timestamp) -> Result<(), BusError> {
        let hooks = self.hooks(recover);
        for (hook, users) in &hooks {
            let due = self.accounts.next_look_at(&hook.key()).is_none_or(|at| at <= now);
            if due {
                self.look_at(recover, hook, users).await?;
            }
        }
        for (key, revision) in self.accounts.others(hooks.keys().map(Hook::key).collect()) {
            match self.bucket.delete_at(&key, revision).await {
                Ok(_) | Err(bus::CasError::Conflict) => {}
                Err(bus::CasError::Bus(error)) => return Err(error),
            }
        }
        Ok(())
    }

    /// The webhooks of the catalog's agents. A config that does not fit says so at its jobs, where people look.
    fn hooks(&self, recover: &dyn Recover) -> BTreeMap<Hook, Users> {
        let mut hooks: BTreeMap<Hook, Users> = BTreeMap::new();
        for (user, config) in self.agents.all() {
            if let Ok(Some(hook)) = recover.hook(&config) {
                hooks.entry(hook).or_default().push((user, config));
            }
        }
        hooks
    }
}
