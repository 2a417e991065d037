//! Deliveries: signed, numbered, sent over a few ordered lanes, remembered, never repeated by themselves.
//! All deliveries of one run share a lane, so they arrive in order unless a fault says otherwise.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use tokio::sync::mpsc;
use uuid::Uuid;

use crate::model::Run;
use crate::options::Webhook;
use crate::payload;
use crate::shared::{DELIVERIES_KEPT, Shared, State, remember};
use crate::timers::Timer;
use misbehaviour::HookFaultKind;

/// How many deliveries go out side by side, and how many may wait in each lane.
pub(crate) const LANES: usize = 8;
pub(crate) const LANE_DEPTH: usize = 16_384;
/// The id of the fake's webhook.
pub(crate) const HOOK_ID: u64 = 490_000_001;
/// A reordered delivery waits this long for one to overtake it.
const OVERTAKING_PATIENCE: Duration = Duration::from_secs(1);

/// One attempt to deliver an event.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// Number in the App's delivery list.
    pub id: u64,
    /// `X-GitHub-Delivery`: the same for every attempt.
    pub guid: String,
    pub event: String,
    pub action: Option<String>,
    pub run_id: Option<u64>,
    pub delivered_at: DateTime<Utc>,
    pub duration: Duration,
    /// HTTP status, or 0 if there was no answer (or the delivery was lost on purpose).
    pub status_code: u16,
    pub redelivery: bool,
    pub payload: Bytes,
}

impl Delivery {
    /// GitHub lists anything but 2xx as failed.
    pub fn failed(&self) -> bool {
        !(200..300).contains(&self.status_code)
    }
}

/// A delivery on its way.
#[derive(Clone, Debug)]
pub(crate) struct Hook {
    pub(crate) guid: String,
    pub(crate) event: String,
    pub(crate) action: Option<String>,
    pub(crate) run_id: Option<u64>,
    pub(crate) body: HookBody,
    pub(crate) redelivery: bool,
    /// Times it is sent; 0 is a lost delivery.
    pub(crate) copies: u32,
}

/// The payload, rendered when it is sent.
#[derive(Clone, Debug)]
pub(crate) enum HookBody {
    Run(Box<Run>),
    Ready(Bytes),
}

impl State {
    /// Announces a transition of a run, if anybody subscribed, as faithfully as the faults allow.
    pub(crate) fn emit(&mut self, id: u64, event: &str, action: &str) {
        let subscribed = self.webhook.as_ref().is_some_and(|w| w.events.iter().any(|e| e == event));
        let Some(record) = self.runs.get(&id).filter(|_| subscribed) else { return };
        let mut hook = Hook {
            guid: Uuid::new_v4().to_string(),
            event: event.to_owned(),
            action: Some(action.to_owned()),
            run_id: Some(id),
            body: HookBody::Run(Box::new(record.run.clone())),
            redelivery: false,
            copies: 1,
        };
        match self.hook_faults.take(event, action, &mut self.dice) {
            None => {}
            Some(HookFaultKind::Drop) => hook.copies = 0,
            Some(HookFaultKind::Repeat(more)) => hook.copies += more,
            Some(HookFaultKind::Delay(by)) => return self.timers.set(by, Timer::Send(Box::new(hook))),
            Some(HookFaultKind::Reorder) => {
                self.timers.set(OVERTAKING_PATIENCE, Timer::GiveUpOvertaking { run: id });
                if let Some(earlier) = self.overtaken.insert(id, hook) {
                    self.post(earlier);
                }
                return;
            }
        }
        self.post(hook);
        self.give_up_overtaking(id);
    }

    pub(crate) fn give_up_overtaking(&mut self, run: u64) {
        if let Some(hook) = self.overtaken.remove(&run) {
            self.post(hook);
        }
    }

    /// Puts a delivery on its lane; with a full lane it is lost for good, and says so in the log.
    pub(crate) fn post(&mut self, hook: Hook) {
        let lanes = self.lanes.len().max(1);
        let lane = usize::try_from(hook.run_id.unwrap_or(0)).unwrap_or(0) % lanes;
        let Some(sender) = self.lanes.get(lane) else { return };
        if let Err(error) = sender.try_send(hook) {
            tracing::warn!(%error, lane, "a delivery is lost: the lane is full or closed");
        }
    }
}

