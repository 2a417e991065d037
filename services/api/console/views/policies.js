// The policies, each rule in a sentence, and what they hold back now.
import { all, get, of } from "/console/static/core/api.js";
import { h } from "/console/static/core/dom.js";
import { icon } from "/console/static/core/icons.js";
import { ruleName } from "/console/static/core/jobs.js";
import { empty, head } from "/console/static/core/page.js";
import { recurrence } from "/console/static/core/recurrence.js";
import { to } from "/console/static/core/router.js";
import { ago, at, coarse, length } from "/console/static/core/time.js";

const DRAWINGS = { anyApproval: "person", environmentProgression: "arrow", gradualRollout: "matrix", deploymentWindow: "queued", versionCooldown: "queued", versionSelector: "push", deploymentDependency: "link", retry: "retry", rollback: "retry", verification: "ok" };
/** What the API tells of every rule beside the rule itself. */
const BESIDE_THE_RULE = ["id", "policyId", "createdAt"];
const WORDS = {
  anyApproval: (rule) => `${rule.minApprovals} ${rule.minApprovals === 1 ? "person says" : "people say"} yes${rule.approvers ? ` (those with ${rule.approvers})` : ""}${rule.allowSelfApproval === false ? ", not who published or changed it" : ""}${rule.expiresAfterSeconds ? `; a yes counts for ${coarse(rule.expiresAfterSeconds * 1000)}` : ""}.`,
  environmentProgression: (rule) => `${rule.minimumSuccessPercentage ?? 100} % of the targets where ${rule.dependsOnEnvironmentSelector} run it well${rule.minimumSoakTimeMinutes ? `, for ${rule.minimumSoakTimeMinutes} min` : ""}${rule.maximumAgeHours ? `, at most ${rule.maximumAgeHours} h ago` : ""}${rule.requireVerificationPassed ? ", and it passed their verification" : ""}.`,
  gradualRollout: (rule) => `One target after the other, ${rule.rolloutType?.startsWith("linear") ? "in equal steps" : "in steps"} of ${coarse((rule.timeScaleInterval ?? 0) * 1000)}${rule.pauseOnFailure === false ? "" : `; it pauses after ${(rule.maxFailures ?? 0) + 1} failed`}.`,
  deploymentWindow: (rule) => `${rule.allowWindow === false ? "Never" : "Only"} for ${length(rule.durationMinutes * 60_000)}, ${recurrence(rule.rrule)} (${rule.timezone ?? "UTC"}).`,
  versionCooldown: (rule) => `At least ${coarse((rule.intervalSeconds ?? 0) * 1000)} between two versions.`,
  versionSelector: (rule) => rule.description ?? `Only versions where ${rule.selector}.`,
  deploymentDependency: (rule) => `Where ${rule.dependsOn} runs on the same resource.`,
  retry: (rule) => `What failed is tried again up to ${rule.maxRetries} times${rule.backoffSeconds ? `, after ${coarse(rule.backoffSeconds * 1000)}${rule.backoffStrategy === "exponential" ? " and ever longer" : ""}` : ""}.`,
  rollback: () => "What fails makes way for what ran before.",
  verification: (rule) => `What succeeded is measured: ${(rule.metrics ?? []).map((metric) => metric.name).join(", ")}.`,
};

export default {
  title: "Policies",
  follows: false,
  async load(_, signal) {
    const [policies, waiting, skips] = await Promise.all([all(of("/policies"), {}, signal), get(of("/waiting/versions"), { limit: 1 }, signal), all(of("/skips"), {}, signal)]);
    return { policies: policies.items, held: waiting.summary.policies, skips: skips.items.filter((skip) => !skip.expiresAt || Date.parse(skip.expiresAt) > Date.now()) };
  },
  draw({ policies, held, skips }) {
    const sorted = [...policies].sort((one, other) => other.priority - one.priority || one.name.localeCompare(other.name));
    return [
      head("Policies", "When a version may go where. All rules of all policies that are about a target must allow it."),
      h("div", { class: "stack", key: "stack" },
        sorted.length === 0 ? h("div", { class: "card" }, empty("policies", "No policies", "Without one, every version goes everywhere at once. docs/examples/policies.yaml has one of each rule.", h("pre", { class: "code" }, "ctrlplane apply -f docs/examples/policies.yaml")))
          : h("div", { class: "columns wide" }, sorted.map((policy) => card(policy, held[policy.id] ?? 0, skips.filter((skip) => skip.policyId === policy.id && Date.parse(skip.createdAt) >= Date.parse(policy.updatedAt))))),
        h("p", { class: "soft" }, "Try a change on the past before it is applied: ", h("code", {}, "ctrlplane policy backtest -f proposed.yaml"))),
    ];
  },
};

function card(policy, targets, skips) {
  const id = `policy-${policy.id}`;
  return h("article", { class: "card", key: policy.id, "data-row": true, "aria-labelledby": id },
    h("header", {}, icon("policies", "soft"), h("h2", { id }, policy.name), policy.enabled === false && h("span", { class: "pill idle" }, icon("stopped"), "Off"), targets > 0 ? h("a", { class: "pill wait", href: to("why", undefined, { state: "waiting" }) }, icon("queued"), `Holds back ${targets} ${targets === 1 ? "target" : "targets"}`) : h("span", { class: "pill ok" }, icon("ok"), "Holds nothing back")),
    h("div", { class: "in tight" }, policy.description && h("p", { class: "soft" }, policy.description),
      h("p", {}, h("span", { class: "soft" }, "Where "), h("code", { class: "break" }, policy.selector)),
      policy.rules.length === 0 ? h("p", { class: "soft" }, "It has no rules.") : h("ul", { class: "rule-list" }, policy.rules.map((rule) => {
        const [name, content] = Object.entries(rule).find(([key]) => !BESIDE_THE_RULE.includes(key)) ?? ["?", rule];
        return h("li", {}, icon(DRAWINGS[name] ?? "policies"), h("div", { class: "grow" }, h("span", { class: "strong" }, ruleName(name)), h("div", { class: "soft break" }, WORDS[name]?.(content) ?? JSON.stringify(content))));
      })),
      skips.length > 0 && h("div", { class: "note wait" }, icon("skipped", "wait"), h("div", { class: "grow" }, skips.map((skip) => h("div", {}, `${ruleName(skip.rule)} is skipped by ${skip.createdBy}: ${skip.reason}`, skip.expiresAt && [" until ", at(skip.expiresAt)])))),
      h("p", { class: "soft small" }, "changed ", ago(policy.updatedAt))));
}
