//! Serde for an optional secret in a settings struct: it can be read, and it is written as nothing.
//! Use as `#[serde(with = "service::hidden")]` on an `Option<SecretString>`.

use secrecy::SecretString;
use serde::{Deserialize as _, Deserializer, Serializer};

/// Writes nothing, whatever the value: a table of defaults or a dump cannot give a secret away.
///
/// # Errors
/// Those of the serializer.
pub fn serialize<S: Serializer>(_: &Option<SecretString>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_none()
}

/// Reads a text into a secret.
///
/// # Errors
/// Those of the deserializer, when the value is not a text.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<SecretString>, D::Error> {
    Ok(Option::<String>::deserialize(deserializer)?.map(SecretString::from))
}
