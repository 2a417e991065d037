//! `ctrlplane open` and `ctrlplane logs`: where a job can be looked at on its platform; in a browser where there is one.

use std::io::IsTerminal as _;
use std::process::Stdio;

use clap::Args;
use domain::job::JobView;

use super::args::ClientArgs;
use super::failure::Failure;
use super::job;
use super::jobs;
use super::output::{self, Format};
use super::session::{Session, variable};
use super::words::plain;

#[derive(Debug, Args)]
pub(crate) struct OpenArgs {
    /// A job's id, or the first characters of one
    job: String,
    /// Only print the link
    #[arg(long)]
    print: bool,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

/// Which page is meant.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Page {
    Run,
    Logs,
}

pub(super) async fn run(session: &Session, args: &OpenArgs, page: Page) -> Result<(), Failure> {
    let view = job::load(session, &args.job).await?;
    let Some(link) = link(&view, page).map(plain) else {
        let status = view.status;
        return Err(Failure::Refused(format!(
            "the job has nothing to look at on its platform yet; it is {status}"
        )));
    };
    match session.format {
        Format::Json => output::json(&view.links),
        Format::Yaml => output::yaml(&view.links),
        Format::Name => output::line(&link),
        Format::Table => {
            output::line(&link)?;
            if !args.print && std::io::stdout().is_terminal() {
                browse(&link);
            }
            Ok(())
        }
    }
}

/// The page of the run; for logs, the platform's own page of them where it has one.
fn link(view: &JobView, page: Page) -> Option<&str> {
    let logs = || view.links.iter().find(|(name, _)| name.to_ascii_lowercase().contains("log"));
    match page {
        Page::Logs => logs().map(|(_, url)| url.as_str()).or_else(|| jobs::link(view)),
        Page::Run => jobs::link(view),
    }
}

/// Starts the browser; the link is printed anyway, so that nothing is lost where there is none.
fn browse(link: &str) {
    // A link comes from a platform: nothing but a web address is given to a program of this machine.
    if !link.starts_with("https://") && !link.starts_with("http://") {
        return;
    }
    let has_screen = cfg!(target_os = "macos")
        || ["DISPLAY", "WAYLAND_DISPLAY"].into_iter().any(|name| variable(name).is_some());
    let program = match variable("BROWSER") {
        Some(browser) => browser,
        None if !has_screen => return,
        None if cfg!(target_os = "macos") => "open".to_owned(),
        None => "xdg-open".to_owned(),
    };
    let started = std::process::Command::new(&program)
        .arg(link)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    if let Err(error) = started {
        eprintln!("{program} does not start: {error}");
    }
}

#[cfg(test)]
mod tests {
    use super::super::told::tests::job;
    use super::*;
    use domain::job::JobStatus;

    #[test]
    fn logs_have_a_page_of_their_own_where_the_platform_has_one() {
        let mut view = job(1, 1, JobStatus::InProgress);
        assert_eq!(link(&view, Page::Logs), None);
        view.links.insert("run".to_owned(), "https://x/run".to_owned());
        assert_eq!(link(&view, Page::Logs), Some("https://x/run"));
        view.links.insert("Logs".to_owned(), "https://x/logs".to_owned());
        assert_eq!(link(&view, Page::Logs), Some("https://x/logs"));
        assert_eq!(link(&view, Page::Run), Some("https://x/run"));
    }
}
