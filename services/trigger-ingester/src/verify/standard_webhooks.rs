//! The symmetric half of the Standard Webhooks specification: HMAC-SHA256 over `id.timestamp.body`, with a tolerance in time.
//!
//! Does not know the asymmetric half: `v1a` signatures are passed over.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Utc};
use http::HeaderMap;
use secrecy::{ExposeSecret, SecretSlice, SecretString};

use super::hmac::BASE64;
use super::{Rejected, Verdict, header_text, mac, unreadable};
use domain::entity::SignatureHash;

/// How many seconds `webhook-timestamp` may be away from `now`, into the past and into the future.
pub const TOLERANCE_SECONDS: i64 = 5 * 60;

/// What a symmetric secret begins with; 24 to 64 bytes in base64 follow.
pub const SECRET_PREFIX: &str = "whsec_";

pub(super) const SIGNATURE: &str = "webhook-signature";
const ID: &str = "webhook-id";
const TIMESTAMP: &str = "webhook-timestamp";

/// Believes a delivery of which one `v1` signature was made with one of `secrets`, not too long ago.
///
/// Secrets that are not `whsec_` with 24 to 64 bytes do not count.
///
/// # Errors
/// [`Rejected`] when a header is missing, repeated or unreadable, the time is out of tolerance, or nothing matches.
pub fn verify(headers: &HeaderMap, body: &[u8], secrets: &[SecretString], now: DateTime<Utc>) -> Verdict {
    let keys: Vec<SecretSlice<u8>> = secrets.iter().filter_map(key).collect();
    if keys.is_empty() {
        return Err(Rejected::NoUsableSecret);
    }
    let id = header_text(headers, ID, "text")?;
    if !unambiguous(id) {
        return Err(unreadable(ID, "an id that can be told from the timestamp after it"));
    }
    let timestamp = header_text(headers, TIMESTAMP, "text")?;
    let signed_at = seconds(timestamp).ok_or_else(|| unreadable(TIMESTAMP, "whole seconds since 1970"))?;
    let signatures = signatures(header_text(headers, SIGNATURE, "text")?);
    if signatures.is_empty() {
        return Err(unreadable(SIGNATURE, "a list with a v1 signature"));
    }
    let exposed: Vec<&[u8]> = keys.iter().map(ExposeSecret::expose_secret).collect();
    let parts = [id.as_bytes(), b".", timestamp.as_bytes(), b".", body];
    if !mac::any_match(SignatureHash::Sha256, &exposed, &parts, &signatures) {
        return Err(Rejected::Mismatch(SIGNATURE.to_owned()));
    }
    in_time(signed_at, now)
}

fn key(secret: &SecretString) -> Option<SecretSlice<u8>> {
    let encoded = secret.expose_secret().strip_prefix(SECRET_PREFIX)?;
    let key = SecretSlice::from(BASE64.decode(encoded).ok()?);
    (24..=64).contains(&key.expose_secret().len()).then_some(key)
}

/// `id.timestamp.body` has more than one reading when the id itself ends in `.` and digits: then a captured body could
/// pass for a fresh timestamp. Such an id is refused; other dots are harmless.
fn unambiguous(id: &str) -> bool {
    match id.rsplit_once('.') {
        Some((_, tail)) => !tail.bytes().all(|c| c.is_ascii_digit()),
        None => !id.is_empty(),
    }
}

fn seconds(timestamp: &str) -> Option<i64> {
    let digits = !timestamp.is_empty() && timestamp.bytes().all(|c| c.is_ascii_digit());
    digits.then(|| timestamp.parse().ok()).flatten()
}

/// The decoded `v1` entries of the space-separated list; entries of other versions or of another length are passed over.
fn signatures(list: &str) -> Vec<Vec<u8>> {
    list.split(' ')
        .filter_map(|entry| entry.strip_prefix("v1,"))
        .filter_map(|encoded| STANDARD.decode(encoded).ok())
        .filter(|signature| signature.len() == 32)
        .collect()
}

