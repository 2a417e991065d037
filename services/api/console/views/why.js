// Why: what every rule says of every version on a target, when to look again, and the chain of causes. Without a target, all
// of them, those first that do not run what they should.
import { all, get, of, post } from "/console/static/core/api.js";
import { ask } from "/console/static/core/dialog.js";
import { h } from "/console/static/core/dom.js";
import { filters } from "/console/static/core/filters.js";
import { icon } from "/console/static/core/icons.js";
import { keyOf, ruleName, speak, version } from "/console/static/core/jobs.js";
import { names, options } from "/console/static/core/names.js";
import { empty, head } from "/console/static/core/page.js";
import { to } from "/console/static/core/router.js";
import { STATES, jobStatus, labelOf, targetState, toneOf, verdict } from "/console/static/core/status.js";
import { table } from "/console/static/core/table.js";
import { ago, at, localised, since } from "/console/static/core/time.js";

const ORDER = ["failed", "deploying", "blocked", "waiting", "noVersion", "upToDate", "gone"];
const SKIPPABLE = ["anyApproval", "environmentProgression", "gradualRollout", "deploymentWindow", "versionCooldown", "versionSelector", "deploymentDependency"];

export default {
  title: "Why",
  follows: true,
  every: 5_000,
  async load({ what, query }, signal) {
    if (what) return { explained: await get(of(`/release-targets/${what}/explain`), {}, signal) };
    const { deployment, environment, resource } = query;
    const [known, targets] = await Promise.all([names(signal), all(of("/release-targets"), { deployment, environment, resource }, signal, 3000)]);
    return { known, ...targets };
  },
  draw(data, route, again) {
    return data.explained ? one(data.explained, again) : list(data, route);
  },
};

function list({ known, items, total }, { query }) {
  const states = { waiting: ["waiting", "blocked"], failed: ["failed"] };
  const wanted = query.state && (states[query.state] ?? [query.state]);
  const is_bad = (target) => target.state === "failed" || (toneOf(target.last?.status) === "bad" && !target.active);
  const shown = items.filter((target) => !wanted || wanted.includes(target.state) || (query.state === "failed" && is_bad(target))).sort((one, other) => ORDER.indexOf(one.state) - ORDER.indexOf(other.state));
  return [
    head("Why", "Every release target, and in one sentence why it is as it is. Open one to see what each rule says."),
    filters(query, [{ name: "state", label: "State", options: STATES }, { name: "deployment", label: "Deployment", options: options(known.deployments) }, { name: "environment", label: "Environment", options: options(known.environments) }, { name: "resource", label: "Resource", options: options(known.resources).slice(0, 500) }]),
    shown.length === 0 ? h("div", { class: "card" }, total === 0 ? empty("why", "No release targets", "A release target is a deployment on a resource in an environment: it appears when an environment selects a resource.") : empty("ok", "No target is like that", "Clear a filter to see the others."))
      : table({ label: "Release targets", rows: shown.slice(0, 500), key: (target) => target.key, columns: [
        { name: "Target", cell: (target) => h("a", { class: "strong", href: to("why", target.key) }, target.deployment.name, h("span", { class: "soft" }, " → "), `${target.environment.name} / ${target.resource.name}`) },
        { name: "State", cell: (target) => targetState(target.state) },
        { name: "Runs", cell: (target) => target.current && version(target.current.tag) },
        { name: "Why", cell: (target) => h("span", { class: "soft" }, localised(target.summary)) },
        { name: "Next instant", cell: (target) => target.nextLook && h("time", { class: "nowrap", datetime: target.nextLook, "data-words": "since", title: new Date(target.nextLook).toString() }, since(target.nextLook)) },
      ] }),
    total > items.length && h("p", { class: "soft small" }, `${items.length} of ${total} are looked at; filter to see others.`),
  ];
}

