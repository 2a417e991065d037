//! Deliveries: proved, sent over a few ordered lanes, remembered, sent again when asked for.
//! All deliveries about one pipeline share a lane, so they arrive in order unless a fault says otherwise.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use tokio::sync::mpsc;
use uuid::Uuid;

use crate::options;
use crate::payload;
use crate::shared::{DELIVERIES_KEPT, Shared, State, remember};
use crate::timers::Timer;
use misbehaviour::HookFaultKind;

/// How many deliveries go out side by side, and how many may wait in each lane.
pub(crate) const LANES: usize = 8;
pub(crate) const LANE_DEPTH: usize = 16_384;
/// The id of the only hook.
pub const HOOK_ID: u64 = 1;
/// A reordered delivery waits this long for one to overtake it.
const OVERTAKING_PATIENCE: Duration = Duration::from_secs(1);

/// One attempt to deliver an event.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// Number in the hook's list of events.
    pub id: u64,
    /// `webhook-id` and `Idempotency-Key`: the same for every attempt.
    pub key: String,
    /// `X-Gitlab-Event`.
    pub event: String,
    /// The status it tells.
    pub told: String,
    pub pipeline_id: Option<u64>,
    pub delivered_at: DateTime<Utc>,
    pub duration: Duration,
    /// HTTP status, or 0 if there was no answer (or the delivery was lost on purpose).
    pub status_code: u16,
    pub payload: Bytes,
}

impl Delivery {
    /// Anything but 2xx.
    pub fn failed(&self) -> bool {
        !(200..300).contains(&self.status_code)
    }
}

/// What there is to tell of a pipeline.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Event {
    /// That its status changed.
    Pipeline,
    /// That the status of this job of it changed.
    Job(u64),
}

/// A delivery on its way.
#[derive(Clone, Debug)]
pub(crate) struct Hook {
    pub(crate) key: String,
    pub(crate) event: String,
    pub(crate) told: String,
    pub(crate) pipeline_id: Option<u64>,
    pub(crate) payload: Bytes,
    /// Times it is sent; 0 is a lost delivery.
    pub(crate) copies: u32,
}

impl Hook {
    /// The same delivery once more.
    pub(crate) fn again(of: &Delivery) -> Self {
        Self {
            key: of.key.clone(),
            event: of.event.clone(),
            told: of.told.clone(),
            pipeline_id: of.pipeline_id,
            payload: of.payload.clone(),
            copies: 1,
        }
    }
}

impl State {
    /// Announces a transition, if anybody subscribed, as faithfully as the faults allow.
    pub(crate) fn emit(&mut self, id: u64, event: Event) {
        let Some(to) = self.hook.clone() else { return };
        let Some(record) = self.pipelines.get(&id) else { return };
        let pipeline = &record.pipeline;
        let (name, told, payload) = match event {
            Event::Pipeline if to.pipeline_events => {
                ("Pipeline Hook", pipeline.status.clone(), payload::pipeline_hook(&self.base_url, pipeline))
            }
            Event::Job(job) if to.job_events => {
                let Some(job) = pipeline.jobs.iter().find(|other| other.id == job && !other.is_bridge) else {
                    return;
                };
                ("Job Hook", job.status.clone(), payload::job_hook(&self.base_url, pipeline, job))
            }
            Event::Pipeline | Event::Job(_) => return,
        };
        let mut hook = Hook {
            key: Uuid::new_v4().to_string(),
            event: name.to_owned(),
            told,
            pipeline_id: Some(id),
            payload: Bytes::from(payload.to_string()),
            copies: 1,
        };
        match self.hook_faults.take(name, &hook.told, &mut self.dice) {
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

    pub(crate) fn give_up_overtaking(&mut self, pipeline: u64) {
        if let Some(hook) = self.overtaken.remove(&pipeline) {
            self.post(hook);
        }
    }

    /// Puts a delivery on its lane; with a full lane it is lost for good, and says so in the log.
    pub(crate) fn post(&mut self, hook: Hook) {
        let lanes = self.lanes.len().max(1);
        let lane = usize::try_from(hook.pipeline_id.unwrap_or(0)).unwrap_or(0) % lanes;
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
        record(cx, &hook, 0, Duration::ZERO);
        return;
    }
    for _ in 0..hook.copies {
        send(cx, &hook).await;
    }
}

/// One attempt; its HTTP status, or 0.
pub(crate) async fn send(cx: &Shared, hook: &Hook) -> u16 {
    let to = cx.stage.lock().hook.clone();
    let begun = std::time::Instant::now();
    let status = match to {
        None => 0,
        Some(to) => post_http(cx, &to, hook).await,
    };
    record(cx, hook, status, begun.elapsed());
    status
}

async fn post_http(cx: &Shared, to: &options::Hook, hook: &Hook) -> u16 {
    let mut request = cx
        .client
        .post(&to.url)
        .header("content-type", "application/json")
        .header("x-gitlab-event", &hook.event)
        .header("x-gitlab-webhook-uuid", "4f0a2f6c-3d5c-4f62-8a0c-0d9d8f7c1b11")
        .header("x-gitlab-event-uuid", Uuid::new_v4().to_string())
        .header("x-gitlab-instance", &cx.base_url)
        .header("idempotency-key", &hook.key);
    if let Some(token) = &to.token {
        request = request.header("x-gitlab-token", token);
    }
    if let Some(signing_token) = &to.signing_token {
        let timestamp = Utc::now().timestamp().to_string();
        request = request
            .header("webhook-signature", signature(signing_token, &hook.key, &timestamp, &hook.payload))
            .header("webhook-id", &hook.key)
            .header("webhook-timestamp", timestamp);
    }
    match request.body(hook.payload.clone()).send().await {
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

/// Standard Webhooks: HMAC-SHA256 over `id.timestamp.body` with the key after `whsec_`.
pub(crate) fn signature(signing_token: &str, id: &str, timestamp: &str, body: &[u8]) -> String {
    let key = BASE64_STANDARD.decode(signing_token.trim_start_matches("whsec_")).unwrap_or_default();
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).expect("HMAC takes keys of any length");
    for part in [id.as_bytes(), b".", timestamp.as_bytes(), b".", body] {
        mac.update(part);
    }
    format!("v1,{}", BASE64_STANDARD.encode(mac.finalize().into_bytes()))
}

fn record(cx: &Shared, hook: &Hook, status_code: u16, duration: Duration) {
    cx.stage.change(|state| {
        let delivery = Delivery {
            id: state.id(),
            key: hook.key.clone(),
            event: hook.event.clone(),
            told: hook.told.clone(),
            pipeline_id: hook.pipeline_id,
            delivered_at: state.now(),
            duration,
            status_code,
            payload: hook.payload.clone(),
        };
        remember(&mut state.deliveries, delivery, DELIVERIES_KEPT);
    });
}

#[cfg(test)]
mod tests {
    use super::signature;

    /// The vector of the specification's reference libraries.
    #[test]
    fn signs_as_standard_webhooks_says() {
        let signed = signature(
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            "1614265330",
            br#"{"test": 2432232314}"#,
        );
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }
}
