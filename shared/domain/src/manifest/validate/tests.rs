//! What is wrong, at which field, and what is said to help.

use crate::entity::{Entity, PolicyRule};
use crate::manifest::{Defaults, File, parse};
use crate::token::Slug;

/// Field, part of the message, part of the hint (empty: there is none).
type Told = (&'static str, &'static str, &'static str);

fn told(text: &str) -> Result<Entity, Vec<(String, String, String)>> {
    let workspace: Slug = "acme".parse().unwrap();
    let defaults = Defaults { workspace: Some(&workspace), now: "2026-01-02T03:04:05Z".parse().unwrap() };
    match parse(&[File { name: "f", text }], &defaults) {
        Ok(mut documents) => Ok(documents.remove(0).entity),
        Err(errors) => Err(errors
            .into_iter()
            .map(|e| (e.problem.field, e.problem.message, e.problem.hint.unwrap_or_default()))
            .collect()),
    }
}

fn check(text: &str, expected: &[Told]) {
    let found = told(text).err().unwrap_or_default();
    let is_told = |(field, message, hint): &Told| {
        found.iter().any(|(f, m, h)| {
            f == field && m.contains(message) && h.contains(hint) && hint.is_empty() == h.is_empty()
        })
    };
    assert_eq!(found.len(), expected.len(), "{text}\n{found:#?}");
    for expected in expected {
        assert!(is_told(expected), "{text}\n{found:#?}\n≠ {expected:?}");
    }
}

fn rules(rules: &str) -> String {
    format!("kind: Policy\nmetadata: {{ name: p }}\nspec:\n  selector: 'true'\n  rules:\n{rules}\n")
}

#[test]
fn a_rule_that_contradicts_itself_is_refused_at_its_field() {
    let table: &[(&str, Told)] = &[
        (
            "environmentProgression: { dependsOnEnvironmentSelector: 'true', maximumAgeHours: 1, minimumSoakTimeMinutes: 61 }",
            (
                "environmentProgression.maximumAgeHours",
                "too old, before it soaked for 61",
                "minimumSoakTimeMinutes",
            ),
        ),
        (
            "environmentProgression: { dependsOnEnvironmentSelector: 'true', successStatuses: [] }",
            ("environmentProgression.successStatuses", "without any", ""),
        ),
        (
            "deploymentDependency: { dependsOn: resource.name == '' }",
            ("deploymentDependency.dependsOn", "there is no variable `resource`", ""),
        ),
        ("versionCooldown: { intervalSeconds: 0 }", ("versionCooldown.intervalSeconds", "at least 1", "")),
        (
            "deploymentWindow: { rrule: FREQ=DAILY, durationMinutes: 0 }",
            ("deploymentWindow.durationMinutes", "open for 1 to", ""),
        ),
        (
            "deploymentWindow: { rrule: FREQ=DAILY, durationMinutes: 60, timezone: Europe/Berln }",
            ("deploymentWindow.timezone", "Europe/Berln", "Europe/Berlin"),
        ),
        (
            "deploymentWindow: { rrule: FREQ=DALY, durationMinutes: 60 }",
            ("deploymentWindow.rrule", "DALY", "DAILY"),
        ),
        (
            "retry: { backoffSeconds: 60, maxBackoffSeconds: 59 }",
            ("retry.maxBackoffSeconds", "less than `backoffSeconds`, which is 60", "not shorter"),
        ),
        ("retry: { maxBackoffSeconds: 0 }", ("retry.maxBackoffSeconds", "at least 1", "")),
        (
            "retry: { retryOnStatuses: [failure, successful] }",
            ("retry.retryOnStatuses[1]", "`successful` is no failure", "leave it out"),
        ),
        (
            "rollback: { onJobStatuses: [successful] }",
            ("rollback.onJobStatuses[0]", "`successful` is no failure", "leave it out"),
        ),
        ("verification: { metrics: [] }", ("verification.metrics", "nothing is verified", "")),
    ];
    for (rule, (field, message, hint)) in table {
        let found = told(&rules(&format!("    - {rule}"))).expect_err(rule);
        assert_eq!(found.len(), 1, "{rule}\n{found:#?}");
        let (f, m, h) = &found[0];
        assert_eq!(f, &format!("spec.rules[0].{field}"), "{rule}");
        assert!(
            m.contains(message) && h.contains(hint) && h.is_empty() == hint.is_empty(),
            "{rule}\n{found:#?}"
        );
    }
    check(
        &rules(
            "    - gradualRollout: { timeScaleInterval: 1 }\n    - gradualRollout: { timeScaleInterval: 2 }",
        ),
        &[("spec.rules[1].gradualRollout", "one gradual rollout", "policy of its own")],
    );
}

#[test]
fn a_metric_that_could_not_be_measured_is_refused_at_its_field() {
    let sleep = "provider: { type: sleep, durationSeconds: 1 }";
    let http = "provider: { type: http, url: http://a";
    let prometheus = "provider: { type: prometheus, address: http://a";
    let datadog = "provider: { type: datadog, apiKeySecret: a, appKeySecret: b";
    let table: &[(String, Told)] = &[
        (format!("name: '', {sleep}"), ("name", "is empty", "")),
        (format!("name: a, intervalSeconds: 0, {sleep}"), ("intervalSeconds", "at least 1", "")),
        (format!("name: a, count: 0, {sleep}"), ("count", "at least 1", "")),
        (
            format!("name: a, count: 2, successThreshold: 3, {sleep}"),
            ("successThreshold", "is 3, which `count` measurements, 2, never reach", "raise `count`"),
        ),
        (
            format!("name: a, failureThreshold: 2, {sleep}"),
            ("failureThreshold", "is 2, which `count` measurements, 1, never reach", "raise `count`"),
        ),
        (
            format!("name: a, successCondition: value > 1, {sleep}"),
            ("successCondition", "no variable `value`", ""),
        ),
        (format!("name: a, failureCondition: 'result.', {sleep}"), ("failureCondition", "no expression", "")),
        (
            "name: a, provider: { type: sleep, durationSeconds: 0 }".to_owned(),
            ("provider.durationSeconds", "at least 1", ""),
        ),
        ("name: a, provider: { type: http, url: '' }".to_owned(), ("provider.url", "is empty", "")),
        (format!("name: a, {http}, method: PUT }}"), ("provider.method", "`PUT`", "GET")),
        (format!("name: a, {http}, body: x }}"), ("provider.body", "a GET has no body", "`POST`")),
        (
            format!("name: a, {http}, timeoutSeconds: 61 }}"),
            ("provider.timeoutSeconds", "1 to 60, not 61", ""),
        ),
        (
            format!("name: a, {http}, headers: {{ tenant: '{{{{ resorce.name }}}}' }} }}"),
            ("provider.headers.tenant", "there is no `resorce`", ""),
        ),
        (
            format!("name: a, {http}, headers: {{ X-Api-Key: abc }} }}"),
            ("provider.headers.X-Api-Key", "would keep a secret", "`secretHeaders`"),
        ),
        (
            format!("name: a, {http}, secretHeaders: {{ X-Api-Key: ghp_abc }} }}"),
            ("provider.secretHeaders.X-Api-Key", "looks like a secret", "name the secret"),
        ),
        (format!("name: a, {prometheus}, query: '{{{{ a b }}}}' }}"), ("provider.query", "a b", "")),
        (
            format!("name: a, {datadog}, query: q, aggregator: media }}"),
            ("provider.aggregator", "`media`", "avg"),
        ),
        (
            format!("name: a, {datadog}, query: q, lookbackSeconds: 0 }}"),
            ("provider.lookbackSeconds", "at least 1", ""),
        ),
    ];
    for (metric, (field, message, hint)) in table {
        let text = rules(&format!("    - verification: {{ metrics: [{{ {metric} }}] }}"));
        let found = told(&text).expect_err(metric);
        assert_eq!(found.len(), 1, "{metric}\n{found:#?}");
        let (f, m, h) = &found[0];
        assert_eq!(f, &format!("spec.rules[0].verification.metrics[0].{field}"), "{metric}");
        assert!(
            m.contains(message) && h.contains(hint) && h.is_empty() == hint.is_empty(),
            "{metric}\n{found:#?}"
        );
        assert!(!m.contains("abc"), "the secret itself is not repeated: {m}");
    }
    check(
        &rules(&format!(
            "    - verification: {{ metrics: [{{ name: a, {sleep} }}, {{ name: a, {sleep} }}] }}"
        )),
        &[("spec.rules[0].verification.metrics[1].name", "already a metric `a`", "another name")],
    );
}

#[test]
fn what_people_say_against_the_course_is_checked() {
    let skip =
        |rest: &str| format!("kind: Skip\nspec: {{ policy: p, deployment: web, version: v1, {rest} }}");
    let table: &[(String, &[Told])] = &[
        (
            skip("rule: retry, reason: r"),
            &[("spec.rule", "`retry` holds nothing back", "anyApproval, environmentProgression, gradualRollout, deploymentWindow, versionCooldown, versionSelector, deploymentDependency")],
        ),
        (skip("rule: aproval, reason: r"), &[("spec.rule", "no rule `aproval`", "anyApproval")]),
        (skip("rule: anyApproval, reason: ' '"), &[("spec.reason", "is empty", "say why")]),
        (skip("rule: anyApproval, reason: r, createdBy: ''"), &[("spec.createdBy", "is empty", "")]),
        (
            "kind: Skip\nspec: { policy: p, version: v1, rule: anyApproval, reason: r }".to_owned(),
            &[("spec.deployment", "the version's tag is unique", "")],
        ),
        (
            "kind: Freeze\nmetadata: { name: f }\nspec: { selector: version.tag == '', reason: '', owner: '', from: '2026-01-02T00:00:00Z', until: '2026-01-02T00:00:00Z' }".to_owned(),
            &[
                ("spec.selector", "there is no variable `version`", ""),
                ("spec.reason", "is empty", "say why"),
                ("spec.owner", "is empty", ""),
                ("spec.until", "is not after `from`", "when the freeze ends"),
            ],
        ),
        (
            "kind: Pin\nspec: { deployment: web, version: v1, reason: '' }".to_owned(),
            &[("spec.reason", "is empty", "say why")],
        ),
        (
            "kind: Redeploy\nspec: { deployment: web, resource: r, reason: '' }".to_owned(),
            &[("spec.environment", "part of the target", "")],
        ),
        (
            "kind: Redeploy\nspec: { deployment: web, target: { deployment: api, environment: e, resource: r } }".to_owned(),
            &[("spec.target.deployment", "contradicts", "")],
        ),
        (
            "kind: Redeploy\nspec: { deployment: web, environment: e, resource: r, reason: '', by: '' }".to_owned(),
            &[("spec.reason", "is empty", "say why"), ("spec.by", "is empty", "")],
        ),
        (
            "kind: RolloutControl\nspec: { deployment: web, version: v1, environment: e, action: pause, reason: '' }".to_owned(),
            &[("spec.reason", "is empty", "say why")],
        ),
    ];
    for (text, expected) in table {
        check(text, expected);
    }
}

#[test]
fn variables_relations_and_dependencies_are_checked() {
    let deployment = |variables: &str| {
        format!(
            "kind: Deployment\nmetadata: {{ name: web }}\nspec: {{ systems: [s], variables: [{variables}] }}"
        )
    };
    let relation = |from: &str, to: &str, matcher: &str| {
        format!(
            "kind: RelationshipRule\nmetadata: {{ name: r }}\nspec: {{ reference: vpc, from: {from}, to: {to}, matcher: {matcher} }}"
        )
    };
    let table: &[(String, &[Told])] = &[
        (
            deployment("{ key: a }, { key: a }"),
            &[("spec.variables[1].key", "already a variable `a`", "`values` of one")],
        ),
        (deployment("{ key: '' }"), &[("spec.variables[0].key", "is empty", "")]),
        (
            deployment("{ key: a, values: [{ selector: version.tag == '', value: 1 }] }"),
            &[("spec.variables[0].values[0].selector", "no variable `version`", "")],
        ),
        (
            deployment("{ key: password, default: abc, values: [{ value: { secretRef: db } }] }"),
            &[("spec.variables[0].default", "would keep a secret", "secretRef")],
        ),
        (
            "kind: VariableSet\nmetadata: { name: v }\nspec: { selector: usr == '', variables: { a: { token: abc } } }".to_owned(),
            &[
                ("spec.selector", "no variable `usr`", ""),
                ("spec.variables.a.token", "would keep a secret", "secretRef"),
            ],
        ),
        (relation("environment.name == ''", "'true'", "'true'"), &[("spec.from", "no variable `environment`", "")]),
        (relation("'true'", "from.name == ''", "'true'"), &[("spec.to", "no variable `from`", "")]),
        (relation("'true'", "'true'", "resource.name == ''"), &[("spec.matcher", "no variable `resource`", "")]),
        (
            "kind: Version\nspec: { deployment: web, tag: v1, dependencies: [{ deployment: api, versionSelector: environment.name == '' }] }".to_owned(),
            &[("spec.dependencies[0].versionSelector", "no variable `environment`", "")],
        ),
    ];
    for (text, expected) in table {
        check(text, expected);
    }
}

#[test]
fn numbers_at_their_limits_are_let_through() {
    let text = rules(
        "    - environmentProgression: { dependsOnEnvironmentSelector: 'true', maximumAgeHours: 1, minimumSoakTimeMinutes: 60 }
    - gradualRollout: { timeScaleInterval: 0 }
    - anyApproval: { minApprovals: 1 }
    - versionSelector: { selector: 'true' }
    - deploymentWindow: { rrule: FREQ=DAILY;BYHOUR=9, durationMinutes: 60, timezone: Europe/Berlin }
    - versionCooldown: { intervalSeconds: 1 }
    - deploymentDependency: { dependsOn: deployment.name == 'db' && version.tag != '' }
    - retry: { backoffSeconds: 60, maxBackoffSeconds: 60, retryOnStatuses: [failure] }
    - rollback: { onJobStatuses: [] }
    - verification:
        metrics:
          - { name: a, count: 2, successThreshold: 2, failureThreshold: 2, successCondition: result.statusCode == 200, provider: { type: http, url: 'http://{{ resource.name }}/', timeoutSeconds: 60 } }
          - { name: b, provider: { type: http, url: http://a, method: POST, body: '{{ version.tag }}', secretHeaders: { Authorization: token-of-a } } }
          - { name: c, provider: { type: datadog, query: q, apiKeySecret: dd-api, appKeySecret: dd-app } }",
    );
    let Entity::Policy(policy) = told(&text).unwrap() else { panic!("no policy") };
    assert_eq!(policy.spec.rules.len(), PolicyRule::NAMES.len(), "every rule is in the example");
    for rule in &policy.spec.rules {
        assert_eq!(PolicyRule::GATES.contains(&rule.name()), rule.is_gate(), "{}", rule.name());
    }
    told("kind: Freeze\nmetadata: { name: f }\nspec: { reason: r, owner: o, until: '2020-01-01T00:00:00Z' }")
        .unwrap();
    told("kind: Skip\nspec: { policy: p, rule: deploymentWindow, deployment: web, version: v1, reason: r }")
        .unwrap();
    told("kind: Redeploy\nspec: { target: { deployment: web, environment: e, resource: r } }").unwrap();
}
