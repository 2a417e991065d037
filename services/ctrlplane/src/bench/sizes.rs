//! How large the messages of our four hops are, so that the bare bus carries the same.

use anyhow::Context as _;
use bus::Bus;
use bus::topology::{COMMANDS, EVALUATE, JOBS, TRIGGERS};
use serde::Serialize;

use super::catalog;

/// What a message of the bare bus takes beside its body: subject, headers, the store's own record.
const RAW_OVERHEAD_BYTES: u64 = 100;

/// Stored bytes of an average message, by hop.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Sizes {
    trigger: u64,
    evaluate: u64,
    job: u64,
    command: u64,
}

impl Sizes {
    /// Bodies that make messages of the bare bus as large.
    pub(super) fn in_order(self) -> [usize; 4] {
        [self.trigger, self.evaluate, self.job, self.command].map(|bytes| {
            usize::try_from(bytes.saturating_sub(RAW_OVERHEAD_BYTES)).unwrap_or(usize::MAX).max(1)
        })
    }
}

/// Of what is in the streams now.
pub(super) async fn of(bus: &Bus) -> anyhow::Result<Sizes> {
    Ok(Sizes {
        trigger: webhook(bus).await?,
        evaluate: average(bus, EVALUATE.name).await?,
        job: average(bus, JOBS.name).await?,
        command: average(bus, COMMANDS.name).await?,
    })
}

/// One that we sent: the platform's own news of runs are in the same stream and on another path.
async fn webhook(bus: &Bus) -> anyhow::Result<u64> {
    let stream = bus.jetstream().get_stream(TRIGGERS.name).await.context(TRIGGERS.name)?;
    let subject = format!("ctrlplane.trigger.*.*.{}", catalog::event_of(0));
    let message = stream.get_last_raw_message_by_subject(&subject).await.context(subject)?;
    let headers: usize = message
        .headers
        .iter()
        .map(|(name, values)| {
            values
                .iter()
                .map(|value| AsRef::<str>::as_ref(name).len() + value.as_str().len() + 4)
                .sum::<usize>()
        })
        .sum();
    Ok((message.payload.len() + headers + message.subject.len()) as u64)
}

async fn average(bus: &Bus, name: &str) -> anyhow::Result<u64> {
    let stream = bus.jetstream().get_stream(name).await.with_context(|| name.to_owned())?;
    let state = &stream.cached_info().state;
    Ok(state.bytes / state.messages.max(1))
}
