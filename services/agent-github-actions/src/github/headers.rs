//! The headers of a call to GitHub.

use http::header::{ACCEPT, AUTHORIZATION};
use http::{HeaderMap, HeaderName, HeaderValue};
use platform::CallError;
use secrecy::{ExposeSecret as _, SecretString};

/// The version of the API whose behaviour this agent knows.
const API_VERSION: &str = "2022-11-28";

/// The headers of a call as that bearer.
///
/// # Errors
/// The secret holds what no header can.
pub(super) fn of(bearer: &SecretString) -> Result<HeaderMap, CallError> {
    let mut authorization = HeaderValue::from_str(&format!("Bearer {}", bearer.expose_secret().trim()))
        .map_err(|_| {
            CallError::Unauthorized("the credential holds characters no header can carry".to_owned())
        })?;
    authorization.set_sensitive(true);
    let mut headers = HeaderMap::with_capacity(4);
    headers.insert(AUTHORIZATION, authorization);
    headers.insert(ACCEPT, HeaderValue::from_static("application/vnd.github+json"));
    headers.insert(HeaderName::from_static("x-github-api-version"), HeaderValue::from_static(API_VERSION));
    Ok(headers)
}
