//! Who calls: App JWTs, installation tokens in both formats, personal tokens. Tokens are minted and
//! checked here; nothing outside this module keeps one.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use chrono::{DateTime, TimeDelta, Utc};
use http::{HeaderMap, StatusCode, header};
use jsonwebtoken::{Algorithm, Validation};
use serde_json::{Value, json};

use crate::options::Installation;
use crate::reply::Reply;
use crate::shared::{Shared, State};

/// GitHub's bound on the life of an App JWT.
const JWT_LIFE_MAX: TimeDelta = TimeDelta::minutes(10);
const TOKEN_LIFE: TimeDelta = TimeDelta::hours(1);
const TOKENS_KEPT: usize = 10_000;

/// One API call as the server saw it; never the token itself.
#[derive(Clone, Debug)]
pub struct Call {
    pub method: String,
    /// Without host, `/api/v3` and query.
    pub path: String,
    /// `None`: the connection was cut, or no answer was ever sent.
    pub status: Option<u16>,
    pub if_none_match: bool,
    pub token: TokenKind,
    pub at: DateTime<Utc>,
}

/// What kind of credential a call carried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenKind {
    None,
    AppJwt,
    /// `ghs_` and 36 letters.
    Installation,
    /// `ghs_<APPID>_<JWT>`.
    StatelessInstallation,
    Personal,
    /// Unknown, expired or malformed.
    Rejected,
}

/// Who calls, once the credential is accepted.
#[derive(Clone, Debug)]
pub(crate) enum Caller {
    Anonymous,
    App,
    Installation {
        id: u64,
        permissions: BTreeMap<String, String>,
        repositories: Option<Vec<String>>,
    },
    /// Position in the list of personal tokens.
    Pat(usize),
}

impl Caller {
    /// Name of the caller's rate-limit budget, as GitHub words it.
    pub(crate) fn budget(&self) -> String {
        match self {
            Self::Anonymous => "127.0.0.1".to_owned(),
            Self::App => "app".to_owned(),
            Self::Installation { id, .. } => format!("installation ID {id}"),
            Self::Pat(n) => format!("user ID {}", n + 1),
        }
    }

    /// Whether it may change workflow runs.
    pub(crate) fn may_write_actions(&self) -> Result<(), Reply> {
        let may = match self {
            Self::Pat(_) => true,
            Self::Anonymous | Self::App => false,
            Self::Installation { permissions, .. } => {
                permissions.get("actions").is_some_and(|level| level == "write")
            }
        };
        if may { Ok(()) } else { Err(Reply::forbidden("Resource not accessible by integration")) }
    }
}

/// An installation token that was minted.
#[derive(Debug)]
pub(crate) struct Token {
    installation_id: u64,
    permissions: BTreeMap<String, String>,
    repositories: Option<Vec<String>>,
    usable_at: DateTime<Utc>,
    pub(crate) expires_at: DateTime<Utc>,
}

/// Which credential a path asks for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Need {
    AppJwt,
    Token,
    Nothing,
}

impl Need {
    fn of(path: &str) -> Self {
        if path == "/app" || path.starts_with("/app/") || path.ends_with("/installation") {
            Self::AppJwt
        } else if matches!(path, "/rate_limit" | "/meta") {
            Self::Nothing
        } else {
            Self::Token
        }
    }
}

/// Decides who calls `path`, or how they are refused.
pub(crate) fn identify(cx: &Shared, headers: &HeaderMap, path: &str) -> (TokenKind, Result<Caller, Reply>) {
    let need = Need::of(path);
    let Some(token) = presented(headers) else {
        let anonymous = match need {
            Need::Nothing => Ok(Caller::Anonymous),
            Need::AppJwt => Err(Reply::error(StatusCode::UNAUTHORIZED, JWT_UNDECODABLE)),
            Need::Token => Err(Reply::error(StatusCode::UNAUTHORIZED, "Requires authentication")),
        };
        return (TokenKind::None, anonymous);
    };
    if need == Need::AppJwt {
        let checked = if token.starts_with("ghs_") { Err(JWT_UNDECODABLE) } else { verify_jwt(cx, token) };
        return match checked {
            Ok(()) => (TokenKind::AppJwt, Ok(Caller::App)),
            Err(message) => (TokenKind::Rejected, Err(Reply::error(StatusCode::UNAUTHORIZED, message))),
        };
    }
    if let Some(n) = cx.options.pats.iter().position(|pat| pat == token) {
        return (TokenKind::Personal, Ok(Caller::Pat(n)));
    }
    let kind = if token.contains('.') { TokenKind::StatelessInstallation } else { TokenKind::Installation };
    match cx.stage.lock().token_holder(token) {
        Ok(caller) => (kind, Ok(caller)),
        Err(reply) if reply.status == StatusCode::FORBIDDEN => (kind, Err(reply)),
        Err(reply) => (TokenKind::Rejected, Err(reply)),
    }
}

fn presented(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    (scheme.eq_ignore_ascii_case("bearer") || scheme.eq_ignore_ascii_case("token")).then_some(token.trim())
}

const JWT_UNDECODABLE: &str = "A JSON web token could not be decoded";
const JWT_EXPIRED: &str = "'Expiration time' claim ('exp') must be a numeric value representing the future time at which the assertion expires";
const JWT_TOO_LONG: &str = "'Expiration time' claim ('exp') is too far in the future";
const JWT_ISSUED: &str =
    "'Issued at' claim ('iat') must be an Integer representing the time that the assertion was issued";
