//! Ways to log in at the console: which there are, and the round by the issuer.

use axum::Json;
use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, LOCATION, SET_COOKIE};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::IntoParams;

use crate::access::Counted;
use crate::caller::{Caller, Means, address_of, too_many};
use crate::context::App;
use crate::cookie;
use crate::oidc::{Attempt, NotLetIn, Oidc, Person, ProviderError};
use crate::openapi::shapes::Thing;
use crate::problem::Problem;
use crate::request::Params;
use crate::sessions::LoggedInBy;

use super::session;

/// Where people are once they have logged in.
const CONSOLE: &str = "/console/?signed-in";

/// `GET /login`
#[utoipa::path(get, path = "/login", responses((status = 200, description = "Whether there is an issuer to log in with, and its name", body = Thing)))]
pub(super) async fn ways(State(app): State<App>) -> Json<Value> {
    let oidc = app.access.oidc.as_ref();
    Json(json!({ "oidc": oidc.is_some(), "name": oidc.map(Oidc::name) }))
}

/// `GET /login/oidc`: on to the issuer.
#[utoipa::path(get, path = "/login/oidc", responses((status = 303, description = "On to the issuer")))]
pub(super) async fn begin(State(app): State<App>, headers: HeaderMap) -> Result<Response, Problem> {
    let oidc = configured(&app)?;
    let attempt = Attempt::begin();
    let to = oidc.begin(&attempt).await.map_err(|error| not_let_in(&error.into()))?;
    let https = cookie::over_https(&headers, app.access.https);
    redirect(to.as_str(), session::cookies([cookie::set_attempt(&attempt, https)]))
}

/// What the issuer sends people back with.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Back {
    code: Option<String>,
    state: Option<String>,
    error: Option<String>,
}

/// `GET /login/oidc/callback`: back from the issuer, into a session.
#[utoipa::path(get, path = "/login/oidc/callback", params(Back), responses((status = 303, description = "On to the console, with a session")))]
pub(super) async fn finish(
    State(app): State<App>,
    Parts { headers, extensions, .. }: Parts,
    Params(back): Params<Back>,
) -> Result<Response, Problem> {
    let oidc = configured(&app)?;
    // Each code is asked of the issuer: nobody may make us ask it as often as they like.
    let (limits, from) = (&app.access.limits, address_of(&app.access, &headers, &extensions));
    if let Some(verdict) = limits.failures(from) {
        return Ok(too_many(verdict, "too many logins from this address failed"));
    }
    let refuse = |detail: &str| Err(Problem::new(StatusCode::FORBIDDEN, detail));
    let Some(attempt) = cookie::attempt(&headers, app.access.https) else {
        return refuse("this browser began no login here, or too long ago; begin at /api/v1/login/oidc");
    };
    if !back.state.is_some_and(|state| attempt.is_state(&state)) {
        tracing::warn!("a login came back with the state of another one");
        return refuse(
            "this is the end of another login than this browser began; begin at /api/v1/login/oidc",
        );
    }
    if let Some(error) = back.error {
        let word: String = error.chars().filter(char::is_ascii_graphic).take(60).collect();
        return refuse(&format!("the issuer did not let you in: {word}"));
    }
    let Some(code) = back.code else {
        return refuse("the issuer sent no code");
    };
    let Person { user, groups, roles } = oidc.finish(&attempt, &code).await.map_err(|error| {
        if is_a_guess(&error) {
            limits.failed(from);
        }
        not_let_in(&error)
    })?;
    let means = Means { key_id: None, session: true, counted: Counted::User(user.clone()) };
    let caller = Caller::new(&user, roles.clone(), means);
    let https = cookie::over_https(&headers, app.access.https);
    let by = LoggedInBy::Oidc { issuer: oidc.issuer().to_owned(), groups, roles };
    let (_token, mut set) = session::open(&app, &caller, by, https).await?;
    // Beside the cookie of the session: `extend` would put it in its place.
    if let Some(ended) = cookie::end_attempt(https) {
        set.append(SET_COOKIE, ended);
    }
    redirect(CONSOLE, set)
}

fn configured(app: &App) -> Result<&Oidc, Problem> {
    app.access
        .oidc
        .as_ref()
        .ok_or_else(|| Problem::not_found("an issuer to log in with (oidc.issuer is not set)"))
}

/// Whether it may be somebody who guesses codes. That the issuer is away, or knows somebody who may do nothing here, is no
/// reason to keep everybody out who comes from there.
fn is_a_guess(error: &NotLetIn) -> bool {
    match error {
        NotLetIn::Provider(ProviderError::Refused(_)) | NotLetIn::Token(_) | NotLetIn::Unknown(_) => true,
        NotLetIn::Provider(ProviderError::Away(_) | ProviderError::Misfit(_)) | NotLetIn::NoRole { .. } => {
            false
        }
    }
}

fn not_let_in(error: &NotLetIn) -> Problem {
    tracing::warn!(%error, "nobody was let in");
    metrics::counter!("api_logins_refused_total").increment(1);
    match error {
        NotLetIn::Provider(ProviderError::Away(_)) => Problem::unavailable(error.to_string()),
        NotLetIn::Provider(ProviderError::Misfit(_)) => {
            Problem::new(StatusCode::BAD_GATEWAY, error.to_string())
        }
        NotLetIn::Provider(ProviderError::Refused(_))
        | NotLetIn::Token(_)
        | NotLetIn::Unknown(_)
        | NotLetIn::NoRole { .. } => Problem::new(StatusCode::FORBIDDEN, error.to_string()),
    }
}

fn redirect(to: &str, mut headers: HeaderMap) -> Result<Response, Problem> {
    let to = HeaderValue::from_str(to).map_err(|error| Problem::internal(&error))?;
    headers.insert(LOCATION, to);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok((StatusCode::SEE_OTHER, headers).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_issuer_that_is_away_is_nobodys_guess() {
        let refused = |error| is_a_guess(&NotLetIn::Provider(error));
        assert!(refused(ProviderError::Refused("invalid_grant".to_owned())));
        assert!(is_a_guess(&NotLetIn::Unknown("no name".to_owned())));
        assert!(!refused(ProviderError::Away("no route".to_owned())));
        assert!(!is_a_guess(&NotLetIn::NoRole { user: "ann".to_owned() }));
    }
}
