//! Scripted misbehaviour of the API: the next calls that match are answered wrongly, late, or not at all.

use std::time::Duration;

/// The next `times` calls that match go wrong. Faults are tried in the order they were injected.
#[derive(Clone, Debug)]
pub struct Fault {
    /// For example `POST`; `None` is any.
    pub method: Option<String>,
    /// Path below the API's root, escaped as it came and without query; `*` stands for any text, for example `*/dispatches`.
    pub path: String,
    pub times: u32,
    pub kind: FaultKind,
}

/// How a call goes wrong.
#[derive(Clone, Debug)]
pub enum FaultKind {
    /// Answered with this instead; nothing happens on the server.
    Answer { status: u16, headers: Vec<(String, String)>, body: String },
    /// The connection is cut before anything happens.
    DropBeforeEffect,
    /// It happens, then the connection is cut without an answer.
    DropAfterEffect,
    /// It happens, and the answer never comes: the client's time-out ends it.
    HangAfterEffect,
    /// The connection is cut, and it happens this much later: after the client gave up.
    LateEffect(Duration),
    /// It happens normally, this much later.
    Delay(Duration),
}

impl Fault {
    /// One call of `method` to a path that matches.
    pub fn once(method: &str, path: &str, kind: FaultKind) -> Self {
        Self { method: Some(method.to_owned()), path: path.to_owned(), times: 1, kind }
    }

    /// The same for the next `times` calls.
    pub fn times(mut self, times: u32) -> Self {
        self.times = times;
        self
    }

    /// An answer with a JSON `message` and no extra headers.
    pub fn answer(method: &str, path: &str, status: u16, message: &str) -> Self {
        let body = serde_json::json!({ "message": message }).to_string();
        Self::once(method, path, FaultKind::Answer { status, headers: Vec::new(), body })
    }

    /// An answer that wants the caller to wait: `Retry-After` in seconds.
    pub fn slow_down(method: &str, path: &str, status: u16, body: String, retry_after_secs: u64) -> Self {
        let headers = vec![("retry-after".to_owned(), retry_after_secs.to_string())];
        Self::once(method, path, FaultKind::Answer { status, headers, body })
    }
}

/// The faults still to come.
#[derive(Debug, Default)]
pub struct Faults(Vec<Fault>);

impl Faults {
    pub fn add(&mut self, fault: Fault) {
        self.0.push(fault);
    }

    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// Uses up one turn of the first fault that matches.
    pub fn take(&mut self, method: &str, path: &str) -> Option<FaultKind> {
        let matches = |f: &Fault| {
            f.times > 0
                && f.method.as_deref().is_none_or(|m| m.eq_ignore_ascii_case(method))
                && glob(&f.path, path)
        };
        let at = self.0.iter().position(matches)?;
        let fault = &mut self.0[at];
        fault.times -= 1;
        let kind = fault.kind.clone();
        if fault.times == 0 {
            self.0.remove(at);
        }
        Some(kind)
    }
}

/// Whether `text` matches `pattern`, where `*` is any text.
fn glob(pattern: &str, text: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(text) = text.strip_prefix(head) else { return false };
    (0..=text.len()).filter(|at| text.is_char_boundary(*at)).any(|at| glob(rest, &text[at..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_match_any_text() {
        for (pattern, text, expected) in [
            ("/a", "/a", true),
            ("/a", "/ab", false),
            ("*", "/anything", true),
            ("*/dispatches", "/repos/o/r/actions/workflows/w/dispatches", true),
            ("*/dispatches", "/repos/o/r/dispatches/x", false),
            ("/repos/*/runs/*", "/repos/o/r/actions/runs/7", true),
            ("*/pipeline", "/projects/acme%2Fshop/pipeline", true),
            ("*/pipeline", "/projects/1/pipeline/x", false),
            ("/projects/*/pipelines/*", "/projects/1/pipelines/7", true),
        ] {
            assert_eq!(glob(pattern, text), expected, "{pattern} on {text}");
        }
    }

    #[test]
    fn a_fault_is_used_up_in_order() {
        let mut faults = Faults::default();
        faults.add(Fault::answer("POST", "*", 500, "first").times(2));
        faults.add(Fault::once("POST", "*", FaultKind::DropAfterEffect));
        assert!(faults.take("GET", "/x").is_none());
        assert!(matches!(faults.take("POST", "/x"), Some(FaultKind::Answer { .. })));
        assert!(matches!(faults.take("POST", "/x"), Some(FaultKind::Answer { .. })));
        assert!(matches!(faults.take("POST", "/x"), Some(FaultKind::DropAfterEffect)));
        assert!(faults.take("POST", "/x").is_none());
    }
}
