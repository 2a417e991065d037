//! Deep links for people into Argo's pages: the workflow, the step that needs a look, the template it was made of. Pure.

use super::workflow::Workflow;
use domain::job::Links;
use platform::http::BaseUrl;

/// The page of a workflow. With its uid it is found in the archive too, when the object is gone.
pub(super) fn page(ui: &BaseUrl, workflow: &Workflow) -> String {
    let mut url = ui.below(["workflows", &workflow.metadata.namespace, &workflow.metadata.name]);
    if !workflow.metadata.uid.is_empty() {
        url.query_pairs_mut().append_pair("uid", &workflow.metadata.uid);
    }
    url.into()
}

/// The links of a workflow; `node` is the step a person should look at: to resume it, or to read why it failed.
pub(super) fn of(ui: &BaseUrl, workflow: &Workflow, node: Option<&str>) -> Links {
    let run = page(ui, workflow);
    let mut links = Links::from([("run".to_owned(), run)]);
    if let Some(node) = node {
        let mut url = ui.below(["workflows", &workflow.metadata.namespace, &workflow.metadata.name]);
        let mut query = url.query_pairs_mut();
        if !workflow.metadata.uid.is_empty() {
            query.append_pair("uid", &workflow.metadata.uid);
        }
        query.append_pair("nodeId", node);
        drop(query);
        links.insert("step".to_owned(), url.into());
    }
    if let Some(template) = workflow.metadata.labels.get("workflows.argoproj.io/workflow-template") {
        let url = ui.below(["workflow-templates", &workflow.metadata.namespace, template]);
        links.insert("template".to_owned(), url.into());
    }
    if let Some(template) = workflow.metadata.labels.get("workflows.argoproj.io/cluster-workflow-template") {
        links.insert("template".to_owned(), ui.below(["cluster-workflow-templates", template]).into());
    }
    links
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_workflow_leads_to_its_page_its_step_and_its_template() {
        let ui = BaseUrl::parse("https://tools.example/argo").unwrap();
        let workflow: Workflow = serde_json::from_value(json!({ "metadata": {
            "name": "job-1", "namespace": "ci", "uid": "u-1",
            "labels": { "workflows.argoproj.io/workflow-template": "deploy" } } }))
        .unwrap();
        let links: Vec<(String, String)> = of(&ui, &workflow, Some("job-1-22")).into_iter().collect();
        let expected = [
            ("run", "https://tools.example/argo/workflows/ci/job-1?uid=u-1"),
            ("step", "https://tools.example/argo/workflows/ci/job-1?uid=u-1&nodeId=job-1-22"),
            ("template", "https://tools.example/argo/workflow-templates/ci/deploy"),
        ];
        assert_eq!(links, expected.map(|(name, url)| (name.to_owned(), url.to_owned())));
        assert_eq!(of(&ui, &workflow, None).len(), 2);
    }
}
