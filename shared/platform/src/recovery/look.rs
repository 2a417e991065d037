//! One look at the log of one webhook: claim it, read, count, ask for what is missing, write down how it stands.

use super::accounts::labels;
use super::read::{Log, READ_FOR};
use super::{Recovery, Users};
use crate::platform::{CallError, Platform};
use crate::recover::{HookAt, Recover, Redelivered};
use bus::{BusError, CasError};
use chrono::TimeDelta;
use domain::Timestamp;
use domain::token::Slug;
use domain::webhook::{Account, Counts, Hook, HookUser, Trouble, TroubleKind};
use std::time::Duration;

/// A claim is good for so long: then the one who made it is dead.
const CLAIM: TimeDelta = TimeDelta::seconds(90);
/// A look is broken off after this, well before its claim ends. What it found so far counts.
const LOOK_DEADLINE: Duration = Duration::from_secs(60);
/// The longest pause between looks while something is missing.
const MISSING_PAUSE: Duration = Duration::from_secs(30);
/// The pause after a refusal, which only people can mend.
const REFUSED_PAUSE: Duration = Duration::from_secs(600);

impl<P: Platform> Recovery<P> {
    /// Looks at a webhook, unless another replica does.
    pub(super) async fn look_at(
        &self,
        recover: &dyn Recover,
        hook: &Hook,
        users: &Users,
    ) -> Result<(), BusError> {
        let Some((user, config)) = users.first() else { return Ok(()) };
        let (key, now) = (hook.key(), self.clock.now());
        let Some((mut account, revision)) = self.claim(&key, hook, users, now).await? else { return Ok(()) };
        let before = account.counts;
        let at = HookAt { hook, workspace: &user.workspace, config };
        let looked = self.read_and_ask(recover, &at, &mut account, now);
        let looked = tokio::time::timeout(LOOK_DEADLINE, looked).await.unwrap_or_else(|_| {
            Err(CallError::Transient(format!("the look took longer than {} s", LOOK_DEADLINE.as_secs())))
        });
        let pause = self.conclude(&mut account, looked, now);
        account.next_look_at = now + TimeDelta::from_std(pause).unwrap_or(CLAIM);
        match self.bucket.update_json(&key, &account, revision).await {
            Ok(revision) => {
                count(hook, before, account.counts);
                self.accounts.note(&key, &account, revision);
                Ok(())
            }
            // We were too slow, and another replica looks. What we asked for twice is recognised when it comes.
            Err(CasError::Conflict) => Ok(()),
            Err(CasError::Bus(error)) => Err(error),
        }
    }

    /// The account of a webhook that is due, for us alone.
    async fn claim(
        &self,
        key: &str,
        hook: &Hook,
        users: &Users,
        now: Timestamp,
    ) -> Result<Option<(Account, u64)>, BusError> {
        let users: Vec<HookUser> = users.iter().map(|(user, _)| user.clone()).collect();
        let back = TimeDelta::from_std(self.settings.look_back).unwrap_or_default();
        let (mut account, revision) = match self.bucket.get(key).await? {
            None => (Account::begin(hook.clone(), users.clone(), now - back, now), 0),
            Some(entry) => match serde_json::from_slice::<Account>(&entry.value) {
                Ok(known) => (known, entry.revision),
                Err(_) => (Account::begin(hook.clone(), users.clone(), now - back, now), entry.revision),
            },
        };
        account.users = users;
        if account.next_look_at > now {
            self.accounts.note(key, &account, revision);
            return Ok(None);
        }
        account.next_look_at = now + CLAIM;
        let written = match revision {
            0 => self.bucket.create_json(key, &account).await,
            known => self.bucket.update_json(key, &account, known).await,
        };
        match written {
            Ok(revision) => Ok(Some((account, revision))),
            Err(CasError::Conflict) => Ok(None),
            Err(CasError::Bus(error)) => Err(error),
        }
    }

    async fn read_and_ask(
        &self,
        recover: &dyn Recover,
        at: &HookAt<'_>,
        account: &mut Account,
        now: Timestamp,
    ) -> Result<(), CallError> {
        let kept_for = TimeDelta::from_std(recover.kept_for()).unwrap_or(TimeDelta::days(3));
        let tokens = self.platform.event_tokens();
        let log = Log { recover, at, call_deadline: self.settings.call_deadline, read_for: READ_FOR };
        let reads = |event: &str| tokens.contains(&Slug::of_name(event).as_str());
        let read = log.take_in(account, now, now - kept_for, reads).await;
        account.forget_before(now - kept_for);
        match &read {
            // What was found before the log broke off is asked for all the same.
            Ok(()) | Err(CallError::Transient(_) | CallError::Ambiguous(_)) => {}
            Err(CallError::RateLimited { .. } | CallError::Unauthorized(_) | CallError::Invalid(_)) => {
                return read;
            }
        }
        for (delivery, attempt) in account.to_ask_for(now, recover.redeliveries_max()) {
            match self.in_time(recover.redeliver(at, &attempt)).await? {
                Redelivered::Asked => {
                    tracing::info!(
                        hook = at.hook.scope,
                        delivery,
                        "asked for a delivery that did not reach us"
                    );
                    account.asked_for(&delivery, now);
                }
                Redelivered::NotKept => account.not_kept(&delivery),
            }
        }
        read
    }

