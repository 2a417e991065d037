//! Endpoints that take events in: how a sender proves itself, where it names its deliveries, which events are wanted.
//!
//! Plain data with its own parsing; knows no HTTP type and no secret, only names of secrets.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;

/// An endpoint at `/webhooks/<workspace>/<name>`: one configured sender.
///
/// ```yaml
/// sender: { type: github }
/// secretRefs: [github-webhook, github-webhook-next]
/// events: [push, workflow_run]
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TriggerSource {
    /// How deliveries are verified and read.
    pub sender: SourceKind,
    /// Names of the secrets that are active now; several during a rotation. With none, every delivery is refused.
    pub secret_refs: Vec<String>,
    /// Event types that are wanted, exactly as the sender names them; absent means all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub events: Option<Vec<String>>,
}

/// The families of senders.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "kebab-case", deny_unknown_fields)]
pub enum SourceKind {
    /// GitHub and GitHub Enterprise Server: `X-Hub-Signature-256`.
    Github {},
    /// GitLab: Standard Webhooks for secrets that begin with `whsec_`, `X-Gitlab-Token` for the others.
    Gitlab {},
    /// Any sender that signs the raw body with an HMAC.
    Hmac {
        /// Where the signature is and how it is written.
        #[serde(rename = "signature")]
        scheme: HmacScheme,
        /// Where the delivery and the event are named.
        #[serde(default)]
        naming: Naming,
    },
    /// Any sender that repeats a shared secret in a header.
    Token {
        /// Where the secret is repeated.
        #[serde(rename = "token")]
        scheme: TokenScheme,
        /// Where the delivery and the event are named.
        #[serde(default)]
        naming: Naming,
    },
    /// CloudEvents 1.0 over HTTP: structured, binary or batch.
    #[serde(rename = "cloudevents")]
    CloudEvents {
        /// How the sender proves itself: the CloudEvents binding leaves that to the transport.
        auth: CloudEventsAuth,
    },
    /// The Standard Webhooks specification.
    StandardWebhooks {},
}

/// How a sender of CloudEvents proves itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "kebab-case", deny_unknown_fields)]
pub enum CloudEventsAuth {
    /// An HMAC over the raw body. It does not cover `ce-*` headers: prefer structured mode with it.
    Hmac {
        /// Where the signature is and how it is written.
        #[serde(rename = "signature")]
        scheme: HmacScheme,
    },
    /// A shared secret in a header.
    Token {
        /// Where the secret is repeated.
        #[serde(rename = "token")]
        scheme: TokenScheme,
    },
    /// The three headers of Standard Webhooks.
    StandardWebhooks {},
}

/// An HMAC over the raw body, written into one header.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HmacScheme {
    /// The header that carries the signature.
    pub header: HeaderName,
    /// What stands before the signature in that header, such as `sha256=`; must be there exactly.
    #[serde(default)]
    pub prefix: String,
    /// How the bytes of the signature are written.
    #[serde(default)]
    pub encoding: SignatureEncoding,
    /// The hash below the HMAC.
    #[serde(default)]
    pub hash: SignatureHash,
}

/// How the bytes of a signature are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum SignatureEncoding {
    /// Hexadecimal, in either case.
    #[default]
    Hex,
    /// The standard base64 alphabet; padding may be left out.
    Base64,
}

/// The hash below an HMAC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum SignatureHash {
    /// SHA-256, 32 bytes.
    #[default]
    Sha256,
    /// SHA-512, 64 bytes.
    Sha512,
}

/// A shared secret repeated in one header.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TokenScheme {
    /// The header that carries the secret.
    pub header: HeaderName,
    /// What stands before the secret in that header, such as `Bearer `; compared without regard to case.
    #[serde(default)]
    pub prefix: String,
}

/// Where a sender without a standard envelope names its deliveries and events.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Naming {
    /// Header with an id that is the same when a delivery is repeated.
    /// Without it: `Idempotency-Key`, then `webhook-id`, then the hash of the body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delivery_header: Option<HeaderName>,
    /// Header with the event type; asked before `eventPointer`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event_header: Option<HeaderName>,
    /// JSON pointer (RFC 6901) to a string in the body that is the event type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event_pointer: Option<JsonPointer>,
    /// The sender never sends the same body twice and means two events: then a body counts once, whatever the headers say.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unique_bodies: bool,
}

/// The name of an HTTP header, kept in lower case: a `token` of RFC 9110 §5.6.2 of at most 128 characters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct HeaderName(String);

