//! Takes over the sender's trace (W3C Trace Context), if it is one.
//!
//! What is not well-formed is left out, as the recommendation asks: a bad trace never stops an event.

use std::collections::BTreeMap;

use http::HeaderMap;

const PARENT: &str = "traceparent";
const STATE: &str = "tracestate";
const STATE_BYTES_MAX: usize = 512;

/// Adds the trace headers to `extensions`. A trace the event itself carries stays: it is the one of its creation.
pub(super) fn adopt(headers: &HeaderMap, extensions: &mut BTreeMap<String, String>) {
    if extensions.get(PARENT).is_some_and(|parent| is_parent(parent)) {
        return;
    }
    extensions.remove(PARENT);
    extensions.remove(STATE);
    let Some(parent) = single(headers, PARENT).filter(|parent| is_parent(parent)) else { return };
    extensions.insert(PARENT.to_owned(), parent.to_owned());
    if let Some(state) = single(headers, STATE).filter(|state| state.len() <= STATE_BYTES_MAX) {
        extensions.insert(STATE.to_owned(), state.to_owned());
    }
}

fn single<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?.to_str().ok()?.trim();
    (values.next().is_none() && !value.is_empty()).then_some(value)
}

/// `00-<32 hex>-<16 hex>-<2 hex>`, lower case, neither id all zero. Later versions are not read.
fn is_parent(text: &str) -> bool {
    let hex = |part: &str, len: usize| {
        part.len() == len && part.bytes().all(|c| matches!(c, b'0'..=b'9' | b'a'..=b'f'))
    };
    let nonzero = |part: &str| part.bytes().any(|c| c != b'0');
    match text.split('-').collect::<Vec<_>>()[..] {
        ["00", trace, span, flags] => {
            hex(trace, 32) && nonzero(trace) && hex(span, 16) && nonzero(span) && hex(flags, 2)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verify::testing::headers;

    const PARENT_A: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    const PARENT_B: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";

    fn adopted(sent: &[(&str, &str)], own: &[(&str, &str)]) -> BTreeMap<String, String> {
        let mut extensions = own.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        adopt(&headers(sent), &mut extensions);
        extensions
    }

    #[test]
    fn a_good_trace_is_taken_over_and_its_own_comes_first() {
        let sent = [("traceparent", PARENT_A), ("tracestate", "vendor=1")];
        let taken = adopted(&sent, &[]);
        assert_eq!(taken[PARENT], PARENT_A);
        assert_eq!(taken[STATE], "vendor=1");
        let own = adopted(&sent, &[("traceparent", PARENT_B)]);
        assert_eq!(own[PARENT], PARENT_B);
        assert!(!own.contains_key(STATE), "the state belongs to the other trace");
        assert_eq!(adopted(&sent, &[("traceparent", "junk")])[PARENT], PARENT_A);
    }

    #[test]
    fn a_bad_trace_is_left_out() {
        for bad in [
            "",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-extra",
        ] {
            assert!(adopted(&[("traceparent", bad), ("tracestate", "a=1")], &[]).is_empty(), "{bad}");
        }
        assert!(adopted(&[("traceparent", PARENT_A), ("traceparent", PARENT_B)], &[]).is_empty());
    }
}