    /// Writes down what came of a look, and tells when to look again.
    fn conclude(&self, account: &mut Account, looked: Result<(), CallError>, now: Timestamp) -> Duration {
        let every = self.settings.every;
        let (outcome, trouble, pause) = match looked {
            Ok(()) if account.open() > 0 || account.unread.is_some() => {
                ("ok", None, (every / 4).max(MISSING_PAUSE).min(every))
            }
            Ok(()) => ("ok", None, every),
            Err(CallError::RateLimited { after, why }) => {
                ("limited", Some((TroubleKind::Passing, why)), after.max(every))
            }
            Err(CallError::Transient(why) | CallError::Ambiguous(why)) => {
                ("failed", Some((TroubleKind::Passing, why)), every)
            }
            Err(CallError::Unauthorized(why) | CallError::Invalid(why)) => {
                ("refused", Some((TroubleKind::Refused, why)), REFUSED_PAUSE.max(every))
            }
        };
        let platform = account.hook.platform.to_string();
        metrics::counter!("platform_webhook_looks_total", "platform" => platform, "outcome" => outcome)
            .increment(1);
        let known = account.trouble.take();
        account.trouble = trouble.map(|(kind, message)| {
            let message = telemetry::redact(&message).into_owned();
            let since = known.as_ref().filter(|known| known.kind == kind).map(|known| known.since);
            if since.is_none() {
                tracing::warn!(
                    hook = account.hook.scope,
                    host = account.hook.host,
                    "the log of webhook deliveries cannot be read: {message}"
                );
            }
            Trouble { kind, message, since: since.unwrap_or(now) }
        });
        pause
    }

    async fn in_time<T>(&self, call: impl Future<Output = Result<T, CallError>>) -> Result<T, CallError> {
        let deadline = self.settings.call_deadline;
        tokio::time::timeout(deadline, call).await.unwrap_or_else(|_| {
            Err(CallError::Transient(format!("no answer within {} s", deadline.as_secs())))
        })
    }
}

/// Each replica counts what it found; a delivery that was lost and came after all is not taken back.
fn count(hook: &Hook, before: Counts, after: Counts) {
    for (outcome, before, after) in [
        ("sent", before.sent, after.sent),
        ("accepted", before.accepted, after.accepted),
        ("recovered", before.recovered, after.recovered),
        ("redelivered", before.redelivered, after.redelivered),
        ("lost", before.lost, after.lost),
    ] {
        let [platform, host, scope] = labels(hook);
        let labels = [platform, host, scope, ("outcome", outcome.to_owned())];
        metrics::counter!("platform_webhook_deliveries_total", &labels)
            .increment(after.saturating_sub(before));
    }
}

#[cfg(test)]
mod tests {
    use super::super::accounts::show;
    use super::*;
    use metrics_exporter_prometheus::PrometheusBuilder;

    #[test]
    fn what_became_of_deliveries_is_counted_by_webhook_and_outcome() {
        let recorder = PrometheusBuilder::new().build_recorder();
        let hook =
            Hook { platform: "github-actions".parse().unwrap(), host: "h".into(), scope: "app 1".into() };
        let before = Counts { sent: 3, accepted: 1, ..Counts::default() };
        let after = Counts { sent: 10, accepted: 6, recovered: 2, redelivered: 4, lost: 1 };
        metrics::with_local_recorder(&recorder, || {
            count(&hook, before, after);
            // What another replica counted since is not counted here again.
            count(&hook, after, Counts { accepted: 5, ..after });
            show(&hook, 3);
        });
        let told = recorder.handle().render();
        for (outcome, total) in
            [("sent", 7), ("accepted", 5), ("recovered", 2), ("redelivered", 4), ("lost", 1)]
        {
            let line = told.lines().find(|line| line.contains(&format!("outcome=\"{outcome}\"")));
            let line = line.unwrap_or_else(|| panic!("{outcome} is not told:\n{told}"));
            assert!(line.starts_with("platform_webhook_deliveries_total{"), "{line}");
            assert!(line.ends_with(&format!(" {total}")), "{line}");
            for label in ["platform=\"github-actions\"", "host=\"h\"", "hook=\"app 1\""] {
                assert!(line.contains(label), "{line}");
            }
        }
        let missing = told.lines().find(|line| line.starts_with("platform_webhook_deliveries_missing{"));
        assert!(missing.is_some_and(|line| line.ends_with(" 3")), "{told}");
    }
}
