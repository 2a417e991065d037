//! One job: how it is and was, and wishes.

use domain::job::JobView;
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use super::args::{JobArgs, WishArgs};
use super::failure::Failure;
use super::jobs;
use super::output::{self, Format};
use super::session::Session;
use super::table::Table;
use super::words::{one_line, plain, short, stamp, status_at, text_at, time_at};

/// A beginning of an id is looked for among so many newest jobs.
const LOOK_AMONG: u32 = 5_000;
const PREFIX_CHARS_MIN: usize = 4;
/// A cause takes no more of the history's width.
const BY_CHARS: usize = 60;
/// How the causes of facts begin that are a command to an agent: its subject, which says nothing to people.
const COMMANDS: &str = "ctrlplane.command.";

/// `ctrlplane job`
pub(super) async fn show(session: &Session, args: &JobArgs) -> Result<(), Failure> {
    let id = find(session, &args.job).await?;
    let answer = session.get(&["jobs", &id], &[]).await?;
    match session.format {
        Format::Json => output::json(&answer),
        Format::Yaml => output::yaml(&answer),
        Format::Name => output::line(&format!("job/{id}")),
        Format::Table => {
            let view = view(&answer)?;
            let place = jobs::Places::load(session).await?.find(&view).await?;
            output::print(&told(&view, &answer, &place))
        }
    }
}

/// A job by its id, or the first characters of one.
pub(super) async fn load(session: &Session, text: &str) -> Result<JobView, Failure> {
    let id = find(session, text).await?;
    view(&session.get(&["jobs", &id], &[]).await?)
}

/// `ctrlplane cancel` and `ctrlplane retry`
pub(super) async fn wish(session: &Session, args: &WishArgs, verb: &str) -> Result<(), Failure> {
    let id = find(session, &args.job).await?;
    let path = session.below(&["jobs", &id, verb]).await?;
    let body = json!({ "reason": args.reason });
    let answer = session.api.send_json(Method::POST, &path, &[], &body).await?;
    match session.format {
        Format::Json => output::json(&answer),
        Format::Yaml => output::yaml(&answer),
        Format::Name => output::line(&format!("job/{id}")),
        Format::Table => output::line(&format!("job/{id} {}", plain(&text_at(&answer, "/message")))),
    }
}

/// The whole id of a job of which the first characters are given.
async fn find(session: &Session, text: &str) -> Result<String, Failure> {
    let text = text.strip_prefix("job/").unwrap_or(text).to_ascii_lowercase();
    if Uuid::parse_str(&text).is_ok() {
        return Ok(text);
    }
    if text.len() < PREFIX_CHARS_MIN || !text.chars().all(|c| c.is_ascii_hexdigit() || c == '-') {
        return Err(Failure::Usage(format!(
            "{text:?} is neither a job's id nor the first characters of one"
        )));
    }
    let jobs = jobs::newest(session, Vec::new(), LOOK_AMONG).await?;
    only(&text, jobs.iter().map(|job| job.id.to_string()))
}

fn only(prefix: &str, ids: impl Iterator<Item = String>) -> Result<String, Failure> {
    let mut found = ids.filter(|id| id.starts_with(prefix));
    match (found.next(), found.next()) {
        (Some(id), None) => Ok(id),
        (None, _) => {
            Err(Failure::Refused(format!("there is no job {prefix}… among the newest {LOOK_AMONG}")))
        }
        (Some(one), Some(other)) => Err(Failure::Usage(format!(
            "{prefix} is the beginning of several jobs, such as {one} and {other}"
        ))),
    }
}

fn view(answer: &Value) -> Result<JobView, Failure> {
    serde_json::from_value(answer.clone())
        .map_err(|error| Failure::Refused(format!("the API's job cannot be read: {error}")))
}

fn told(job: &JobView, answer: &Value, place: &str) -> String {
    let mut text = String::new();
    for (name, value) in jobs::details(job, place) {
        text.push_str(&format!("{:<12} {}\n", format!("{name}:"), one_line(&value)));
    }
    if !job.links.is_empty() {
        text.push_str("\nLinks\n");
        for (name, url) in &job.links {
            text.push_str(&format!("  {:<10} {}\n", one_line(name), one_line(url)));
        }
    }
    let mut table = Table::new(["AT", "FACT", "STATUS", "BY", "LAG", "MESSAGE"]);
    for entry in answer["history"].as_array().into_iter().flatten() {
        let lag = entry["lagMs"].as_i64().map(|ms| format!("{ms}ms")).unwrap_or_default();
        let by = match text_at(entry, "/cause") {
            cause if cause.is_empty() => text_at(entry, "/source"),
            cause if cause.starts_with(COMMANDS) => "a command".to_owned(),
            cause => cause,
        };
        table.row([
            time_at(entry, "/at").map(stamp).unwrap_or_default(),
            text_at(entry, "/fact"),
            status_at(entry, "/status"),
            short(&by, BY_CHARS),
            lag,
            text_at(entry, "/message"),
        ]);
    }
    text.push_str("\nHistory\n");
    for line in table.render().lines() {
        text.push_str(&format!("  {line}\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_beginning_of_an_id_is_enough_where_it_is_the_only_one() {
        let ids = || ["abcd1", "abcd2", "ffff0"].into_iter().map(str::to_owned);
        assert_eq!(only("ffff", ids()), Ok("ffff0".to_owned()));
        assert!(matches!(only("abcd", ids()), Err(Failure::Usage(_))));
        assert!(matches!(only("0000", ids()), Err(Failure::Refused(_))));
    }
}
