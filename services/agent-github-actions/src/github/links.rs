//! Deep links for people: the run, its logs, the workflow file it runs. Made of what a run shows, never guessed.

use super::run::Run;
use domain::job::Links;

/// The links of a run.
pub(super) fn of_run(run: &Run) -> Links {
    let Some(page) = run.html_url.as_deref() else { return Links::new() };
    let mut links = of_page(page, run.attempt());
    let file = run.path.as_deref().map(|path| path.split('@').next().unwrap_or(path));
    if let (Some(repo), Some(file), Some(sha)) = (repo_page(page), file, &run.head_sha) {
        links.insert("workflow".to_owned(), format!("{repo}/blob/{sha}/{file}"));
    }
    links
}

/// The links of a run of which only its page is known.
pub(super) fn of_page(page: &str, attempt: u32) -> Links {
    let page = page.trim_end_matches('/');
    [("run", page.to_owned()), ("logs", format!("{page}/attempts/{attempt}"))]
        .map(|(name, url)| (name.to_owned(), url))
        .into()
}

fn repo_page(run_page: &str) -> Option<&str> {
    run_page.split_once("/actions/runs/").map(|(repo, _)| repo)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_run_leads_to_itself_its_attempts_logs_and_its_file() {
        let run: Run = serde_json::from_value(json!({
            "id": 30, "run_attempt": 2, "head_sha": "abc", "path": ".github/workflows/deploy.yml@refs/heads/main",
            "html_url": "https://github.com/acme/shop/actions/runs/30",
        }))
        .unwrap();
        let links: Vec<(String, String)> = of_run(&run).into_iter().collect();
        let expected = [
            ("logs", "https://github.com/acme/shop/actions/runs/30/attempts/2"),
            ("run", "https://github.com/acme/shop/actions/runs/30"),
            ("workflow", "https://github.com/acme/shop/blob/abc/.github/workflows/deploy.yml"),
        ];
        assert_eq!(links, expected.map(|(name, url)| (name.to_owned(), url.to_owned())));
    }

    #[test]
    fn a_run_without_a_page_leads_nowhere() {
        let run: Run = serde_json::from_value(json!({ "id": 30, "path": "x", "head_sha": "abc" })).unwrap();
        assert!(of_run(&run).is_empty());
    }
}
