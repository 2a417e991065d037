//! Installation tokens in memory: one per identity, minted by one caller while the others wait. It mints nothing itself.

use chrono::TimeDelta;
use domain::Timestamp;
use platform::CallError;
use secrecy::SecretString;
use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

/// GitHub's tokens live for an hour; one is used for a minute less.
const USED_FOR: TimeDelta = TimeDelta::minutes(59);
/// And never in the last minute before the end it announced.
const SPARED: TimeDelta = TimeDelta::seconds(60);
/// How many identities are remembered; beyond it the expired ones go, then all.
const IDENTITIES_MAX: usize = 10_000;

/// A token to call GitHub with.
#[derive(Clone)]
pub(in crate::github) struct Token {
    /// The token, in whatever format.
    pub(in crate::github) secret: SecretString,
    /// When it was minted by our clock; `None` for a personal token.
    pub(in crate::github) minted_at: Option<Timestamp>,
    /// Until when it is used.
    pub(super) used_until: Option<Timestamp>,
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token").field("minted_at", &self.minted_at).finish_non_exhaustive()
    }
}

impl Token {
    pub(super) fn personal(secret: SecretString) -> Self {
        Self { secret, minted_at: None, used_until: None }
    }

    pub(super) fn minted(secret: SecretString, now: Timestamp, lifetime: TimeDelta) -> Self {
        let used_until = now + USED_FOR.min(lifetime - SPARED);
        Self { secret, minted_at: Some(now), used_until: Some(used_until) }
    }

    fn is_usable(&self, now: Timestamp) -> bool {
        self.used_until.is_none_or(|until| now < until)
    }
}

type Slot = Arc<tokio::sync::Mutex<Option<Token>>>;

/// Tokens by identity.
pub(super) struct Tokens<K> {
    slots: Mutex<HashMap<K, Slot>>,
}

impl<K: Eq + Hash + Clone> Tokens<K> {
    pub(super) fn new() -> Self {
        Self { slots: Mutex::new(HashMap::new()) }
    }

    /// The identity's token, minted if there is none that is usable. Callers of one identity wait for one minting.
    pub(super) async fn get(
        &self,
        key: &K,
        now: impl Fn() -> Timestamp,
        mint: impl Future<Output = Result<Token, CallError>>,
    ) -> Result<Token, CallError> {
        let slot = self.slot(key, now());
        let mut token = slot.lock().await;
        match &*token {
            Some(usable) if usable.is_usable(now()) => Ok(usable.clone()),
            Some(_) | None => {
                *token = None;
                Ok(token.insert(mint.await?).clone())
            }
        }
    }

    /// Forgets a token that was refused, unless another has taken its place.
    pub(super) async fn forget(&self, key: &K, refused: &Token) {
        let slot = self.slots().get(key).cloned();
        let Some(slot) = slot else { return };
        let mut token = slot.lock().await;
        if token.as_ref().is_some_and(|kept| kept.minted_at == refused.minted_at) {
            *token = None;
        }
    }

    fn slot(&self, key: &K, now: Timestamp) -> Slot {
        let mut slots = self.slots();
        if slots.len() >= IDENTITIES_MAX && !slots.contains_key(key) {
            let in_use = |slot: &Slot| match slot.try_lock() {
                Ok(token) => token.as_ref().is_some_and(|token| token.is_usable(now)),
                Err(_) => true,
            };
            slots.retain(|_, slot| in_use(slot));
            if slots.len() >= IDENTITIES_MAX {
                slots.clear();
            }
        }
        Arc::clone(slots.entry(key.clone()).or_default())
    }

    fn slots(&self) -> std::sync::MutexGuard<'_, HashMap<K, Slot>> {
        // A panic while the lock was held leaves at worst a token too few.
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};

    fn at(seconds: i64) -> Timestamp {
        Timestamp::UNIX_EPOCH + TimeDelta::seconds(seconds)
    }

    #[tokio::test]
    async fn many_callers_mint_one_token() {
        let (tokens, minted) = (Tokens::new(), AtomicU32::new(0));
        let mint = || async {
            minted.fetch_add(1, Ordering::SeqCst);
            tokio::task::yield_now().await;
            Ok(Token::minted(SecretString::from("t"), at(0), TimeDelta::hours(1)))
        };
        let callers = (0..20).map(|_| tokens.get(&"app", || at(1), mint()));
        assert!(futures::future::join_all(callers).await.iter().all(Result::is_ok));
        assert_eq!(minted.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn a_token_is_used_until_shortly_before_its_end_and_not_after_it_was_refused() {
        let (tokens, now, minted) = (Tokens::new(), AtomicI64::new(0), AtomicU32::new(0));
        let clock = || at(now.load(Ordering::SeqCst));
        let get = || {
            tokens.get(&"app", clock, async {
                minted.fetch_add(1, Ordering::SeqCst);
                Ok(Token::minted(SecretString::from("t"), clock(), TimeDelta::hours(1)))
            })
        };
        for (second, mints) in [(0, 1), (3_539, 1), (3_540, 2), (3_541, 2)] {
            now.store(second, Ordering::SeqCst);
            get().await.unwrap();
            assert_eq!(minted.load(Ordering::SeqCst), mints, "at {second} s");
        }
        let old = Token::minted(SecretString::from("t"), at(0), TimeDelta::hours(1));
        tokens.forget(&"app", &old).await;
        let current = get().await.unwrap();
        assert_eq!(minted.load(Ordering::SeqCst), 2, "another has taken its place");
        tokens.forget(&"app", &current).await;
        get().await.unwrap();
        assert_eq!(minted.load(Ordering::SeqCst), 3);
    }

    #[tokio::test]
    async fn a_failed_minting_leaves_nothing_behind() {
        let tokens = Tokens::new();
        let failed = tokens.get(&"app", || at(0), async { Err(CallError::Transient("down".into())) }).await;
        assert!(failed.is_err());
        let minted = async { Ok(Token::minted(SecretString::from("t"), at(0), TimeDelta::hours(1))) };
        assert!(tokens.get(&"app", || at(0), minted).await.is_ok());
    }

    #[test]
    fn a_token_does_not_show_itself() {
        let token = Token::minted(SecretString::from("ghs_secret"), at(0), TimeDelta::hours(1));
        assert!(!format!("{token:?}").contains("ghs_secret"));
    }
}
