//! HMAC in constant time over every key and every candidate.
//!
//! Knows no header: it is given keys, the signed parts and decoded signatures.

use ::hmac::{Hmac, KeyInit, Mac};
use sha2::{Sha256, Sha512};
use subtle::{Choice, ConstantTimeEq};

use domain::entity::SignatureHash;

/// Whether any of `candidates` is the MAC of the concatenated `parts` under any of `keys`.
/// Every pair is compared, so the time tells neither which key nor which candidate matched.
pub(super) fn any_match<K: AsRef<[u8]>>(
    hash: SignatureHash,
    keys: &[K],
    parts: &[&[u8]],
    candidates: &[Vec<u8>],
) -> bool {
    let mut found = Choice::from(0);
    for key in keys {
        let expected = mac(hash, key.as_ref(), parts);
        for candidate in candidates {
            found |= expected.as_slice().ct_eq(candidate);
        }
    }
    found.into()
}

fn mac(hash: SignatureHash, key: &[u8], parts: &[&[u8]]) -> Vec<u8> {
    match hash {
        SignatureHash::Sha256 => {
            fold(Hmac::<Sha256>::new_from_slice(key).expect("any key length is legal"), parts)
        }
        SignatureHash::Sha512 => {
            fold(Hmac::<Sha512>::new_from_slice(key).expect("any key length is legal"), parts)
        }
    }
}

fn fold<M: Mac>(mut mac: M, parts: &[&[u8]]) -> Vec<u8> {
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().to_vec()
}
