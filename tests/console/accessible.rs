//! Whether a page is fit for everybody, by the browser's own accessibility tree and by what is drawn.

use serde_json::json;

use crate::browser::Browser;

const DRAWN: &str = include_str!("accessible.js");
const CONTROLS: [&str; 9] =
    ["button", "link", "textbox", "searchbox", "combobox", "checkbox", "radio", "switch", "menuitem"];

/// Everything that is wrong with the page that is shown; empty where nothing is.
pub(crate) async fn faults(browser: &Browser) -> Vec<String> {
    let drawn = browser.run(DRAWN, json!([])).await;
    let drawn =
        drawn.as_array().expect("a list").iter().map(|fault| fault.as_str().unwrap_or("?").to_owned());
    let mut faults: Vec<String> = drawn.collect();
    let tree = browser.devtools("Accessibility.getFullAXTree", json!({})).await;
    let nodes = tree["nodes"].as_array().expect("a tree");
    let (mut controls, mut landmarks) = (0, Vec::new());
    for node in nodes.iter().filter(|node| node["ignored"] != true) {
        let role = node["role"]["value"].as_str().unwrap_or_default();
        let name = node["name"]["value"].as_str().unwrap_or_default().trim();
        if ["main", "navigation", "banner"].contains(&role) {
            landmarks.push(role);
        }
        if CONTROLS.contains(&role) || role == "image" {
            controls += 1;
            if name.is_empty() {
                faults.push(format!("a {role} has no name (node {})", node["backendDOMNodeId"]));
            }
        }
    }
    if controls == 0 {
        faults.push("the tree has no control at all".to_owned());
    }
    if !landmarks.contains(&"main") {
        faults.push(format!("the tree has no main landmark, only {landmarks:?}"));
    }
    faults
}
