//! Who is logged in at the console: sessions on the bus, shared by all replicas, kept by the hash of their token. Knows
//! no HTTP.

use bus::topology::SESSIONS;
use bus::{Bucket, Bus, clock, crash_point};
use chrono::TimeDelta;
use domain::Timestamp;
use domain::access::Grants;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use crate::auth::{can_be_key, digest, fresh};
use crate::problem::Problem;

/// What every token of a session begins with.
const BEGINNING: &str = "cps_";

/// A session as the bus keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Session {
    /// Who it is.
    pub(crate) user: String,
    /// What lets them in.
    pub(crate) by: LoggedInBy,
    pub(crate) created_at: Timestamp,
    pub(crate) expires_at: Timestamp,
}

/// What somebody logged in with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "kind")]
pub(crate) enum LoggedInBy {
    /// An API key: what it may do is asked at every request, so that a revoked key ends its sessions.
    Key {
        /// Its SHA-256 in hexadecimal.
        sha256: String,
    },
    /// The issuer: what their groups may do is asked of the settings at every request.
    Oidc {
        /// Which one: another one's groups are others.
        #[serde(default)]
        issuer: String,
        /// As they were at the login.
        #[serde(default)]
        groups: Vec<String>,
        /// What they could do then. Replicas of the version before count by it; nobody else does.
        roles: Grants,
    },
}

/// All sessions.
pub(crate) struct Sessions {
    bucket: Bucket,
    length: TimeDelta,
}

/// A token that was presented, or made.
pub(crate) struct Token(SecretString);

impl Sessions {
    pub(crate) fn new(bus: &Bus, length: TimeDelta) -> Self {
        Self { bucket: bus.bucket(&SESSIONS), length }
    }

    /// How long a session is.
    pub(crate) fn length(&self) -> TimeDelta {
        self.length
    }

    /// Begins a session and tells its token: this once.
    pub(crate) async fn begin(&self, user: &str, by: LoggedInBy) -> Result<(Token, Session), Problem> {
        let now = clock::now();
        let session = Session { user: user.to_owned(), by, created_at: now, expires_at: now + self.length };
        let token = Token(fresh(BEGINNING));
        crash_point("api.session.before");
        let created = self.bucket.create_json(&token.id(), &session).await;
        crash_point("api.session.after");
        created?;
        Ok((token, session))
    }

    /// The session of the token, unless its time is over.
    pub(crate) async fn get(&self, token: &Token) -> Result<Option<Session>, Problem> {
        let found = self.bucket.get_json::<Session>(&token.id()).await?;
        Ok(found.map(|(session, _)| session).filter(|session| session.expires_at > clock::now()))
    }

    /// Ends every session of that user, and tells how many there were.
    pub(crate) async fn end_of_user(&self, user: &str) -> Result<usize, Problem> {
        let mut ended = 0;
        for (key, entry) in self.bucket.list(">").await? {
            // What cannot be read is nobody's, and lets nobody in.
            let Ok(session) = serde_json::from_slice::<Session>(&entry.value) else { continue };
            if session.user == user {
                crash_point("api.session.before");
                let deleted = self.bucket.delete(&key).await;
                crash_point("api.session.after");
                deleted?;
                ended += 1;
            }
        }
        Ok(ended)
    }

    /// Ends the session of the token.
    pub(crate) async fn end(&self, token: &Token) -> Result<(), Problem> {
        crash_point("api.session.before");
        let ended = self.bucket.delete(&token.id()).await;
        crash_point("api.session.after");
        ended?;
        Ok(())
    }
}

impl Token {
    /// A text that can be one.
    pub(crate) fn of(text: &str) -> Option<Self> {
        (text.starts_with(BEGINNING) && can_be_key(text)).then(|| Self(SecretString::from(text)))
    }

    pub(crate) fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    /// By which it is kept; nobody gets from it to the token.
    pub(crate) fn id(&self) -> String {
        hex::encode(digest(self.0.expose_secret()))
    }

    /// What a write must repeat beside the cookie: a page of another site can make a browser send the cookie, and cannot
    /// know this.
    pub(crate) fn csrf(&self) -> String {
        let hash = Sha256::new().chain_update(b"csrf\0").chain_update(self.0.expose_secret().as_bytes());
        hex::encode(hash.finalize())
    }

    /// Whether it was repeated rightly.
    pub(crate) fn is_csrf(&self, presented: &str) -> bool {
        self.csrf().as_bytes().ct_eq(presented.as_bytes()).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_tells_neither_by_its_id_nor_by_its_csrf_token() {
        let (one, other) = (Token(fresh(BEGINNING)), Token(fresh(BEGINNING)));
        assert!(Token::of(one.expose()).is_some() && Token::of("cpk_x").is_none());
        for (told, of_other) in [(one.id(), other.id()), (one.csrf(), other.csrf())] {
            assert_eq!(told.len(), 64);
            assert_ne!(told, of_other);
            assert!(!one.expose().contains(&told));
        }
        assert!(one.is_csrf(&one.csrf()));
        for wrong in [other.csrf(), one.id(), String::new()] {
            assert!(!one.is_csrf(&wrong));
        }
    }
}
