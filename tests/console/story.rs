//! The story of the demo, by clicks: a push that goes all the way once somebody said yes, one that fails on GitLab, one that
//! hangs on GitHub and is cancelled; then a freeze, a dead letter, and the keyboard. The page is never loaded anew.

use fake_github::{Conclusion, Script};
use serde_json::json;
use system_tests::eventually;

use crate::stage::{Stage, WITHIN, held_on};

const KEY: &str = "an-admin-key-of-the-tests";
const ESCAPE: &str = "\u{E00C}";
const TAB: &str = "\u{E004}";
const ENTER: &str = "\u{E007}";

/// In at an issuer and out again.
pub(crate) async fn signs_in_at_an_issuer(stage: &Stage<'_>) {
    let browser = stage.browser;
    browser.open(stage.system.client.base()).await;
    browser.click("a", "Sign in with Example").await;
    browser.read("h1", "Overview").await;
    browser.read("main", "Nothing runs").await;
    browser.click(".nav a", "Jobs").await;
    browser.read("h1", "Jobs").await;
    browser.click(".side button", "Sign out ann@example.com").await;
    browser.see("#key").await;
    // Whoever goes back is not let in.
    browser.open(&stage.url("acme/jobs")).await;
    browser.see("#key").await;
}

pub(crate) async fn signs_in(stage: &Stage<'_>) {
    let browser = stage.browser;
    browser.open(stage.system.client.base()).await;
    browser.write("#key", "a wrong key").await;
    browser.click("button", "Sign in").await;
    browser.read("#key-fault", "No such key").await;
    browser.run("document.getElementById('key').value = ''", json!([])).await;
    // The key was refused, and the browser noted so.
    let refused = browser.complaints().await;
    assert!(refused.iter().all(|line| line.contains("Failed to load resource")), "{refused:#?}");
    browser.write("#key", KEY).await;
    browser.click("button", "Sign in").await;
    browser.read("h1", "Overview").await;
    browser.read("main", "Nothing runs").await;
    browser.read(".side .live", "Live").await;
    // A session that the API did not end is not called over.
    let away = "window.fetched = window.fetch; window.fetch = (url, how) => \
                how?.method === 'DELETE' ? Promise.reject(new TypeError('away')) : window.fetched(url, how)";
    browser.run(away, json!([])).await;
    browser.click(".side button", "Sign out bootstrap").await;
    browser.read("#said", "still signed in").await;
    browser.read("h1", "Overview").await;
    browser.run("window.fetch = window.fetched", json!([])).await;
    // Whoever loads the page anew would lose this.
    browser.run("window.kept = true", json!([])).await;
}

pub(crate) async fn goes_all_the_way(stage: &Stage<'_>) {
    let browser = stage.browser;
    stage.push("v1", "Add a basket", Script::hold(), fake_gitlab::Script::hold()).await;
    browser.read("[aria-labelledby=now]", "GitHub Actions").await;
    browser.read("[aria-labelledby=now]", "GitLab CI/CD").await;
    browser.read("[aria-labelledby=now]", "Running").await;
    stage.job("v1", "staging-eu-1", "in_progress").await;
    stage.job("v1", "staging-us-1", "in_progress").await;
    assert!(stage.system.github.set_script("acme/shop", "deploy.yml", Script::success()));
    assert!(stage.gitlab.set_script("acme/shop", fake_gitlab::Script::success()));
    stage.system.github.complete_held(&Conclusion::Success);
    for pipeline in stage.gitlab.pipelines() {
        assert!(stage.gitlab.set_status(pipeline.id, "success"));
    }
    browser.read("[aria-labelledby=latest]", "Successful").await;
    browser.read("[aria-labelledby=people]", "0 of 1 approvals").await;
    browser.click("button", "Approve v1 for production").await;
    browser.write("dialog textarea", "looks good on staging").await;
    browser.click("dialog button", "Approve").await;
    browser.read("#said", "approved").await;
    browser.click(".nav a", "Deployments").await;
    browser.read(".matrix", "v1").await;
    browser.read("[aria-labelledby=rollouts]", "4 of 4 done").await;
    for resource in ["production-eu-1", "production-eu-2", "production-us-1", "production-us-2"] {
        stage.job("v1", resource, "successful").await;
    }
    browser.read("td[data-label=production]", "Up to date").await;
}

pub(crate) async fn fails_on_staging(stage: &Stage<'_>) {
    let browser = stage.browser;
    browser.click(".nav a", "Overview").await;
    stage.push("v2", "Remove the basket", Script::success(), fake_gitlab::Script::failure()).await;
    browser.read("[aria-labelledby=failures]", "staging / staging-us-1").await;
    browser.click("a", "Open job").await;
    browser.read("h1", "staging-us-1").await;
    browser.read(".pill", "Failed").await;
    browser.read("[aria-labelledby=history]", "A webhook came in").await;
    browser.read("[aria-labelledby=history]", "Ended").await;
    browser.read("[aria-labelledby=journey]", "in all").await;
    browser.click("main a", "Why").await;
    browser.read("[aria-labelledby=chain]", "It became version v2").await;
    browser.click(".nav a", "Policies").await;
    for rule in ["Progression", "environment.name == 'staging'", "1 person says yes", "Gradual rollout"] {
        browser.read("main .rule-list", rule).await;
    }
    browser.read("main", "Holds back 4 targets").await;
    browser.click("main a", "Holds back 4 targets").await;
    browser.read("main tbody", "production").await;
    let address = browser.run("return location.search", json!([])).await;
    assert_eq!(address, "?state=waiting", "filters are in the address");
}