function one({ target, decision, more, chain }, again) {
  const names_of = { deployment: target.deployment, environment: target.environment };
  const seconds = decision.nextLook;
  return [
    head(h("span", {}, target.deployment.name, h("span", { class: "soft" }, " → "), `${target.environment.name} / ${target.resource.name}`), undefined,
      [decision.last && h("a", { class: "button", href: to("jobs", (decision.active ?? decision.last).job) }, decision.active ? "Job that runs" : "Last job"),
        h("button", { class: "button", type: "button", onclick: () => redeploy(target, again) }, icon("retry"), "Redeploy"),
        h("button", { class: "button", type: "button", onclick: () => pin(target, decision, again) }, "Pin a version")],
      [h("a", { href: to("why") }, "Why"), " / ", h("a", { href: to("why", undefined, { deployment: target.deployment.name, environment: target.environment.name }) }, `${target.deployment.name} in ${target.environment.name}`)]),
    h("div", { class: "stack", key: "stack" },
      h("section", { class: "card", key: "answer", "aria-labelledby": "answer" }, h("div", { class: "in tight" }, h("div", { class: "row" }, targetState(decision.state, "pill"), decision.current && h("span", { class: "soft" }, "runs ", version(decision.current.tag), " since ", ago(decision.current.since))),
        h("h2", { class: "answer", id: "answer" }, localised(decision.summary)),
        h("p", { class: "soft" }, seconds ? ["The next instant at which time alone can change this: ", at(seconds), " (", h("time", { datetime: seconds, "data-words": "since" }, since(seconds)), ")."] : "Time alone changes nothing here: an event does, such as a job's end, a new version or a person's word."))),
      decision.considered.length > 0 ? decision.considered.map((considered, index) => considers(considered, index, decision, names_of, target, again)) : h("div", { class: "card" }, empty("push", "There is no version to look at", "Publish one, and every rule says here what it makes of it.")),
      more?.considered.length > 0 && more.considered.map((considered, index) => considers(considered, decision.considered.length + index, decision, names_of, target, again)),
      !more && decision.leftOut > 0 && h("p", { class: "soft", key: "left-out" }, `${decision.leftOut} more versions were looked at, which cannot be told now.`),
      more?.untold > 0 && h("p", { class: "soft", key: "untold" }, `${more.untold} older versions do not pass either.`),
      decision.held?.length > 0 && h("section", { class: "card", key: "held", "aria-labelledby": "held" }, h("header", {}, icon("stopped", "wait"), h("h2", { id: "held" }, "Held back by a rollback")), h("ul", { class: "lines" }, decision.held.map((held) => h("li", { key: held.version }, h("div", { class: "what" }, version(held.tag), h("div", { class: "sub" }, held.reason)), h("div", { class: "aside" }, ago(held.since)))))),
      causes(chain)),
  ];
}

function considers(considered, index, decision, names_of, target, again) {
  const id = `version-${considered.version}`;
  const runs = decision.current?.version === considered.version;
  const rank = (rule) => ["deny", "wait", "allow"].indexOf(rule.verdict.is);
  const rules = [...considered.rules].sort((one, other) => rank(one) - rank(other));
  return h("section", { class: "card", key: id, "aria-labelledby": id },
    h("header", {}, h("h2", { id }, version(considered.tag), h("span", { class: "soft" }, index === 0 ? " newest" : ""), runs && h("span", { class: "soft" }, " runs here")), considered.allowed && considered.rules.every((rule) => rule.verdict.is === "allow") ? verdict("allow", "pill") : considered.allowed ? h("span", { class: "pill wait" }, icon("stopped"), "Allowed, not tried again yet") : h("span", { class: "pill wait" }, icon("stopped"), "May not go yet")),
    rules.length > 0 ? h("ul", { class: "verdicts" }, rules.map((rule) => says(rule, considered, names_of, target, again))) : h("div", { class: "in soft" }, "No rule is about it: it may go."));
}

function says(rule, considered, names_of, target, again) {
  const until = rule.verdict.until ?? rule.changesAt;
  const said = { version: { id: considered.version, tag: considered.tag }, ...names_of };
  const is_held = rule.verdict.is !== "allow";
  return h("li", { class: "verdict", key: `${rule.policyName}-${rule.rule}-${rule.ruleIndex}` },
    h("div", {}, verdict(rule.verdict.is)),
    h("div", { class: "why" }, h("div", {}, h("span", { class: "strong" }, ruleName(rule.rule)), h("span", { class: "soft small" }, ` · ${rule.policyName}`)), h("div", {}, localised(rule.reason), rule.skippedBy ? " (skipped)" : ""),
      h("div", { class: "looked" }, until && h("span", {}, "changes ", at(until), " (", h("time", { datetime: until, "data-words": "since" }, since(until)), ")"), rule.satisfiedAt && h("span", {}, "satisfied ", ago(rule.satisfiedAt)), looked(rule.inputs))),
    h("div", { class: "row" },
      rule.rule === "anyApproval" && is_held && [h("button", { class: "button", type: "button", onclick: () => speak("rejected", said, again), "aria-label": `Reject ${considered.tag} for ${names_of.environment.name}` }, "Reject"), h("button", { class: "button main-action", type: "button", onclick: () => speak("approved", said, again), "aria-label": `Approve ${considered.tag} for ${names_of.environment.name}` }, "Approve")],
      is_held && SKIPPABLE.includes(rule.rule) && h("button", { class: "button bare", type: "button", onclick: () => skip(rule, considered, target, again), "aria-label": `Skip ${ruleName(rule.rule)} for ${considered.tag}` }, "Skip")));
}

