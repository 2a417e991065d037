//! Effects that come when nobody waits for them any more: the connection of their call is cut, and they happen all the same.

use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// No request comes near this.
const BODY_BYTES_MAX: usize = 64 * 1024 * 1024;

/// The request with all of its body: it can be worked though its sender has gone away.
///
/// # Errors
/// The answer for a body that does not come, or is too large.
#[allow(clippy::result_large_err, reason = "an answer is what it is")]
pub async fn whole(request: Request) -> Result<Request, Response> {
    let (parts, body) = request.into_parts();
    match to_bytes(body, BODY_BYTES_MAX).await {
        Ok(body) => Ok(Request::from_parts(parts, Body::from(body))),
        Err(error) => Err((StatusCode::BAD_REQUEST, error.to_string()).into_response()),
    }
}

/// Effects still to come.
#[derive(Debug, Default)]
pub struct Late {
    effects: TaskTracker,
    hurried: watch::Sender<u64>,
}

impl Late {
    /// Lets the effect happen after that time, or as soon as somebody hurries; not at all once stopped.
    pub fn put_off(
        &self,
        after: Duration,
        stop: CancellationToken,
        effect: impl Future<Output = ()> + Send + 'static,
    ) {
        let mut hurried = self.hurried.subscribe();
        self.effects.spawn(async move {
            tokio::select! {
                () = tokio::time::sleep(after) => {}
                Ok(()) = hurried.changed() => {}
                () = stop.cancelled() => return,
            }
            effect.await;
        });
    }

    /// Lets everything happen now that was put off; it has when this returns.
    pub async fn hurry(&self) {
        self.hurried.send_modify(|n| *n = n.wrapping_add(1));
        self.effects.close();
        self.effects.wait().await;
        self.effects.reopen();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    #[tokio::test]
    async fn an_effect_waits_until_somebody_hurries_and_a_stop_ends_it() {
        let (late, stop) = (Late::default(), CancellationToken::new());
        let happened = Arc::new(AtomicBool::new(false));
        let effect = |happened: Arc<AtomicBool>| async move { happened.store(true, Ordering::Release) };
        late.put_off(Duration::from_secs(3_600), stop.clone(), effect(Arc::clone(&happened)));
        tokio::task::yield_now().await;
        assert!(!happened.load(Ordering::Acquire));
        late.hurry().await;
        assert!(happened.load(Ordering::Acquire));

        let never = Arc::new(AtomicBool::new(false));
        stop.cancel();
        late.put_off(Duration::from_secs(3_600), stop, effect(Arc::clone(&never)));
        while !late.effects.is_empty() {
            tokio::task::yield_now().await;
        }
        assert!(!never.load(Ordering::Acquire));
    }
}
