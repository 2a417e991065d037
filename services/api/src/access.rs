//! Who somebody is by what they present: a key of a file, a key made over the API, or a session. And how often they may.

use std::net::IpAddr;
use std::sync::{Arc, Once};

use bus::{Bus, clock};
use chrono::TimeDelta;
use domain::access::Grants;
use service::network;
use service::rate::{Buckets, Rate, Verdict};
use tokio::time::Instant;

use crate::auth::{FileKeys, can_be_key, digest};
use crate::caller::{Caller, Means};
use crate::keys::ManagedKeys;
use crate::oidc::Oidc;
use crate::problem::Problem;
use crate::sessions::{LoggedInBy, Session, Sessions, Token};
use crate::settings::{LimitSettings, Settings};

/// Everything that decides who may call.
pub(crate) struct Access {
    pub(crate) files: Arc<FileKeys>,
    pub(crate) keys: Arc<ManagedKeys>,
    pub(crate) sessions: Sessions,
    pub(crate) oidc: Option<Oidc>,
    pub(crate) limits: Limits,
    /// Whether people reach us over https.
    pub(crate) https: bool,
}

/// Whose requests are counted together.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Counted {
    /// Those of a key, and of the sessions it opened.
    Key([u8; 32]),
    /// Those of a user whom the issuer let in.
    User(String),
}

/// What somebody showed when they came, to be held against what is so later.
pub(crate) enum Proof {
    /// A key, by its hash.
    Key([u8; 32]),
    /// A session.
    Session(Token),
}

/// Which keys are tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tried {
    /// All of them.
    All,
    /// Those that nobody can guess: people write files, and may write weak keys into them.
    Generated,
}

impl Access {
    pub(crate) fn new(
        bus: &Bus,
        settings: &Settings,
        files: Arc<FileKeys>,
        keys: Arc<ManagedKeys>,
    ) -> anyhow::Result<Self> {
        Ok(Self {
            files,
            keys,
            sessions: Sessions::new(bus, TimeDelta::hours(settings.auth.session_hours.into())),
            oidc: Oidc::of(&settings.oidc, &settings.auth)?,
            limits: Limits::of(&settings.limits),
            https: settings.auth.is_https(),
        })
    }

    /// Whose key it is.
    pub(crate) fn by_key(&self, key: &str, tried: Tried) -> Option<Caller> {
        if !can_be_key(key) {
            return None;
        }
        self.by_hash(digest(key), tried)
    }

    /// Who that is now; `None`: the key opens nothing any more, or the session is over.
    pub(crate) async fn by_proof(&self, proof: &Proof) -> Result<Option<Caller>, Problem> {
        match proof {
            Proof::Key(hash) => Ok(self.by_hash(*hash, Tried::All)),
            Proof::Session(token) => self.by_session(token).await,
        }
    }

    /// Whose session it is.
    pub(crate) async fn by_session(&self, token: &Token) -> Result<Option<Caller>, Problem> {
        let session = self.sessions.get(token).await?;
        Ok(session.and_then(|session| self.in_session(&session)))
    }

    /// Who is in the session; `None` where its key opens nothing any more.
    pub(crate) fn in_session(&self, session: &Session) -> Option<Caller> {
        match &session.by {
            LoggedInBy::Key { sha256 } => {
                let mut hash = [0; 32];
                hex::decode_to_slice(sha256, &mut hash).ok()?;
                let caller = self.by_hash(hash, Tried::All)?;
                Some(Caller { means: Means { session: true, ..caller.means }, ..caller })
            }
            LoggedInBy::Oidc { issuer, groups, .. } => {
                let oidc = self.oidc.as_ref().filter(|oidc| oidc.issuer() == issuer)?;
                let grants = oidc.granted(groups);
                let counted = Counted::User(session.user.clone());
                let means = Means { key_id: None, session: true, counted };
                (!grants.is_empty()).then(|| Caller::new(&session.user, grants, means))
            }
        }
    }

    fn by_hash(&self, hash: [u8; 32], tried: Tried) -> Option<Caller> {
        let counted = Counted::Key(hash);
        if let Some(record) = self.keys.find(&hash, clock::now()) {
            let means = Means { key_id: Some(record.id), session: false, counted };
            return Some(Caller::new(&record.user, record.roles.clone(), means));
        }
        let line = self.files.find(&hash).filter(|_| tried == Tried::All)?;
        let means = Means { key_id: None, session: false, counted };
        Some(Caller::new(&line.name, Grants::one(line.workspace, line.role), means))
    }
}

/// How often somebody may.
pub(crate) struct Limits {
    requests: Option<Buckets<Counted>>,
    logins: Option<Buckets<Counted>>,
    failures: Option<Buckets<IpAddr>>,
    pub(crate) forwarded_hops: usize,
    told_of_a_proxy: Once,
}

impl Limits {
    fn of(settings: &LimitSettings) -> Self {
        let requests = Rate::per_second(settings.requests_per_second, settings.requests_at_once);
        let logins = Rate::per_minute(settings.logins_per_minute, settings.logins_per_minute);
        let failures = Rate::per_minute(settings.failures_per_minute, settings.failures_at_once);
        Self {
            requests: Buckets::limiting(requests),
            logins: Buckets::limiting(logins),
            failures: Buckets::limiting(failures),
            forwarded_hops: usize::try_from(settings.forwarded_hops).unwrap_or(usize::MAX),
            told_of_a_proxy: Once::new(),
        }
    }

    /// Counts a request; `None`: it is not limited.
    pub(crate) fn request(&self, counted: &Counted) -> Option<Verdict> {
        Some(self.requests.as_ref()?.take(counted, Instant::now()))
    }

    /// Counts the beginning of a session, each of which is kept; `None`: there may be one more.
    pub(crate) fn login(&self, counted: &Counted) -> Option<Verdict> {
        let verdict = self.logins.as_ref()?.take(counted, Instant::now());
        (!verdict.allowed).then_some(verdict)
    }

    /// Whether too many wrong keys came from there.
    pub(crate) fn failures(&self, from: IpAddr) -> Option<Verdict> {
        let verdict = self.failures.as_ref()?.look(&network(from), Instant::now());
        (!verdict.allowed).then_some(verdict)
    }

    /// Says, once, that everybody behind a proxy is counted as one.
    pub(crate) fn came_through_a_proxy(&self) {
        self.told_of_a_proxy.call_once(|| {
            tracing::warn!(
                "requests come with X-Forwarded-For and limits.forwarded_hops is 0: whoever comes through that proxy is \
                 counted as one address, so that one who guesses keys keeps all others from using those of files"
            );
        });
    }

    /// Counts a wrong key.
    pub(crate) fn failed(&self, from: IpAddr) {
        if let Some(failures) = &self.failures {
            let _counted = failures.take(&network(from), Instant::now());
        }
    }
}