/// Sends what comes down one lane until the fake stops.
pub(crate) async fn run(cx: Arc<Shared>, mut lane: mpsc::Receiver<Hook>) {
    loop {
        let hook = tokio::select! {
            hook = lane.recv() => hook,
            () = cx.stage.stop().cancelled() => return,
        };
        let Some(hook) = hook else { return };
        tokio::select! {
            () = send_copies(&cx, hook) => {}
            () = cx.stage.stop().cancelled() => return,
        }
    }
}

async fn send_copies(cx: &Shared, hook: Hook) {
    if hook.copies == 0 {
        let payload = payload_of(cx, &hook);
        record(cx, &hook, payload, 0, Duration::ZERO);
        return;
    }
    for _ in 0..hook.copies {
        send(cx, &hook).await;
    }
}

/// One attempt; its HTTP status, or 0.
pub(crate) async fn send(cx: &Shared, hook: &Hook) -> u16 {
    let payload = payload_of(cx, hook);
    let webhook = cx.stage.lock().webhook.clone();
    let begun = std::time::Instant::now();
    let status = match webhook {
        None => 0,
        Some(webhook) => post_http(cx, &webhook, hook, payload.clone()).await,
    };
    record(cx, hook, payload, status, begun.elapsed());
    status
}

async fn post_http(cx: &Shared, webhook: &Webhook, hook: &Hook, payload: Bytes) -> u16 {
    let request = cx
        .client
        .post(&webhook.url)
        .header("content-type", "application/json")
        .header("accept", "*/*")
        .header("x-github-event", &hook.event)
        .header("x-github-delivery", &hook.guid)
        .header("x-github-hook-id", HOOK_ID.to_string())
        .header("x-github-hook-installation-target-type", "integration")
        .header("x-hub-signature-256", signature(&webhook.secret, &payload))
        .body(payload);
    match request.send().await {
        Ok(response) => {
            let status = response.status().as_u16();
            // Read to the end, so that the connection can be used again.
            if let Err(error) = response.bytes().await {
                tracing::debug!(%error, "the answer to a delivery broke off");
            }
            status
        }
        Err(error) => {
            tracing::debug!(%error, event = hook.event, "a delivery failed");
            0
        }
    }
}

/// `X-Hub-Signature-256`: HMAC-SHA256 over the raw body.
pub(crate) fn signature(secret: &str, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("HMAC takes keys of any length");
    mac.update(body);
    format!("sha256={}", hex::encode(mac.finalize().into_bytes()))
}

fn payload_of(cx: &Shared, hook: &Hook) -> Bytes {
    match &hook.body {
        HookBody::Ready(bytes) => bytes.clone(),
        HookBody::Run(run) => {
            let action = hook.action.as_deref().unwrap_or_default();
            let payload = if hook.event == "workflow_job" {
                payload::job_event(&cx.base_url, run, action)
            } else {
                payload::run_event(&cx.base_url, run, action)
            };
            Bytes::from(payload.to_string())
        }
    }
}

fn record(cx: &Shared, hook: &Hook, payload: Bytes, status_code: u16, duration: Duration) {
    cx.stage.change(|state| {
        let id = state.next_delivery_id;
        state.next_delivery_id += 1;
        let delivery = Delivery {
            id,
            guid: hook.guid.clone(),
            event: hook.event.clone(),
            action: hook.action.clone(),
            run_id: hook.run_id,
            delivered_at: state.now(),
            duration,
            status_code,
            redelivery: hook.redelivery,
            payload,
        };
        remember(&mut state.deliveries, delivery, DELIVERIES_KEPT);
    });
}

#[cfg(test)]
mod tests {
    use super::signature;

    /// The example of docs.github.com "Validating webhook deliveries".
    #[test]
    fn signs_as_github_documents() {
        let expected = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
        assert_eq!(signature("It's a Secret to Everybody", b"Hello, World!"), expected);
    }
}
