//! A job as its facts made it, with what of that has to be told: pure.

use domain::job::{JobEvent, JobState, JobView, Phase, evolve};
use domain::token::Slug;
use projections::HistoryEntry;
use serde_json::Value;

/// Under which platform's subjects a job's status stands; `None`: under those of no platform.
pub(crate) type Place = Option<Slug>;

/// The fold of a job's facts.
#[derive(Debug, Clone)]
pub(crate) struct Folded {
    /// After the last fact.
    pub(crate) state: JobState,
    /// The sequence of the last fact.
    pub(crate) sequence: u64,
    /// Where its status stood before it stood where it stands.
    pub(crate) left: Vec<Place>,
}

impl Folded {
    /// All facts of a job, oldest first, with an entry of its timeline for each; `None` without any.
    pub(crate) fn of(events: &[(u64, JobEvent)]) -> Option<(Self, Vec<HistoryEntry>)> {
        let mut folded: Option<Self> = None;
        let mut entries = Vec::with_capacity(events.len());
        for (sequence, event) in events {
            let (next, entry) = Self::after(folded, *sequence, event);
            folded = Some(next);
            entries.push(entry);
        }
        folded.map(|folded| (folded, entries))
    }

    /// One fact more.
    pub(crate) fn after(before: Option<Self>, sequence: u64, event: &JobEvent) -> (Self, HistoryEntry) {
        let (state, mut left, stood) = match before {
            Some(Self { state, left, .. }) => {
                let stood = place_of(&state);
                (Some(state), left, stood)
            }
            None => (None, Vec::new(), None),
        };
        let mut state = evolve(state, event);
        drop_context(&mut state);
        let stands = place_of(&state);
        if let Some(stood) = stood
            && stands.as_ref() != Some(&stood)
            && !left.contains(&stood)
        {
            left.push(stood);
        }
        left.retain(|place| stands.as_ref() != Some(place));
        let entry = HistoryEntry::of(sequence, event, &state);
        (Self { state, sequence, left }, entry)
    }

    /// What everybody may see.
    pub(crate) fn view(&self) -> JobView {
        JobView::of(&self.state, self.sequence)
    }

    /// Where its status stands; `None` while there is nothing to tell yet.
    pub(crate) fn place(&self) -> Option<Place> {
        place_of(&self.state)
    }
}

/// A job that no platform has is told of only when it waits for long, or ended so: else its status would appear under
/// one subject and move to another a moment later.
fn place_of(state: &JobState) -> Option<Place> {
    match (&state.assigned, &state.phase) {
        (Some(assigned), _) => Some(Some(assigned.dispatch.platform.clone())),
        (None, Phase::Held { .. } | Phase::Finished { .. }) => Some(None),
        (
            None,
            Phase::Requested
            | Phase::Dispatched
            | Phase::Triggering { .. }
            | Phase::Unknown { .. }
            | Phase::Running { .. }
            | Phase::Cancelling(_),
        ) => None,
    }
}

/// The dispatch context is large and in the fact; nothing here needs it.
pub(crate) fn drop_context(state: &mut JobState) {
    if let Some(assigned) = &mut state.assigned {
        assigned.dispatch.context = Value::Null;
    }
}