pub(crate) async fn is_cancelled(stage: &Stage<'_>) {
    let browser = stage.browser;
    browser.click(".nav a", "Jobs").await;
    stage.push("v3", "Rewrite the basket", held_on("staging-eu-1"), fake_gitlab::Script::success()).await;
    stage.job("v3", "staging-eu-1", "in_progress").await;
    browser.read("main tbody", "v3").await;
    browser.click("main tbody a", "web v3 → staging / staging-eu-1").await;
    browser.read(".pill", "Running").await;
    browser.click("main button", "Cancel").await;
    browser.write("dialog input", "it hangs").await;
    browser.click("dialog button", "Cancel the job").await;
    browser.read(".pill", "Cancelled").await;
    browser.read("[aria-labelledby=history]", "Somebody wishes it to end").await;
    let job = stage.job("v3", "staging-eu-1", "cancelled").await;
    assert_eq!(job["reason"], "cancelled_by_user");
}

/// The cancelled job runs again and ends well; a person says no to the version for production, another person's word skips
/// that rule; then what ran before is pinned, and brought once more.
pub(crate) async fn is_put_right(stage: &Stage<'_>) {
    let browser = stage.browser;
    browser.click("main button", "Retry").await;
    browser.click("dialog button", "Retry the job").await;
    browser.read(".pill", "Running").await;
    stage.system.github.complete_held(&Conclusion::Success);
    browser.read(".pill", "Successful").await;
    // Its link tells how many wait as well.
    browser.press(&["g", "a"]).await;
    browser.click("main button", "Reject v3 for production").await;
    browser.write("dialog textarea", "not before the sale").await;
    browser.click("dialog button", "Reject").await;
    browser.read("#said", "rejected").await;
    browser.click(".nav a", "Why").await;
    browser.click("main tbody a", "web → production / production-eu-1").await;
    browser.read("main", "not before the sale").await;
    browser.click("main button", "Skip Approval for v3").await;
    browser.write("dialog textarea", "the sale is over").await;
    browser.click("dialog button", "Skip the rule").await;
    browser.read("#said", "The rule is skipped").await;
    for resource in ["production-eu-1", "production-us-2"] {
        stage.job("v3", resource, "successful").await;
    }
    browser.read("main .answer", "v3").await;
    browser.click("main button", "Pin a version").await;
    browser.run("document.querySelector('dialog [name=version]').value = ''", json!([])).await;
    browser.write("dialog [name=version]", "v1").await;
    browser.write("dialog [name=reason]", "it was calmer").await;
    browser.click("dialog button", "Pin it").await;
    browser.read("#said", "v1 is pinned on production-eu-1").await;
    browser.read("main", "runs v1 since").await;
    browser.click("main button", "Redeploy").await;
    browser.click("dialog button", "Redeploy").await;
    browser.read("#said", "brought there once more as soon as every rule allows it").await;
    browser.click(".nav a", "Audit").await;
    for object in [
        "web v3 → staging / staging-eu-1",
        "web v3 for production by bootstrap",
        "v1 on web → production / production-eu-1",
        "web → production / production-eu-1",
    ] {
        browser.read("main tbody", object).await;
    }
}

pub(crate) async fn is_frozen(stage: &Stage<'_>) {
    let browser = stage.browser;
    browser.click(".nav a", "Freeze").await;
    browser.click("[role=switch]", "").await;
    browser.write("dialog textarea", "an incident").await;
    browser.click("dialog button", "Freeze").await;
    browser.read("#switch-label", "Everything is frozen").await;
    stage.push("v4", "Paint the basket", Script::hold(), fake_gitlab::Script::hold()).await;
    browser.click(".nav a", "Overview").await;
    browser.read("[aria-labelledby=rules]", "Freeze").await;
    browser.read("main", "an incident").await;
    browser.click(".nav a", "Freeze").await;
    browser.click("[role=switch]", "").await;
    browser.click("dialog button", "Thaw").await;
    browser.read("#switch-label", "Freeze everything").await;
    stage.job("v4", "staging-eu-1", "in_progress").await;
    browser.click(".nav a", "Overview").await;
    let thawed = "return Boolean(document.querySelector('main [data-key=tiles]') && !document.querySelector('main [data-key=frozen]') \
                  && !document.querySelector(\".nav a[href$='/freeze'] .count\"))";
    eventually("nothing says that a freeze is on", WITHIN, || async {
        if browser.run(thawed, json!([])).await == true { Ok(()) } else { Err("something does") }
    })
    .await;
}

