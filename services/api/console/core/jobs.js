// What several views say and do of jobs and targets, in the same words.
import { h } from "/console/static/core/dom.js";
import { icon } from "/console/static/core/icons.js";
import { of, post, put } from "/console/static/core/api.js";
import { ask } from "/console/static/core/dialog.js";
import { named } from "/console/static/core/names.js";
import { to } from "/console/static/core/router.js";

export const keyOf = (target) => [target.resource, target.environment, target.deployment].map((part) => part?.id ?? part).join("-");

export const version = (tag) => h("span", { class: "tag" }, tag);

/** Whether a workflow asks for the job: then it brings nothing anywhere. */
export const ofWorkflow = (job) => job.purpose?.is === "workflow";

/** What people call a job; by the workflow's name where that is known. */
export const called = (job) => (ofWorkflow(job) ? `${workflowOf(job)} ${job.name}` : `${job.deployment} ${job.version} → ${job.environment}`);

const workflowOf = ({ purpose }) => (named(purpose.workflow) ? `workflow ${named(purpose.workflow)}` : "workflow job");

/** What a job brings where, as a link to it. */
export function title(job, known) {
  if (ofWorkflow(job)) return h("a", { href: to("jobs", job.id), class: "strong" }, workflowOf(job), " ", version(job.name));
  const resource = known.name(job.target.resource);
  const verifies = job.purpose?.is === "verify";
  return h("a", { href: to("jobs", job.id), class: "strong" }, verifies ? "verify " : "", job.deployment, " ", version(job.version), h("span", { class: "soft" }, " → "), `${job.environment}${resource ? ` / ${resource}` : ""}`);
}

/** The job's own page on its platform, and its logs there. */
export function deepLinks(job, kind = "button") {
  const links = { ...job.links };
  if (job.external?.url && !Object.values(links).includes(job.external.url)) links.run = job.external.url;
  const known = { run: "Run", logs: "Logs" };
  return Object.entries(links).filter(([, url]) => /^https?:\/\//.test(url)).map(([name, url]) => {
    const label = known[name] ?? name;
    return h("a", { class: kind, href: url, target: "_blank", rel: "noopener noreferrer", key: `link-${name}`, "aria-label": `${label} of ${called(job)} on its platform (new tab)` }, icon("link"), label);
  });
}

export const cancel = (job, then) => ask({
  title: `Cancel ${called(job)}?`,
  text: "The platform is asked to end the run. What it did until then stays done.",
  fields: [{ name: "reason", label: "Reason (for the audit)", kind: "text" }],
  action: "Cancel the job", danger: true, then,
  act: async ({ reason }) => {
    const answer = await post(of(`/jobs/${job.id}/cancel`), { reason });
    return answer.message;
  },
});

export const retry = (job, then) => ask({
  title: `Run ${called(job)} again?`,
  text: "The same job runs once more on its platform, with the same configuration.",
  fields: [{ name: "reason", label: "Reason (for the audit)", kind: "text" }],
  action: "Retry the job", then,
  act: async ({ reason }) => {
    const answer = await post(of(`/jobs/${job.id}/retry`), { reason });
    return answer.message;
  },
});

/** Approves or rejects a version for an environment. */
export const speak = (word, { version: said, deployment, environment }, then) => ask({
  title: `${word === "approved" ? "Approve" : "Reject"} ${deployment.name} ${said.tag} for ${environment.name}?`,
  text: word === "approved" ? "It goes on as soon as every other rule allows it." : "It does not go there. A later yes of yours takes this back.",
  fields: [{ name: "reason", label: word === "approved" ? "Reason (others read it)" : "Reason", kind: "long", required: word !== "approved" }],
  action: word === "approved" ? "Approve" : "Reject", danger: word !== "approved", then,
  act: async ({ reason }) => {
    const answer = await put(of(`/deployment-versions/${said.id}/user-approval-records`), { status: word, environmentIds: [environment.id], reason: reason || undefined });
    return answer.message;
  },
});

/** Of the versions that are held back, those that wait for people to say yes. */
export const approvals = (held) => held.map((group) => [group, group.rules.find(waitsForPeople)]).filter(([, rule]) => rule).map(([group, rule]) => ({
  ...group,
  key: `${group.version.id}/${group.environment.id}`,
  rule,
  targets: rule.targets,
  others: new Set(group.rules.map((other) => other.rule).filter((name) => name !== "anyApproval")),
}));

/** Whether a rule waits for somebody's word. */
export const waitsForPeople = ({ rule, verdict }) => rule === "anyApproval" && verdict.is === "wait";

const RULES = {
  anyApproval: "Approval", environmentProgression: "Progression", gradualRollout: "Gradual rollout", deploymentWindow: "Window",
  versionCooldown: "Cooldown", versionSelector: "Version selector", deploymentDependency: "Dependency", versionDependency: "Version dependency",
  retry: "Retry", rollback: "Rollback", verification: "Verification", freeze: "Freeze", pin: "Pin", variables: "Variables",
};
export const ruleName = (rule) => RULES[rule] ?? rule;
