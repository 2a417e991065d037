//! What the issuer answers.

use std::sync::Arc;

use axum::extract::{Query, State};
use axum::http::header::{AUTHORIZATION, LOCATION};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use url::Url;

use crate::token::id_token;
use crate::{Asked, Shared};

type Issuer = State<Arc<Shared>>;

pub(crate) fn router(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/.well-known/openid-configuration", get(describe))
        .route("/keys", get(keys))
        .route("/authorize", get(authorize))
        .route("/token", post(token))
        .with_state(shared)
}

async fn describe(State(shared): Issuer) -> Json<Value> {
    let issuer = &shared.issuer;
    Json(json!({
        "issuer": issuer,
        "authorization_endpoint": format!("{issuer}/authorize"),
        "token_endpoint": format!("{issuer}/token"),
        "jwks_uri": format!("{issuer}/keys"),
        "response_types_supported": ["code"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256", "ES256"],
        "code_challenge_methods_supported": ["S256"],
    }))
}

async fn keys(State(shared): Issuer) -> Json<Value> {
    let key = shared.lock().key;
    Json(json!({ "keys": [key.public()] }))
}

#[derive(Deserialize)]
struct Authorization {
    response_type: String,
    client_id: String,
    redirect_uri: String,
    scope: String,
    state: String,
    nonce: Option<String>,
    code_challenge: String,
    code_challenge_method: String,
}

async fn authorize(State(shared): Issuer, Query(asked): Query<Authorization>) -> Response {
    let client = &shared.client;
    let is_ours = asked.client_id == client.id && asked.redirect_uri == client.redirect_uri;
    let fits = asked.response_type == "code"
        && asked.code_challenge_method == "S256"
        && asked.scope.split(' ').any(|scope| scope == "openid");
    let Some(mut back) = Url::parse(&asked.redirect_uri).ok().filter(|_| is_ours && fits) else {
        return (StatusCode::BAD_REQUEST, "this is no request of a client").into_response();
    };
    let mut state = shared.lock();
    if state.refuses {
        back.query_pairs_mut().append_pair("error", "access_denied").append_pair("state", &asked.state);
    } else {
        let code = uuid::Uuid::new_v4().to_string();
        back.query_pairs_mut().append_pair("code", &code).append_pair("state", &asked.state);
        state.codes.insert(code, Asked { nonce: asked.nonce, challenge: asked.code_challenge });
    }
    (StatusCode::FOUND, [(LOCATION, back.to_string())]).into_response()
}

async fn token(State(shared): Issuer, headers: HeaderMap, body: String) -> Response {
    let form: std::collections::HashMap<String, String> =
        url::form_urlencoded::parse(body.as_bytes()).into_owned().collect();
    let field = |name: &str| form.get(name).map(String::as_str).unwrap_or_default();
    let client = &shared.client;
    let is_client = match &client.secret {
        Some(secret) => basic(&headers) == Some((client.id.clone(), secret.clone())),
        None => field("client_id") == client.id,
    };
    if !is_client {
        return refused(StatusCode::UNAUTHORIZED, "invalid_client");
    }
    let mut state = shared.lock();
    let Some(asked) = state.codes.remove(field("code")) else {
        return refused(StatusCode::BAD_REQUEST, "invalid_grant");
    };
    let shown = URL_SAFE_NO_PAD.encode(Sha256::digest(field("code_verifier").as_bytes()));
    let fits = field("grant_type") == "authorization_code" && field("redirect_uri") == client.redirect_uri;
    if shown != asked.challenge || !fits {
        return refused(StatusCode::BAD_REQUEST, "invalid_grant");
    }
    state.exchanges += 1;
    let token =
        id_token((&shared.issuer, &client.id), asked.nonce.as_deref(), &state.person, state.key, state.lie);
    Json(json!({ "access_token": "of-no-use", "token_type": "Bearer", "expires_in": 300, "id_token": token }))
        .into_response()
}

fn basic(headers: &HeaderMap) -> Option<(String, String)> {
    let text = headers.get(AUTHORIZATION)?.to_str().ok()?.strip_prefix("Basic ")?;
    let text = String::from_utf8(STANDARD.decode(text).ok()?).ok()?;
    let (id, secret) = text.split_once(':')?;
    let decoded = |text: &str| {
        url::form_urlencoded::parse(format!("x={text}").as_bytes()).next().map(|(_, v)| v.into_owned())
    };
    Some((decoded(id)?, decoded(secret)?))
}

fn refused(status: StatusCode, error: &str) -> Response {
    (status, Json(json!({ "error": error }))).into_response()
}
