//! Sessions of the console: begun with a key, told, and ended.

use axum::Json;
use axum::extract::{Request, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, SET_COOKIE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use domain::audit::{Documents, Object};
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::{IntoParams, ToSchema};

use crate::audit::{self, Deed};
use crate::auth::{Role, digest};
use crate::caller::{Caller, Means, address_of, refused, too_many, try_key};
use crate::context::App;
use crate::cookie;
use crate::openapi::shapes::Thing;
use crate::problem::Problem;
use crate::request::{Body, Params};
use crate::sessions::{LoggedInBy, Token};

#[derive(Deserialize, ToSchema)]
pub(super) struct Login {
    key: String,
}

/// `POST /session`: a key for a cookie. Only as JSON, which a page of another site cannot make a browser send.
#[utoipa::path(post, path = "/session", request_body = Login, responses((status = 201, description = "A session, by a cookie", body = Thing), (status = 415, description = "Not JSON")))]
pub(super) async fn begin(State(app): State<App>, request: Request) -> Result<Response, Response> {
    let kind = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if !kind.trim_start().to_ascii_lowercase().starts_with("application/json") {
        let detail = "send the key as JSON, with content-type: application/json";
        return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail).into_response());
    }
    let (from, https) = (
        address_of(&app.access, request.headers(), request.extensions()),
        cookie::over_https(request.headers(), app.access.https),
    );
    let Body(Login { key }) = read(request).await?;
    let key = key.trim();
    let caller = try_key(&app.access, from, key)?.ok_or_else(refused)?;
    if let Some(verdict) = app.access.limits.login(&caller.means.counted) {
        return Err(too_many(verdict, "this key begins sessions more often than it may"));
    }
    let caller = Caller { means: Means { session: true, ..caller.means }, ..caller };
    let by = LoggedInBy::Key { sha256: hex::encode(digest(key)) };
    let (token, headers) = open(&app, &caller, by, https).await.map_err(|problem| problem.into_response())?;
    Ok((StatusCode::CREATED, headers, Json(shape(&caller, Some(&token)))).into_response())
}

async fn read(request: Request) -> Result<Body<Login>, Response> {
    use axum::extract::FromRequest as _;
    Body::from_request(request, &()).await.map_err(|problem: Problem| problem.into_response())
}

/// `GET /session`: who it is, what they may do, and what their writes must repeat.
#[utoipa::path(get, path = "/session", responses((status = 200, description = "Who it is", body = Thing)))]
pub(super) async fn show(State(app): State<App>, caller: Caller, headers: HeaderMap) -> Response {
    let token = cookie::session(&headers, app.access.https).filter(|_| caller.means.session);
    ([(CACHE_CONTROL, "no-store")], Json(shape(&caller, token.as_ref()))).into_response()
}

/// `DELETE /session`
#[utoipa::path(delete, path = "/session", responses((status = 204, description = "It is over")))]
pub(super) async fn end(
    State(app): State<App>,
    caller: Caller,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let https = cookie::over_https(&headers, app.access.https);
    if caller.means.session
        && let Some(token) = cookie::session(&headers, app.access.https)
    {
        app.access.sessions.end(&token).await?;
        note(&app, &caller, "logout", &token).await?;
    }
    Ok((StatusCode::NO_CONTENT, cookies([cookie::end_session(https)])).into_response())
}

/// Whose sessions.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct OfUser {
    /// The user as `GET /session` and the audit name it.
    user: String,
}

/// `DELETE /sessions?user=`: ends every session of that user, for admins of every workspace.
#[utoipa::path(delete, path = "/sessions", params(OfUser), responses((status = 200, description = "How many sessions ended", body = Thing)))]
pub(super) async fn end_of_user(
    State(app): State<App>,
    caller: Caller,
    Params(OfUser { user }): Params<OfUser>,
) -> Result<Json<Value>, Problem> {
    if !caller.sees_all() {
        return Err(Problem::not_found("what belongs to all workspaces"));
    }
    caller.needs(Role::Admin)?;
    if user.is_empty() {
        return Err(Problem::invalid_field("user", "is empty"));
    }
    let ended = app.access.sessions.end_of_user(&user).await?;
    let object = Object { kind: "Session".to_owned(), id: user.clone(), name: user };
    let documents = Documents::between(None, Some(json!({ "ended": ended })));
    let workspace = audit::everywhere();
    let deed = Deed { action: "revoke", workspace: &workspace, object, before: None, after: None, documents };
    audit::note(&app.bus, &caller, deed).await?;
    Ok(Json(json!({ "ended": ended })))
}

/// Begins a session of the caller, and tells its token and the headers that set its cookie.
pub(super) async fn open(
    app: &App,
    caller: &Caller,
    by: LoggedInBy,
    https: bool,
) -> Result<(Token, HeaderMap), Problem> {
    let sessions = &app.access.sessions;
    let (token, _session) = sessions.begin(&caller.name, by).await?;
    note(app, caller, "login", &token).await?;
    let mut headers = cookies([cookie::set_session(&token, sessions.length(), https)]);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok((token, headers))
}

pub(super) fn cookies<const N: usize>(cookies: [Option<HeaderValue>; N]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for cookie in cookies.into_iter().flatten() {
        headers.append(SET_COOKIE, cookie);
    }
    headers
}

/// Who logs in or out is told in the audit of the only workspace they see, else in that of all.
async fn note(app: &App, caller: &Caller, action: &str, token: &Token) -> Result<(), Problem> {
    let workspace = caller.grants.only().cloned().unwrap_or_else(audit::everywhere);
    let object = Object { kind: "Session".to_owned(), id: token.id(), name: caller.name.clone() };
    let documents = Documents::default();
    let deed = Deed { action, workspace: &workspace, object, before: None, after: None, documents };
    audit::note(&app.bus, caller, deed).await
}

/// `role` and `workspace` are what there is to tell in one line: the role everywhere, or in the only workspace, or the
/// highest of several; `roles` are all of them.
fn shape(caller: &Caller, token: Option<&Token>) -> Value {
    let role = caller.grants.everywhere().or(caller.grants.highest());
    json!({
        "name": caller.name,
        "role": role,
        "workspace": caller.grants.only(),
        "roles": caller.grants,
        "csrf": token.map(Token::csrf),
    })
}
