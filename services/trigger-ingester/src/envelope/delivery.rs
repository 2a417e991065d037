//! Ids of deliveries, in a form that fits a message header and a key.

use sha2::{Digest, Sha256};

const ID_CHARS_MAX: usize = 256;

/// `id` itself where it is short printable ASCII, else its hash.
pub(super) fn id(id: &str) -> String {
    let plain = id.len() <= ID_CHARS_MAX && id.bytes().all(|c| c.is_ascii_graphic() || c == b' ');
    if plain { id.to_owned() } else { body_hash(id.as_bytes()) }
}

/// The id of a delivery that has none: equal bodies are one delivery.
pub(super) fn body_hash(body: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(body)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_fit_a_header() {
        assert_eq!(id("72d3162e-cc78-11e3-81ab-4c9367dc0958"), "72d3162e-cc78-11e3-81ab-4c9367dc0958");
        assert_eq!(id(&"x".repeat(256)), "x".repeat(256));
        for odd in ["x".repeat(257), "a\r\nb".to_owned(), "é".to_owned()] {
            let hashed = id(&odd);
            assert_eq!(hashed.len(), "sha256:".len() + 64);
            assert_ne!(hashed, id("other"));
        }
        assert_eq!(body_hash(b""), "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    }
}
