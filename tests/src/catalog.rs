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

/// The basic catalog, where staging tries again what fails, and then goes back.
pub fn recovering() -> String {
    format!("{BASIC}{RECOVERY}")
}

const RECOVERY: &str = "---
kind: Policy
metadata: { name: recovery }
spec:
  selector: environment.name == 'staging'
  rules:
    - retry: { maxRetries: 3, backoffSeconds: 1, backoffStrategy: exponential, maxBackoffSeconds: 2 }
    - rollback: {}
";

/// The basic catalog, where staging measures at that URL what comes there and takes back what is bad, and production
/// takes what was measured to be good. `<url>/<environment>/<tag>` is asked every second: 200 is good, 5xx is bad.
pub fn measuring(url: &str) -> String {
    let gated = changed(
        "    - anyApproval: { minApprovals: 1 }\n    - environmentProgression: { ",
        "    - environmentProgression: { requireVerificationPassed: true, ",
    );
    gated + &MEASURED.replace("MEASURED_URL", url)
}

const MEASURED: &str = "---
kind: Policy
metadata: { name: measured }
spec:
  selector: environment.name == 'staging'
  rules:
    - rollback: { onVerificationFailure: true }
    - verification:
        metrics:
          - name: health
            intervalSeconds: 1
            count: 100
            successThreshold: 2
            successCondition: result.statusCode == 200
            failureCondition: result.statusCode >= 500
            provider: { type: http, url: 'MEASURED_URL/{{ environment.name }}/{{ version.tag }}' }
          - name: settle
            provider: { type: sleep, durationSeconds: 1 }
";

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
