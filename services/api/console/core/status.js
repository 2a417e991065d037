// The words of the system and how they look: always an icon and a word, never a colour alone.
import { h } from "/console/static/core/dom.js";
import { icon } from "/console/static/core/icons.js";

const JOB = {
  pending: ["Pending", "pending", "idle"],
  queued: ["Queued", "queued", "wait"],
  in_progress: ["Running", "run", "run"],
  action_required: ["Needs a person", "person", "wait"],
  successful: ["Successful", "ok", "ok"],
  failure: ["Failed", "bad", "bad"],
  cancelled: ["Cancelled", "stopped", "idle"],
  skipped: ["Skipped", "skipped", "idle"],
  invalid_job_agent: ["Wrong agent config", "warn", "bad"],
  invalid_integration: ["No access", "warn", "bad"],
  external_run_not_found: ["Run not found", "warn", "bad"],
};
const RUN = {
  pending: ["Pending", "pending", "idle"],
  in_progress: ["Running", "run", "run"],
  cancelling: ["Cancelling", "stopped", "wait"],
  successful: ["Successful", "ok", "ok"],
  failure: ["Failed", "bad", "bad"],
  cancelled: ["Cancelled", "stopped", "idle"],
};
const TARGET = {
  noVersion: ["No version", "none", "idle"],
  upToDate: ["Up to date", "ok", "ok"],
  deploying: ["Deploying", "run", "run"],
  waiting: ["Waiting", "queued", "wait"],
  blocked: ["Blocked", "stopped", "wait"],
  failed: ["Failed", "bad", "bad"],
  gone: ["Gone", "gone", "idle"],
};
const VERDICT = { allow: ["Allows", "ok", "ok"], deny: ["Denies", "bad", "bad"], wait: ["Waits", "queued", "wait"] };
const CHECK = { ok: ["Fine", "ok", "ok"], warn: ["Look at it", "warn", "wait"], fail: ["Broken", "bad", "bad"] };
const STANDING = {
  done: ["Done", "ok", "ok"], running: ["Running", "run", "run"], failed: ["Failed", "bad", "bad"],
  due: ["Due", "queued", "wait"], waiting: ["Waits", "pending", "idle"],
};
const REASON = {
  timed_out: "took too long", superseded: "a newer version took its place", lost: "nobody could say what became of it",
  rejected: "somebody said no", cancelled_by_user: "a person cancelled it", unknown: "sent, no answer yet: being looked for",
  concurrency: "waits for a slot of its agent", no_agent: "no agent matches", bad_config: "its config cannot be rendered",
  startup_failure: "the platform could not start it", cancelled_on_platform: "cancelled on the platform",
  frozen: "waits for a freeze to end", inconclusive: "a verification could not tell",
};

export const ACTIVE = ["pending", "queued", "in_progress", "action_required"];
export const BAD = ["failure", "invalid_job_agent", "invalid_integration", "external_run_not_found"];
export const STATUSES = Object.entries(JOB).map(([value, [label]]) => ({ value, label }));
/** How runs of workflows stand, as the API spells it. */
export const RUN_STATUSES = Object.entries(RUN).map(([value, [label]]) => ({ value: value.replace(/_([a-z])/g, (_, letter) => letter.toUpperCase()), label }));
export const STATES = Object.entries(TARGET).map(([value, [label]]) => ({ value, label }));

export const isActive = (status) => ACTIVE.includes(status);
export const toneOf = (status) => (JOB[status] ?? [status, "none", "idle"])[2];
export const toneOfState = (state) => (TARGET[state] ?? [state, "none", "idle"])[2];
export const toneOfStanding = (standing) => (STANDING[standing] ?? [standing, "none", "idle"])[2];
export const labelOf = (status) => (JOB[status] ?? [status])[0];
export const labelOfState = (state) => (TARGET[state] ?? [state])[0];
export const reasonOf = (reason) => REASON[reason] ?? reason?.replaceAll("_", " ");

/** Why a job is as it is, in one line: what its message says better is not said twice. */
export const because = ({ reason, message }) => (reason === "concurrency" && message ? message : [reasonOf(reason), message].filter(Boolean).join(" · "));

export const jobStatus = (job, kind) => {
  if (job.cancelling && isActive(job.status)) return mark(["Cancelling", "stopped", "wait"], kind);
  return mark(JOB[job.status] ?? [job.status, "none", "idle"], kind);
};
/** How a run of a workflow stands. */
export const runStatus = (status, kind) => mark(RUN[status] ?? [status, "none", "idle"], kind);
export const targetState = (state, kind) => mark(TARGET[state] ?? [state, "none", "idle"], kind);
export const verdict = (word, kind) => mark(VERDICT[word] ?? [word, "none", "idle"], kind);
export const check = (word, kind) => mark(CHECK[word] ?? [word, "none", "idle"], kind);
export const standing = (word, kind) => mark(STANDING[word] ?? [word, "none", "idle"], kind);

function mark([label, drawing, tone], kind = "status") {
  return h("span", { class: `${kind} ${tone}` }, icon(drawing, drawing === "run" ? "turn" : ""), label);
}

const PLATFORMS = {
  "github-app": ["GitHub Actions", "GH"], gitlab: ["GitLab CI/CD", "GL"], "kubernetes-job": ["Kubernetes Jobs", "K8"],
  "argo-workflow": ["Argo Workflows", "AR"], "http-pull": ["Pull agents", "PU"], verification: ["Verification", "VE"],
};
const ORDER = Object.keys(PLATFORMS);

export const platformName = (platform) => (platform ? (PLATFORMS[platform]?.[0] ?? platform) : "Not yet given to a platform");
export const platformFill = (platform) => `fill-p${ORDER.includes(platform) ? ORDER.indexOf(platform) : "none"}`;
export function platformMark(platform) {
  const short = PLATFORMS[platform]?.[1] ?? "··";
  return h("span", { class: `platform-mark ${platformFill(platform)}`, "aria-hidden": "true" }, short);
}