impl HeaderName {
    /// The name in lower case.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for HeaderName {
    type Error = InvalidName;

    fn try_from(name: String) -> Result<Self, InvalidName> {
        let legal = |c: u8| c.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&c);
        if name.is_empty() || name.len() > 128 || !name.bytes().all(legal) {
            return Err(InvalidName("a header name is 1 to 128 letters, digits or any of !#$%&'*+-.^_`|~"));
        }
        Ok(Self(name.to_ascii_lowercase()))
    }
}

impl From<HeaderName> for String {
    fn from(name: HeaderName) -> Self {
        name.0
    }
}

/// A JSON pointer of RFC 6901: empty, or segments that each begin with `/`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct JsonPointer(String);

impl JsonPointer {
    /// The pointer as written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for JsonPointer {
    type Error = InvalidName;

    fn try_from(pointer: String) -> Result<Self, InvalidName> {
        if !pointer.is_empty() && !pointer.starts_with('/') {
            return Err(InvalidName("a JSON pointer is empty or begins with /"));
        }
        Ok(Self(pointer))
    }
}

impl From<JsonPointer> for String {
    fn from(pointer: JsonPointer) -> Self {
        pointer.0
    }
}

/// Why a name in the configuration was refused; a sentence for the operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InvalidName(&'static str);

impl fmt::Display for InvalidName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for InvalidName {}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn every_kind_is_written_as_it_is_read() {
        let kinds: Vec<Value> = vec![
            json!({"type": "github"}),
            json!({"type": "gitlab"}),
            json!({"type": "hmac",
                "signature": {"header": "x-signature", "prefix": "v1=", "encoding": "base64", "hash": "sha512"},
                "naming": {"deliveryHeader": "x-id", "eventHeader": "x-event", "eventPointer": "/type"}}),
            json!({"type": "token", "token": {"header": "authorization", "prefix": "Bearer "}, "naming": {}}),
            json!({"type": "cloudevents", "auth": {"type": "token", "token": {"header": "x-token", "prefix": ""}}}),
            json!({"type": "cloudevents", "auth": {"type": "standard-webhooks"}}),
            json!({"type": "standard-webhooks"}),
        ];
        for kind in kinds {
            let written = json!({"sender": kind, "secretRefs": ["a"], "events": ["push"]});
            let read: TriggerSource = serde_json::from_value(written.clone()).expect("kind is read");
            assert_eq!(serde_json::to_value(read).expect("kind is written"), written);
        }
    }

    #[test]
    fn defaults_are_hex_sha256_without_prefix() {
        let kind = json!({"type": "hmac", "signature": {"header": "X-Sig"}});
        let SourceKind::Hmac { scheme, naming } = serde_json::from_value(kind).expect("kind is read") else {
            panic!("not hmac")
        };
        assert_eq!(scheme.header.as_str(), "x-sig");
        assert_eq!((scheme.encoding, scheme.hash), (SignatureEncoding::Hex, SignatureHash::Sha256));
        assert_eq!(scheme.prefix, "");
        assert_eq!(naming, Naming::default());
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for (wrong, why) in [
            (json!({"sender": {"type": "github"}}), "no secretRefs"),
            (json!({"sender": {"type": "github"}, "secretRefs": [], "event": []}), "misspelt field"),
            (json!({"sender": {"type": "github", "header": "x"}, "secretRefs": []}), "field of another kind"),
            (json!({"sender": {"type": "svn"}, "secretRefs": []}), "unknown kind"),
            (json!({"sender": {"type": "hmac"}, "secretRefs": []}), "no signature"),
            (json!({"sender": {"type": "cloudevents"}, "secretRefs": []}), "no auth"),
            (
                json!({"sender": {"type": "cloudevents", "auth": {"type": "none"}}, "secretRefs": []}),
                "open door",
            ),
            (
                json!({"sender": {"type": "hmac", "signature": {"header": "x y"}}, "secretRefs": []}),
                "header name",
            ),
            (
                json!({"sender": {"type": "hmac", "signature": {"header": ""}}, "secretRefs": []}),
                "empty header",
            ),
            (
                json!({"sender": {"type": "hmac", "signature": {"header": "x", "hash": "sha1"}}, "secretRefs": []}),
                "sha1",
            ),
            (
                json!({"sender": {"type": "hmac", "signature": {"header": "x"}, "naming": {"eventPointer": "type"}},
                    "secretRefs": []}),
                "pointer without slash",
            ),
        ] {
            assert!(serde_json::from_value::<TriggerSource>(wrong).is_err(), "accepted: {why}");
        }
    }
}
