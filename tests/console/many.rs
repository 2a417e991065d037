//! What the console says of a workspace with more than fits on a page: totals, and the way to the rest of every list.

use serde_json::json;
use system_tests::eventually;

use crate::stage::{Stage, WITHIN};

const RESOURCES: usize = 1_100;
/// Its name is that of the other workspace.
const CATALOG: &str = "kind: Workspace
metadata: { name: many }
spec: { displayName: Acme }
---
kind: System
metadata: { name: shop, workspace: many }
spec: {}
---
kind: Environment
metadata: { name: production, workspace: many }
spec: { systems: [shop], resourceSelector: \"true\" }
---
kind: Deployment
metadata: { name: web, workspace: many }
spec: { systems: [shop] }
---
kind: Policy
metadata: { name: gate, workspace: many }
spec:
  selector: \"true\"
  rules: [{ anyApproval: { minApprovals: 1 } }]
";

pub(crate) async fn are_counted(stage: &Stage<'_>) {
    let (browser, client) = (stage.browser, &stage.system.client);
    client.apply(CATALOG).await;
    let resource = |number: usize| {
        format!(
            "kind: Resource\nmetadata: {{ name: machine-{number:04}, workspace: many }}\n\
             spec: {{ identifier: machine-{number:04}, type: machine }}\n"
        )
    };
    client.apply(&(0..RESOURCES).map(resource).collect::<Vec<_>>().join("---\n")).await;
    let versions = "/api/v1/workspaces/many/deployments/web/versions";
    assert_eq!(client.post(versions, &json!({ "tag": "v1" })).await.unwrap().0, 200);
    eventually("all targets wait", 4 * WITHIN, || async {
        let waiting = client.get("/api/v1/workspaces/many/waiting/versions").await?.1;
        if waiting["items"][0]["targets"] == RESOURCES { Ok(()) } else { Err(waiting["summary"].to_string()) }
    })
    .await;

    browser.open(&stage.url("many/overview")).await;
    browser.read(".head", "1 version waits for a yes").await;
    browser.read("[aria-labelledby=people]", "1100 targets").await;
    browser.read("#workspace", "Acme (many)").await;
    browser.open(&stage.url("many/approvals")).await;
    browser.read("main", "1100: machine-").await;
    browser.open(&stage.url("many/policies")).await;
    browser.read("main", "Holds back 1100 targets").await;
    browser.open(&stage.url("many/deployments")).await;
    browser.read(".matrix", "Waiting").await;
    let cell = browser.run("return document.querySelector('.matrix a').ariaLabel", json!([])).await;
    assert_eq!(cell, "web in production: nothing on 1100; waiting");

    browser.open(&stage.url("many/why?state=waiting")).await;
    browser.read("nav[aria-label=Pages]", "1 to 200 of 1100").await;
    browser.click("main a", "Those after").await;
    browser.read("nav[aria-label=Pages]", "201 to 400 of 1100").await;
    // More resources than anybody chooses from: a part of a name finds them.
    browser.write("#filter-resource", "machine-010").await;
    browser.read("main tbody", "machine-0109").await;
    let rows = "return document.querySelectorAll('main tbody tr').length";
    assert_eq!(browser.run(rows, json!([])).await, 10);

    browser.open(&stage.url("many/resources?offset=1000")).await;
    browser.read("nav[aria-label=Pages]", "1001 to 1100 of 1100").await;
    browser.read("main tbody", "machine-1099").await;
    browser.write("#filter-name", "MACHINE-000").await;
    browser.read(".head", "10 resources fit the filters").await;
    browser.read("main tbody tr:first-child", "production").await;
}

/// Recurrences in words, as far as there are words for them.
pub(crate) async fn are_told_in_words(stage: &Stage<'_>) {
    let said = "return import('/console/static/core/recurrence.js').then(({ recurrence }) => arguments[0].map(recurrence))";
    let rules = json!([
        "FREQ=WEEKLY;BYDAY=MO,TU,FR;BYHOUR=9;BYMINUTE=0;BYSECOND=0",
        "RRULE:FREQ=DAILY;INTERVAL=2;BYHOUR=8,20;BYMINUTE=30",
        "FREQ=MONTHLY;BYDAY=1MO",
    ]);
    let told = json!([
        "every week on Monday, Tuesday and Friday at 09:00",
        "every 2 days at 08:30 and 20:30",
        "FREQ=MONTHLY;BYDAY=1MO",
    ]);
    assert_eq!(stage.browser.run(said, json!([rules])).await, told);
}