/** What a rule looked at, as far as its sentence does not say it. */
function looked(inputs) {
  if (!inputs) return undefined;
  const parts = {
    approvals: () => [...inputs.approved.map((word) => `yes of ${word.user} ${since(word.at)}`), ...inputs.rejected.map((user) => `no of ${user}`)],
    progression: () => inputs.environments.length > 1 && inputs.environments.map((of) => `${of.environment}: ${of.succeeded} of ${of.targets} succeeded, ${of.needed} needed`),
    rollout: () => [`place ${inputs.position + 1} of ${inputs.targets}`, inputs.startedAt && `rollout began ${since(inputs.startedAt)}`, inputs.failures > 0 && `${inputs.failures} failed before it`],
    cooldown: () => [inputs.last && `last deploy ${inputs.last.tag}`],
    selector: () => [inputs.expression], dependency: () => inputs.found.map((found) => `${found.name}: ${found.tag ?? "nothing runs"}`),
    retry: () => [`${inputs.failed} failed in a row, ${inputs.maxRetries} may be tried again`],
  }[inputs.of]?.();
  return parts && parts.filter(Boolean).map((part) => h("span", {}, part));
}

function causes(chain) {
  if (chain.length === 0) return undefined;
  const link = {
    delivery: (step) => ["triggers", "A webhook came in", h("a", { class: "link mono", href: to("triggers") }, step.id)],
    version: (step) => ["push", step.gone ? "Its version is gone" : ["It became version ", version(step.name)], step.by && `by ${step.by}`],
    decision: (step) => ["policies", "It was decided", step.summary ?? step.cause],
    job: (step) => ["jobs", ["Job ", h("a", { class: "link mono", href: to("jobs", step.id) }, step.id.slice(0, 8)), " ", jobStatus({ status: step.status })], [step.agent && `agent ${step.agent}`, step.attempt > 1 && `attempt ${step.attempt}`].filter(Boolean).join(", ")],
    externalRun: (step) => ["link", ["Run ", h("span", { class: "mono" }, step.run.id), ` of ${step.run.scope}`], Object.entries({ ...step.links }).filter(([, url]) => /^https?:/.test(url)).map(([name, url]) => h("a", { class: "link", href: url, target: "_blank", rel: "noopener noreferrer" }, name)).flatMap((link) => [link, " "])],
  };
  return h("section", { class: "card", key: "chain", "aria-labelledby": "chain" }, h("header", {}, h("h2", { id: "chain" }, chain.some((step) => step.step === "job") ? "What led to the last job" : "What led here")), h("div", { class: "in" }, h("ol", { class: "steps" }, chain.map((step, index) => {
    const [drawing, label, more] = link[step.step]?.(step) ?? ["none", step.step];
    const tone = step.step === "job" ? toneOf(step.status) : "";
    return h("li", { key: `${index}-${step.step}` }, h("span", { class: `mark ${tone}` }, icon(drawing)), h("div", { class: "strong" }, label), h("div", { class: "meta" }, step.at && at(step.at), more && h("span", { class: "break" }, more)));
  }))));
}


const skip = (rule, considered, target, again) => ask({
  title: `Skip ${ruleName(rule.rule).toLowerCase()} for ${considered.tag}?`,
  text: `One rule of ${rule.policyName} does not count for this one version in ${target.environment.name}, and the audit says who wished so.`,
  fields: [{ name: "reason", label: "Reason", kind: "long", required: true }, { name: "for", label: "For", options: [{ value: "3600", label: "one hour" }, { value: "86400", label: "one day" }, { value: "", label: "good" }] }],
  action: "Skip the rule", danger: true, then: again,
  act: async (given) => {
    await post(of("/skips"), { policy: rule.policy, rule: rule.rule, ruleIndex: rule.ruleIndex, deployment: target.deployment.id, version: considered.version, environment: target.environment.id, reason: given.reason, forSeconds: given.for ? Number(given.for) : undefined });
    return "The rule is skipped for this version.";
  },
});

const redeploy = (target, again) => ask({
  title: `Redeploy ${target.deployment.name} on ${target.resource.name}?`, text: "What should run there is brought there once more.",
  fields: [{ name: "reason", label: "Reason" }], action: "Redeploy", then: again,
  act: async ({ reason }) => {
    await post(of(`/release-targets/${target.key}/redeploy`), { reason: reason || undefined });
    return "It is brought there once more.";
  },
});

const pin = (target, decision, again) => ask({
  title: `Pin a version of ${target.deployment.name} on ${target.resource.name}`, text: "Only this version may go there until the pin is taken back (ctrlplane unpin).",
  fields: [{ name: "version", label: "Version (tag)", required: true, value: decision.current?.tag ?? "" }, { name: "reason", label: "Reason", required: true }],
  action: "Pin it", then: again,
  act: async (given) => {
    await post(of(`/release-targets/${target.key}/pin`), given);
    return `${given.version} is pinned on ${target.resource.name}.`;
  },
});

