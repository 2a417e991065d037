//! The two cookies: of a session, and of an attempt to log in. Pure.

use axum::http::header::{COOKIE, HeaderMap, HeaderValue};
use chrono::TimeDelta;

use crate::oidc::Attempt;
use crate::sessions::Token;

const SESSION: &str = "ctrlplane_session";
const ATTEMPT: &str = "ctrlplane_login";
/// A browser takes such a cookie over https only, and from no other host or path than ours.
const HOST: &str = "__Host-";
/// How long one may take to log in at the issuer.
const ATTEMPT_MINUTES: i64 = 10;

/// When a browser sends a cookie along.
#[derive(Debug, Clone, Copy)]
enum SameSite {
    /// With requests of our own pages.
    Strict,
    /// Also when another site sends somebody here, as the issuer does.
    Lax,
}

/// Whether the browser reached us over https: the settings say so, or the proxy that ended it. Who says so untruly only
/// loses their own cookie.
pub(crate) fn over_https(headers: &HeaderMap, configured: bool) -> bool {
    let forwarded = headers.get("x-forwarded-proto").and_then(|value| value.to_str().ok());
    configured || forwarded.is_some_and(|protocol| protocol.trim().eq_ignore_ascii_case("https"))
}

/// The session of the request.
pub(crate) fn session(headers: &HeaderMap, https: bool) -> Option<Token> {
    Token::of(find(headers, SESSION, https)?)
}

/// The attempt to log in of the request.
pub(crate) fn attempt(headers: &HeaderMap, https: bool) -> Option<Attempt> {
    Attempt::of(find(headers, ATTEMPT, https)?)
}

pub(crate) fn set_session(token: &Token, length: TimeDelta, https: bool) -> Option<HeaderValue> {
    set(SESSION, token.expose(), length.num_seconds(), SameSite::Strict, https)
}

pub(crate) fn end_session(https: bool) -> Option<HeaderValue> {
    set(SESSION, "", 0, SameSite::Strict, https)
}

pub(crate) fn set_attempt(attempt: &Attempt, https: bool) -> Option<HeaderValue> {
    set(ATTEMPT, attempt.expose(), ATTEMPT_MINUTES * 60, SameSite::Lax, https)
}

pub(crate) fn end_attempt(https: bool) -> Option<HeaderValue> {
    set(ATTEMPT, "", 0, SameSite::Lax, https)
}

/// Where people reach us over https, a cookie without the prefix may be another's: it is not looked at.
fn find<'a>(headers: &'a HeaderMap, name: &str, https: bool) -> Option<&'a str> {
    let cookies = headers.get_all(COOKIE).into_iter().filter_map(|value| value.to_str().ok());
    let mut pairs = cookies.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
    let wanted = full(name, over_https(headers, https));
    pairs.find(|(name, _)| *name == wanted).map(|(_, value)| value)
}

fn set(name: &str, value: &str, seconds: i64, same_site: SameSite, https: bool) -> Option<HeaderValue> {
    let (name, secure) = (full(name, https), if https { "; Secure" } else { "" });
    let text = format!("{name}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite={same_site:?}{secure}");
    let mut value = HeaderValue::from_str(&text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

fn full(name: &str, https: bool) -> String {
    if https { format!("{HOST}{name}") } else { name.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn over_https_a_cookie_is_for_https_and_this_host_only() {
        let attempt = Attempt::begin();
        for https in [true, false] {
            let cookie = set_attempt(&attempt, https).unwrap();
            let text = cookie.to_str().unwrap();
            assert!(text.contains("; Path=/;") && text.contains("; HttpOnly; SameSite=Lax"), "{text}");
            assert_eq!((text.starts_with(HOST), text.ends_with("; Secure")), (https, https), "{text}");
            let sent = text.split(';').next().unwrap();
            let mut headers = HeaderMap::new();
            headers.insert(COOKIE, format!("other=1; {sent}; x=y").parse().unwrap());
            assert_eq!(super::attempt(&headers, https).unwrap().expose(), attempt.expose());
            assert!(super::attempt(&headers, !https).is_none());
            assert!(session(&headers, https).is_none());
            headers.insert("x-forwarded-proto", "https".parse().unwrap());
            assert_eq!(super::attempt(&headers, false).is_some(), https);
        }
    }

    #[test]
    fn another_site_never_sends_the_session() {
        let token = Token::of(&format!("cps_{}", "a".repeat(64))).unwrap();
        let cookie = set_session(&token, TimeDelta::hours(2), false).unwrap();
        let text = cookie.to_str().unwrap();
        assert!(text.contains("Max-Age=7200; HttpOnly; SameSite=Strict"), "{text}");
        assert!(end_session(true).unwrap().to_str().unwrap().contains("=; Path=/; Max-Age=0;"));
    }
}