fn in_time(signed_at: i64, now: DateTime<Utc>) -> Verdict {
    let age = now.timestamp().saturating_sub(signed_at);
    if age > TOLERANCE_SECONDS {
        Err(Rejected::TooOld)
    } else if age < -TOLERANCE_SECONDS {
        Err(Rejected::TooNew)
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verify::testing::{headers, secrets};

    // The vector of the specification's reference libraries.
    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const MESSAGE: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
    const AT: i64 = 1_614_265_330;
    const BODY: &[u8] = br#"{"test": 2432232314}"#;
    const VALUE: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
    const OTHER: &str = "v1,Ceo5qEr07ixe2NLpvHk3FH9bwy/WavXrAFQ/9tdO6mc=";

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(seconds, 0).expect("in range")
    }

    fn sent(signature: &str) -> Vec<(&str, &str)> {
        vec![(ID, MESSAGE), (TIMESTAMP, "1614265330"), (SIGNATURE, signature)]
    }

    fn check(sent: &[(&str, &str)], keys: &[&str], now: i64) -> Verdict {
        verify(&headers(sent), BODY, &secrets(keys), at(now))
    }

    #[test]
    fn the_reference_vector_is_believed_within_five_minutes_both_ways() {
        for (now, verdict) in [
            (AT, Ok(())),
            (AT + 300, Ok(())),
            (AT - 300, Ok(())),
            (AT + 301, Err(Rejected::TooOld)),
            (AT - 301, Err(Rejected::TooNew)),
        ] {
            assert_eq!(check(&sent(VALUE), &[SECRET], now), verdict, "{}", now - AT);
        }
    }

    #[test]
    fn any_signature_in_the_list_and_any_active_secret_will_do() {
        let next = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
        for list in [
            format!("{OTHER} {VALUE}"),
            format!("{VALUE} {OTHER}"),
            format!("v1a,{} {VALUE}", &VALUE[3..]),
            format!("v2,xyz v1,partial {VALUE}"),
        ] {
            assert_eq!(check(&sent(&list), &[SECRET], AT), Ok(()), "{list}");
        }
        assert_eq!(check(&sent(VALUE), &[next, SECRET], AT), Ok(()));
        assert_eq!(check(&sent(VALUE), &[SECRET, next], AT), Ok(()));
        assert_eq!(check(&sent(VALUE), &["not a signing secret", SECRET], AT), Ok(()));
        assert_eq!(check(&sent(VALUE), &[next], AT), Err(Rejected::Mismatch(SIGNATURE.to_owned())));
    }

    #[test]
    fn a_list_without_a_readable_v1_signature_is_refused() {
        let asymmetric = format!("v1a,{}", &VALUE[3..]);
        let unversioned = VALUE[3..].to_owned();
        let partial = VALUE[..20].to_owned();
        let commas = format!("{OTHER},{VALUE}");
        for list in ["", "v1,", "v1", &asymmetric, &unversioned, &partial, &commas] {
            let verdict = check(&sent(list), &[SECRET], AT);
            assert!(matches!(verdict, Err(Rejected::Unreadable { .. })), "{list}: {verdict:?}");
        }
        assert_eq!(check(&sent(OTHER), &[SECRET], AT), Err(Rejected::Mismatch(SIGNATURE.to_owned())));
    }

    #[test]
    fn each_header_is_needed_exactly_once() {
        for missing in [ID, TIMESTAMP, SIGNATURE] {
            let rest: Vec<_> = sent(VALUE).into_iter().filter(|(name, _)| *name != missing).collect();
            assert_eq!(check(&rest, &[SECRET], AT), Err(Rejected::MissingHeader(missing.to_owned())));
            let mut twice = sent(VALUE);
            twice.extend(sent(VALUE).into_iter().filter(|(name, _)| *name == missing));
            assert_eq!(check(&twice, &[SECRET], AT), Err(Rejected::RepeatedHeader(missing.to_owned())));
        }
    }

    #[test]
    fn what_was_signed_cannot_be_changed() {
        let mismatch = Err(Rejected::Mismatch(SIGNATURE.to_owned()));
        let other_id = [(ID, "msg_other"), (TIMESTAMP, "1614265330"), (SIGNATURE, VALUE)];
        assert_eq!(check(&other_id, &[SECRET], AT), mismatch);
        let refreshed = [(ID, MESSAGE), (TIMESTAMP, "1614265331"), (SIGNATURE, VALUE)];
        assert_eq!(check(&refreshed, &[SECRET], AT), mismatch);
        let padded = [(ID, MESSAGE), (TIMESTAMP, "01614265330"), (SIGNATURE, VALUE)];
        assert_eq!(check(&padded, &[SECRET], AT), mismatch);
        assert_eq!(verify(&headers(&sent(VALUE)), b"", &secrets(&[SECRET]), at(AT)), mismatch);
    }

    #[test]
    fn times_and_ids_that_could_be_read_otherwise_are_refused() {
        for timestamp in ["", "-1614265330", "1614265330.0", "0x60", "99999999999999999999", "now"] {
            let sent = [(ID, MESSAGE), (TIMESTAMP, timestamp), (SIGNATURE, VALUE)];
            let verdict = check(&sent, &[SECRET], AT);
            assert!(matches!(verdict, Err(Rejected::Unreadable { .. })), "{timestamp}: {verdict:?}");
        }
        for (id, fine) in
            [("a", true), ("a.b", true), ("a.1b", true), ("a.1", false), ("a.", false), ("", false)]
        {
            assert_eq!(unambiguous(id), fine, "{id}");
        }
    }

    #[test]
    fn only_signing_secrets_of_24_to_64_bytes_count() {
        let secret = |bytes: usize| format!("whsec_{}", STANDARD.encode(vec![7; bytes]));
        for (bytes, fine) in [(0, false), (23, false), (24, true), (64, true), (65, false)] {
            assert_eq!(key(&SecretString::from(secret(bytes))).is_some(), fine, "{bytes}");
        }
        let bare = &SECRET[SECRET_PREFIX.len()..];
        let asymmetric = format!("whpk_{bare}");
        for keys in [&[][..], &[""][..], &[bare][..], &[asymmetric.as_str()][..], &["whsec_!!"][..]] {
            assert_eq!(check(&sent(VALUE), keys, AT), Err(Rejected::NoUsableSecret));
        }
    }
}