const JWT_ISSUER: &str = "'Issuer' claim ('iss') must be an Integer or a client id of the App";

fn verify_jwt(cx: &Shared, token: &str) -> Result<(), &'static str> {
    let (Some(key), Some(app)) = (&cx.app_key, &cx.options.app) else { return Err(JWT_UNDECODABLE) };
    let mut rules = Validation::new(Algorithm::RS256);
    // The claims are checked below, against the fake's own clock and in GitHub's words.
    rules.validate_exp = false;
    rules.required_spec_claims.clear();
    let claims = jsonwebtoken::decode::<Value>(token, key, &rules).map_err(|_| JWT_UNDECODABLE)?.claims;
    let now = cx.stage.lock().now();
    let iss = &claims["iss"];
    if iss.as_str() != Some(&app.id) && iss.as_u64().map(|n| n.to_string()).as_ref() != Some(&app.id) {
        return Err(JWT_ISSUER);
    }
    let exp = claims["exp"].as_i64().ok_or(JWT_EXPIRED)?;
    let iat = claims["iat"].as_i64().ok_or(JWT_ISSUED)?;
    if exp <= now.timestamp() {
        return Err(JWT_EXPIRED);
    }
    if exp > (now + JWT_LIFE_MAX).timestamp() {
        return Err(JWT_TOO_LONG);
    }
    if iat > now.timestamp() {
        return Err(JWT_ISSUED);
    }
    Ok(())
}

impl State {
    fn token_holder(&self, token: &str) -> Result<Caller, Reply> {
        let found = self.tokens.get(token).ok_or_else(Reply::bad_credentials)?;
        let now = self.now();
        if now < found.usable_at || now >= found.expires_at {
            return Err(Reply::bad_credentials());
        }
        if self.suspended.contains(&found.installation_id) {
            return Err(Reply::forbidden("This installation has been suspended"));
        }
        Ok(Caller::Installation {
            id: found.installation_id,
            permissions: found.permissions.clone(),
            repositories: found.repositories.clone(),
        })
    }

    /// `POST /app/installations/{id}/access_tokens`.
    pub(crate) fn mint(&mut self, id: u64, asked: &Value, stateless: bool) -> Result<Value, Reply> {
        let options = std::sync::Arc::clone(&self.options);
        let app = options.app.as_ref().ok_or_else(Reply::not_found)?;
        let installation = app.installations.iter().find(|i| i.id == id).ok_or_else(Reply::not_found)?;
        if self.suspended.contains(&id) {
            return Err(Reply::forbidden("This installation has been suspended"));
        }
        let permissions = granted(installation, &asked["permissions"])?;
        let repositories = self.selected(installation, asked)?;
        let now = self.now();
        if self.tokens.len() >= TOKENS_KEPT {
            self.tokens.retain(|_, t| t.expires_at > now);
        }
        let token =
            if stateless { self.stateless_token(&app.id) } else { format!("ghs_{}", self.dice.text(36)) };
        let lag = TimeDelta::from_std(options.token_usable_after).unwrap_or(TimeDelta::zero());
        let expires_at = now + TOKEN_LIFE;
        let selection =
            if repositories.is_some() || installation.repositories.is_some() { "selected" } else { "all" };
        let answer = json!({
            "token": token,
            "expires_at": crate::payload::time(expires_at),
            "permissions": permissions,
            "repository_selection": selection,
        });
        let minted =
            Token { installation_id: id, permissions, repositories, usable_at: now + lag, expires_at };
        self.tokens.insert(token, minted);
        Ok(answer)
    }

    /// About 520 characters with dots, as the new format has.
    fn stateless_token(&mut self, app_id: &str) -> String {
        let header = BASE64_URL_SAFE_NO_PAD.encode(r#"{"alg":"RS256","typ":"JWT"}"#);
        let claims = BASE64_URL_SAFE_NO_PAD.encode(self.dice.text(90));
        format!("ghs_{app_id}_{header}.{claims}.{}", self.dice.text(342))
    }

    fn selected(&self, installation: &Installation, asked: &Value) -> Result<Option<Vec<String>>, Reply> {
        let Some(names) = asked["repositories"].as_array() else { return Ok(None) };
        let names: Vec<String> = names.iter().filter_map(|n| n.as_str().map(str::to_owned)).collect();
        let exists = |name: &String| {
            installation.covers(&installation.account, name)
                && self.repos.contains_key(&crate::shared::key(&installation.account, name))
        };
        if names.iter().all(exists) {
            Ok(Some(names))
        } else {
            Err(Reply::unprocessable(
                "There is at least one repository that does not exist or is not accessible to the parent installation.",
            ))
        }
    }
}

fn granted(installation: &Installation, asked: &Value) -> Result<BTreeMap<String, String>, Reply> {
    let Some(asked) = asked.as_object() else { return Ok(installation.permissions.clone()) };
    let mut permissions = BTreeMap::from([("metadata".to_owned(), "read".to_owned())]);
    for (name, level) in asked {
        let level = level.as_str().unwrap_or_default();
        let has = installation.permissions.get(name).map(String::as_str);
        if has != Some("write") && has != Some(level) {
            return Err(Reply::unprocessable(
                "The permissions requested are not granted to this installation.",
            ));
        }
        permissions.insert(name.clone(), level.to_owned());
    }
    Ok(permissions)
}
