//! Endpoints that take events in: who may speak there, and how they prove it. Secrets are named, never held.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// An endpoint at `/webhooks/<workspace>/<name>`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TriggerSource {
    /// How deliveries are verified and read.
    #[serde(flatten)]
    pub source: SourceKind,
}

/// PLACEHOLDER until the verification half lands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum SourceKind {}

/// How a MAC is written in its header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum HmacEncoding {
    /// Lower-case hexadecimal.
    Hex,
    /// Standard base64.
    Base64,
}

/// The hash under a MAC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum HmacHash {
    /// SHA-256.
    Sha256,
    /// SHA-512.
    Sha512,
}
