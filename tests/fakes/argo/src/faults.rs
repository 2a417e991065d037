//! Scripted misbehaviour of the API: the next calls that match are answered wrongly, late, or not at all.

use serde_json::json;

/// The next `times` calls that match go wrong. Faults are tried in the order they were injected.
#[derive(Clone, Debug)]
pub struct Fault {
    /// For example `POST`; `None` is any.
    pub method: Option<String>,
    /// What the path ends with, for example `/submit`; empty is any.
    pub path_end: String,
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
    /// It happens, and the answer is this error instead.
    ErrorAfterEffect { status: u16, body: String },
}

impl Fault {
    /// One call of `method` to a path that ends so.
    pub fn once(method: &str, path_end: &str, kind: FaultKind) -> Self {
        Self { method: Some(method.to_owned()), path_end: path_end.to_owned(), times: 1, kind }
    }

    /// The same for the next `times` calls.
    pub fn times(mut self, times: u32) -> Self {
        self.times = times;
        self
    }

    /// An answer in the shape of Argo's gateway.
    pub fn answer(method: &str, path_end: &str, status: u16, message: &str) -> Self {
        let kind = FaultKind::Answer { status, headers: Vec::new(), body: body(message) };
        Self::once(method, path_end, kind)
    }

    /// Every call, until cleared, is answered so.
    pub fn always(status: u16, message: &str) -> Self {
        Self { method: None, ..Self::answer("", "", status, message).times(u32::MAX) }
    }

    /// What the Kubernetes API answers when it has too much to do.
    pub fn too_many(method: &str, path_end: &str, retry_after_seconds: u64) -> Self {
        let headers = vec![("retry-after".to_owned(), retry_after_seconds.to_string())];
        let kind =
            FaultKind::Answer { status: 429, headers, body: body("too many requests, try again later") };
        Self::once(method, path_end, kind)
    }
}

fn body(message: &str) -> String {
    json!({ "code": 2, "message": message }).to_string()
}

/// The faults still to come.
#[derive(Debug, Default)]
pub(crate) struct Faults(Vec<Fault>);

impl Faults {
    pub(crate) fn add(&mut self, fault: Fault) {
        self.0.push(fault);
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// Uses up one turn of the first fault that matches.
    pub(crate) fn take(&mut self, method: &str, path: &str) -> Option<FaultKind> {
        let matches = |fault: &Fault| {
            fault.method.as_deref().is_none_or(|wanted| wanted == method) && path.ends_with(&fault.path_end)
        };
        let at = self.0.iter().position(matches)?;
        let fault = &mut self.0[at];
        let kind = fault.kind.clone();
        if fault.times != u32::MAX {
            fault.times -= 1;
        }
        if fault.times == 0 {
            self.0.remove(at);
        }
        Some(kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_used_up_in_order() {
        let mut faults = Faults::default();
        faults.add(Fault::answer("POST", "/submit", 500, "first").times(2));
        faults.add(Fault::once("POST", "", FaultKind::DropAfterEffect));
        assert!(faults.take("GET", "/x/submit").is_none());
        assert!(matches!(faults.take("POST", "/x/submit"), Some(FaultKind::Answer { .. })));
        assert!(matches!(faults.take("POST", "/x"), Some(FaultKind::DropAfterEffect)));
        assert!(matches!(faults.take("POST", "/x/submit"), Some(FaultKind::Answer { .. })));
        assert!(faults.take("POST", "/x/submit").is_none());
        faults.add(Fault::always(401, "no"));
        assert!((0..100).all(|_| faults.take("GET", "/any").is_some()));
    }
}
