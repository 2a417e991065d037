//! How a call to Argo Server is signed.

use http::header::{ACCEPT, AUTHORIZATION};
use http::{HeaderMap, HeaderValue};
use platform::CallError;
use platform::config::SecretName;
use secrecy::{ExposeSecret as _, SecretString};
use service::Secrets;

/// The headers of a call: the token as it is now, since tokens of service accounts are renewed in their files.
///
/// # Errors
/// [`CallError::Unauthorized`] where there is no such secret, or it holds what no header can.
pub(super) fn headers(
    secrets: &Secrets,
    SecretName { workspace, name }: &SecretName,
    accept: &'static str,
) -> Result<HeaderMap, CallError> {
    let token = secrets.for_workspace(workspace.as_str(), name);
    let token = token.map_err(|error| CallError::Unauthorized(error.to_string()))?;
    let mut headers = HeaderMap::with_capacity(3);
    headers.insert(AUTHORIZATION, bearer(&token)?);
    headers.insert(ACCEPT, HeaderValue::from_static(accept));
    Ok(headers)
}

/// `argo auth token` prints tokens with `Bearer ` before them: they are taken with it and without.
fn bearer(token: &SecretString) -> Result<HeaderValue, CallError> {
    let token = token.expose_secret().trim();
    let token = token.strip_prefix("Bearer ").unwrap_or(token).trim_start();
    let mut value = HeaderValue::from_str(&format!("Bearer {token}"))
        .map_err(|_| CallError::Unauthorized("the token holds characters no header can carry".to_owned()))?;
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_taken_with_and_without_its_scheme() {
        for token in ["eyJ.x.y", "Bearer eyJ.x.y", " Bearer  eyJ.x.y\n"] {
            assert_eq!(bearer(&SecretString::from(token)).unwrap(), "Bearer eyJ.x.y");
        }
        let error = bearer(&SecretString::from("a\nb")).unwrap_err();
        assert!(matches!(&error, CallError::Unauthorized(why) if !why.contains("a\nb")), "{error:?}");
    }
}
