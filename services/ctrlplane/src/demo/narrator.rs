//! Tells the story as it happens, line by line, with the time. It knows words, not what leads to them.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::sync::Arc;

use domain::Timestamp;
use domain::job::{JobStatus, JobView};

use super::platforms::Platform;

/// Where the story goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Voice {
    /// For people.
    Stdout,
    /// Beside a result on stdout.
    Stderr,
}

/// Tells; clones tell the same story.
#[derive(Clone)]
pub(crate) struct Narrator {
    voice: Voice,
    names: Arc<Names>,
}

/// Names of release targets by their resource, which events give by id.
pub(crate) type Names = BTreeMap<domain::id::ResourceId, String>;

impl Narrator {
    /// One that knows these names of resources.
    pub(crate) fn new(voice: Voice, names: Names) -> Self {
        Self { voice, names: Arc::new(names) }
    }

    /// A new act.
    pub(crate) fn act(&self, title: &str) {
        self.write(&format!("\n── {title} {}", "─".repeat(74_usize.saturating_sub(title.chars().count()))));
    }

    /// Something that somebody does.
    pub(crate) fn deed(&self, who: &str, what: &str) {
        self.line('→', &format!("{who:<11} {what}"));
    }

    /// Something to note.
    pub(crate) fn note(&self, what: &str) {
        self.line(' ', &format!("{:<11} {what}", ""));
    }

    /// Why something is as it is, rule by rule.
    pub(crate) fn why(&self, lines: &[String]) {
        lines.iter().for_each(|line| self.line(' ', &format!("{:<11} {line}", "")));
    }

    /// A job has changed.
    pub(crate) fn job(&self, before: Option<&JobView>, job: &JobView) {
        let same = before.is_some_and(|before| {
            before.status == job.status
                && before.cancelling == job.cancelling
                && before.external == job.external
        });
        if same {
            return;
        }
        let place = self.name_of(job);
        let word = match (job.cancelling && !job.status.is_terminal(), job.status) {
            (true, _) => "cancelling".to_owned(),
            (false, status) => status.to_string(),
        };
        let mut text = format!("{:<11} {place:<26} {:<15} {} {word}", "job", platform_of(job), job.version);
        if let Some(message) = job.message.as_deref().filter(|_| says_more(job.status)) {
            text.push_str(&format!(" ({message})"));
        }
        let url = job.external.as_ref().and_then(|external| external.url.as_deref());
        let known = before.is_some_and(|before| before.external.is_some());
        if let Some(url) = url.filter(|_| !known) {
            text.push_str(&format!("  {url}"));
        }
        self.line(sign(job.status), &text);
    }

    /// Any line, without a time.
    pub(crate) fn write(&self, line: &str) {
        let written = match self.voice {
            Voice::Stdout => writeln!(std::io::stdout().lock(), "{line}"),
            Voice::Stderr => writeln!(std::io::stderr().lock(), "{line}"),
        };
        if let Err(error) = written {
            tracing::debug!(%error, "nobody listens to the story");
        }
    }

    fn line(&self, sign: char, text: &str) {
        self.write(format!("{} {sign} {text}", clock(bus::clock::now())).trim_end());
    }

    fn name_of(&self, job: &JobView) -> String {
        if job.purpose.run().is_some() {
            return format!("workflow job {}", job.label());
        }
        let resource =
            self.names.get(&job.target.resource).cloned().unwrap_or_else(|| job.target.resource.to_string());
        format!("{}/{resource}", job.environment)
    }
}

/// Who runs the job, as soon as that is known.
fn platform_of(job: &JobView) -> &'static str {
    let slug = job.platform.as_ref().map(|platform| platform.as_str());
    Platform::ALL.into_iter().find(|platform| Some(platform.slug()) == slug).map_or("", Platform::name)
}

fn clock(now: Timestamp) -> String {
    now.format("%H:%M:%S%.3f").to_string()
}

fn sign(status: JobStatus) -> char {
    match status {
        JobStatus::Pending | JobStatus::Queued => '·',
        JobStatus::InProgress => '▸',
        JobStatus::ActionRequired => '!',
        JobStatus::Successful => '✓',
        JobStatus::Failure
        | JobStatus::InvalidJobAgent
        | JobStatus::InvalidIntegration
        | JobStatus::ExternalRunNotFound => '✗',
        JobStatus::Cancelled | JobStatus::Skipped => '■',
    }
}

/// Whether people want to know more than the status.
fn says_more(status: JobStatus) -> bool {
    match status {
        JobStatus::Pending | JobStatus::Queued | JobStatus::InProgress | JobStatus::Successful => false,
        JobStatus::ActionRequired
        | JobStatus::Failure
        | JobStatus::InvalidJobAgent
        | JobStatus::InvalidIntegration
        | JobStatus::ExternalRunNotFound
        | JobStatus::Cancelled
        | JobStatus::Skipped => true,
    }
}
