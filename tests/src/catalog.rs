//! The catalogs the stories begin with.

/// One deployment, two environments, production behind staging and one approval.
pub const BASIC: &str = include_str!("../stories/basic.yaml");
/// One deployment, one environment with three resources, an agent with one slot.
pub const LIMITED: &str = include_str!("../stories/limited.yaml");

/// The basic catalog, where a newer version cancels the run of an older one.
pub fn superseding() -> String {
    changed("  jobAgents: [{ ref: github }]\n", "  jobAgents: [{ ref: github }]\n  onNewVersion: supersede\n")
}

/// The basic catalog, where a run may take two seconds.
pub fn impatient() -> String {
    changed(
        "  jobAgents: [{ ref: github }]\n",
        "  jobAgents: [{ ref: github }]\n  deadlines: { runSeconds: 2 }\n",
    )
}

/// The basic catalog with a workflow that is not there.
pub fn without_workflow() -> String {
    changed("workflow: deploy.yml", "workflow: missing.yml")
}

/// The basic catalog with an agent whose key nobody has.
pub fn without_key() -> String {
    changed("privateKeySecret: github-app-key", "privateKeySecret: another-key")
}

/// The basic catalog with an input that the workflow does not declare.
pub fn undeclared_input() -> String {
    changed("      tag: \"{{ version.tag }}\"\n", "      colour: \"{{ version.tag }}\"\n")
}

/// The basic catalog with a template that names something unknown.
pub fn unrenderable() -> String {
    changed("{{ resource.identifier }}", "{{ resource.config.nothing }}")
}

fn changed(from: &str, to: &str) -> String {
    let changed = BASIC.replace(from, to);
    assert_ne!(changed, BASIC, "{from:?} is in the basic catalog");
    changed
}

/// The catalog with the address of the stand-in for GitHub put in.
pub(crate) fn render(catalog: &str, github: &str) -> String {
    catalog.replace("GITHUB_URL", github)
}