pub(crate) async fn comes_back_from_the_dead(stage: &Stage<'_>) {
    let browser = stage.browser;
    // A push to main whose commit has no message: the trigger's template cannot be rendered.
    let event =
        json!({ "ref": "refs/heads/main", "after": "v5", "repository": { "full_name": "acme/shop" } });
    let (_, status) = stage.system.github.send_event("push", &event).await.unwrap();
    assert_eq!(status, 202);
    browser.click(".nav a", "Dead letters").await;
    browser.read("main tbody", "ctrlplane.trigger.acme.github.push").await;
    browser.read(".nav a[href$='/dead-letters'] .count", "1").await;
    let before = stage.system.client.get("/api/v1/dead-letters").await.unwrap().1;
    let first = before["items"][0]["sequence"].as_u64().expect("a dead letter");
    browser.click("main tbody button", &format!("Redrive {first}")).await;
    browser.click("dialog button", "Redrive").await;
    browser.read("#said", "sent back").await;
    eventually("it was worked once more, and given up once more", WITHIN, || async {
        let after = stage.system.client.get("/api/v1/dead-letters").await?.1;
        match after["items"][0]["sequence"].as_u64() {
            Some(sequence) if sequence > first => Ok(()),
            _ => Err(after.to_string()),
        }
    })
    .await;
    browser.click(".nav a", "Triggers").await;
    browser.read("main tbody", "push").await;
    browser.read("main tbody", "v4").await;
}

/// Over both platforms, one job after the other.
pub(crate) async fn runs_a_workflow(stage: &Stage<'_>) {
    let browser = stage.browser;
    // What was held before stays so.
    assert!(stage.system.github.set_script("acme/shop", "deploy.yml", Script::success()));
    assert!(stage.gitlab.set_script("acme/shop", fake_gitlab::Script::success()));
    browser.click(".nav a", "Workflows").await;
    browser.read("main", "Nothing has run yet").await;
    browser.click("main button", "Run nightly").await;
    browser.write("dialog input", "v9").await;
    browser.click("dialog button", "Run the workflow").await;
    browser.read("#said", "nightly runs").await;
    eventually("the run is over", WITHIN, || async {
        let runs = stage.system.client.get("/api/v1/workspaces/acme/workflow-runs").await?.1;
        if runs["items"][0]["status"] == "successful" { Ok(()) } else { Err(runs.to_string()) }
    })
    .await;
    browser.read("main .pill", "Successful").await;
    for told in ["GitHub Actions", "GitLab CI/CD", "after build"] {
        browser.read(".stages", told).await;
    }
    browser.read("main .facts", "v9").await;
    browser.click(".stages a", "test").await;
    browser.read(".pill", "Successful").await;
    browser.read("main", "nightly").await;
    browser.read("[aria-labelledby=history]", "Ended").await;
    browser.click(".nav a", "Workflows").await;
    let choose = "const list = document.getElementById('filter-status'); list.value = arguments[0]; \
                  list.dispatchEvent(new Event('change'))";
    browser.see("#filter-status").await;
    browser.run(choose, json!(["failure"])).await;
    browser.read("main", "No run has that status").await;
    assert_eq!(browser.run("return location.search", json!([])).await, "?status=failure");
    browser.see("#filter-status").await;
    browser.run(choose, json!(["successful"])).await;
    browser.read("main [aria-labelledby=runs] tbody", "nightly").await;
}

pub(crate) async fn is_followed_by_keyboard(stage: &Stage<'_>) {
    let browser = stage.browser;
    browser.press(&["g", "j"]).await;
    browser.read("h1", "Jobs").await;
    stage.drawn().await;
    browser.press(&["?"]).await;
    browser.read("dialog[open]", "Go to Overview").await;
    browser.press(&[ESCAPE]).await;
    browser.press(&["j", "j"]).await;
    let row = browser.run("return [...document.querySelectorAll('main tbody tr')].findIndex((row) => row.contains(document.activeElement))", json!([])).await;
    assert_eq!(row, 1, "the second row has the focus");
    browser.press(&[ENTER]).await;
    browser.read("main", "What happened").await;
    // The first thing that Tab reaches from the top is the way past the navigation, and it can be seen.
    browser
        .run("document.activeElement.blur(); document.body.tabIndex = -1; document.body.focus()", json!([]))
        .await;
    browser.press(&[TAB]).await;
    let skip = "const at = document.activeElement; return [at.className, getComputedStyle(at).outlineStyle, at.getBoundingClientRect().top >= 0]";
    eventually("the skip link has the focus", WITHIN, || async {
        let seen = browser.run(skip, json!([])).await;
        if seen == json!(["skip", "solid", true]) { Ok(()) } else { Err(seen.to_string()) }
    })
    .await;
    browser.press(&[ENTER]).await;
    assert_eq!(browser.run("return document.activeElement.id", json!([])).await, "main");
    assert_eq!(browser.run("return window.kept", json!([])).await, true, "the page was never loaded anew");
}
