// One job: the way from what caused it to its end, each fact with where it came from and how late, and what can be done.
import { get, jobsOf, of, whole } from "/console/static/core/api.js";
import { h } from "/console/static/core/dom.js";
import { icon } from "/console/static/core/icons.js";
import { cancel, deepLinks, keyOf, ofWorkflow, retry, version } from "/console/static/core/jobs.js";
import { names } from "/console/static/core/names.js";
import { head } from "/console/static/core/page.js";
import { to } from "/console/static/core/router.js";
import { because, isActive, jobStatus, labelOf, platformMark, platformName, reasonOf, toneOf } from "/console/static/core/status.js";
import { ago, at, between, length, running } from "/console/static/core/time.js";

const DELIVERY = "ctrlplane/delivery";
const FACTS = {
  requested: ["Asked for", "policies"], held: ["Put on hold", "queued"], dispatched: ["Given to an agent", "agents"], triggerStarted: ["About to call the platform", "arrow"],
  triggered: ["The platform has the run", "link"], triggerUnknown: ["Sent, and no answer came", "warn"], observed: ["Seen", "run"], cancelRequested: ["Somebody wishes it to end", "stopped"],
  cancelSent: ["The platform was asked to end it", "stopped"], retryRequested: ["Somebody wishes it to run again", "retry"], finished: ["Ended", "ok"],
};
const SOURCES = { webhook: "told by a webhook", read: "read from the platform", ctrlplane: "decided here" };

export default {
  title: "Job",
  follows: true,
  every: 5_000,
  async load({ what }, signal) {
    const job = whole(await get(of(`/jobs/${what}`), {}, signal));
    if (ofWorkflow(job)) {
      const run = await get(of(`/workflow-runs/${job.purpose.run}`), {}, signal).catch((error) => { if (error.status === 404) return undefined; throw error; });
      return { known: await names(signal), job, run, siblings: [] };
    }
    const gone = (error) => { if (error.status === 404) return undefined; throw error; };
    const { resource, environment, deployment } = job.target;
    const [known, said, siblings] = await Promise.all([names(signal), get(of(`/deployment-versions/${job.versionId}`), {}, signal).catch(gone),
      jobsOf({ target: keyOf({ resource, environment, deployment }), limit: 8 }, signal)]);
    return { known, job, said, siblings: siblings.items.filter((other) => other.id !== job.id) };
  },
  draw({ known, job, said, run, siblings }, _, again) {
    const resource = known.name(job.target.resource);
    const is_active = isActive(job.status);
    const trace = job.history.map((entry) => entry.traceparent).find(Boolean);
    return [
      head(ofWorkflow(job) ? h("span", {}, run ? `${run.workflowName} ` : "Workflow job ", version(job.name))
        : h("span", {}, job.purpose?.is === "verify" ? "Verify " : "", job.deployment, " ", version(job.version), h("span", { class: "soft" }, " → "), `${job.environment} / ${resource}`), undefined,
        [deepLinks(job), is_active && !job.cancelling && h("button", { class: "button danger", type: "button", onclick: () => cancel(job, again) }, icon("stopped"), "Cancel"),
          !is_active && h("button", { class: "button", type: "button", onclick: () => retry(job, again) }, icon("retry"), "Retry"),
          ofWorkflow(job) ? h("a", { class: "button", href: to("workflows", `runs/${job.purpose.run}`) }, icon("workflows"), "Its run") : h("a", { class: "button", href: to("why", keyOf(job.target)) }, icon("why"), "Why")],
        h("a", { href: to("jobs") }, "Jobs")),
      h("div", { class: "stack", key: "stack" },
        h("div", { class: "row", key: "now" }, jobStatus(job, "pill"), h("span", { class: "row soft" }, platformMark(job.platform), platformName(job.platform)), is_active ? h("span", { class: "soft" }, job.startedAt ? "runs for " : "waits for ", ago(job.startedAt ?? job.createdAt, running)) : h("span", { class: "soft" }, "ended ", ago(job.completedAt)),
          job.attempt > 1 && h("span", { class: "soft" }, `attempt ${job.attempt}`)),
        (job.message || job.reason) && h("div", { class: `note ${toneOf(job.status) === "bad" ? "bad" : "idle"}`, key: "message" }, icon(toneOf(job.status) === "bad" ? "bad" : "why", toneOf(job.status)), h("div", { class: "grow" }, job.reason && !(job.reason === "concurrency" && job.message) && h("span", { class: "strong" }, `${capital(reasonOf(job.reason))}. `), capital(job.message))),
        journey(job, said),
        h("div", { class: "columns", key: "columns" },
          h("section", { class: "card", "aria-labelledby": "history" }, h("header", {}, h("h2", { id: "history" }, "What happened"), h("span", { class: "soft small" }, "newest last")), h("div", { class: "in" }, h("ol", { class: "steps" }, caused(said), job.history.map(step)))),
          h("div", { class: "tight" },
            h("section", { class: "card", "aria-labelledby": "facts" }, h("header", {}, h("h2", { id: "facts" }, "Facts")), h("div", { class: "in" }, facts(job, said, run, known, trace))),
            siblings.length > 0 && h("section", { class: "card", "aria-labelledby": "others" }, h("header", {}, h("h2", { id: "others" }, "Other jobs on this target")), h("ul", { class: "lines" }, siblings.map((other) => h("li", { key: other.id, "data-row": true }, h("div", { class: "what" }, h("a", { href: to("jobs", other.id) }, version(other.version), other.attempt > 1 ? ` attempt ${other.attempt}` : "")), h("div", { class: "aside" }, jobStatus(other), ago(other.createdAt)))))),
            code("config", "Configuration the agent works with", job.jobAgentConfig),
            code("context", "What its templates saw", job.dispatchContext)))),
    ];
  },
};

const capital = (text) => text && text[0].toUpperCase() + text.slice(1);

/** Where the time went. */
function journey(job, said) {
  const first = (fact) => job.history.find((entry) => entry.fact === fact)?.at;
  const marks = [
    ["version known", said?.createdAt && Date.parse(said.createdAt) <= Date.parse(job.createdAt) && job.attempt === 1 ? said.createdAt : undefined],
    ["asked for", job.createdAt], ["given to its agent", first("dispatched")], ["platform called", first("triggered")], ["running", job.startedAt], ["ended", job.completedAt]].filter(([, instant]) => instant);
  const words = { "asked for": ["rules and decision", "fill-wait"], "given to its agent": ["slot and configuration", "fill-idle"], "platform called": ["starting it there", "fill-p2"], running: ["queued on the platform", "fill-p3"], ended: ["running", "fill-run"] };
  const spans = [];
  for (let index = 1; index < marks.length; index += 1) {
    const [name, instant] = marks[index];
    const ms = between(marks[index - 1][1], instant);
    if (ms >= 0) spans.push({ name: words[name][0], fill: words[name][1], ms });
  }
  if (isActive(job.status)) {
    const [last, instant] = marks.at(-1);
    const [name, fill] = words[job.startedAt ? "ended" : { "given to its agent": "platform called", "platform called": "running" }[last] ?? "given to its agent"];
    spans.push({ name: `${name}, until now`, fill, ms: Math.max(Date.now() - Date.parse(instant), 0) });
  }
  const total = spans.reduce((sum, span) => sum + span.ms, 0);
  if (total <= 0) return undefined;
  const label = `Where the time went, ${length(total)} in all: ${spans.map((span) => `${span.name} ${length(span.ms)}`).join(", ")}`;
  return h("section", { class: "card", key: "journey", "aria-labelledby": "journey" }, h("header", {}, h("h2", { id: "journey" }, "Where the time went"), h("span", { class: "soft small" }, `${length(total)} in all`)),
    h("div", { class: "in journey" }, h("div", { class: "track", role: "img", "aria-label": label }, spans.filter((span) => span.ms > 0).map((span) => h("i", { class: span.fill, style: { "flex-grow": String(Math.max(span.ms, total / 200)) }, title: `${span.name}: ${length(span.ms)}` }))),
      h("ol", {}, spans.map((span) => h("li", {}, h("i", { class: span.fill, "aria-hidden": "true" }), h("span", { class: "soft" }, span.name), h("span", { class: "strong" }, length(span.ms)))))));
}

function caused(said) {
  if (!said) return undefined;
  const delivery = said.metadata?.[DELIVERY];
  const by = said.metadata?.createdBy;
  return [delivery && h("li", { key: "delivery" }, h("span", { class: "mark" }, icon("triggers")), h("div", { class: "strong" }, "A webhook came in"), h("div", { class: "meta" }, h("a", { class: "link", href: to("triggers") }, "delivery ", h("span", { class: "mono" }, delivery)), said.metadata?.message && h("span", {}, `“${said.metadata.message}”`))),
    h("li", { key: "version" }, h("span", { class: "mark" }, icon("push")), h("div", {}, h("span", { class: "strong" }, "It became version "), version(said.tag)), h("div", { class: "meta" }, at(said.createdAt), by && h("span", {}, `by ${by}`)))];
}

function step(entry) {
  const [label, drawing] = FACTS[entry.fact] ?? [entry.fact, "none"];
  const tone = toneOf(entry.status);
  const shown = entry.fact === "finished" ? { ok: "ok", bad: "bad", idle: "stopped" }[tone] ?? drawing : drawing;
  return h("li", { key: String(entry.sequence) }, h("span", { class: `mark ${tone}` }, icon(shown)),
    h("div", {}, h("span", { class: "strong" }, label), h("span", { class: tone }, ` · ${labelOf(entry.status)}`)),
    (entry.message || entry.reason) && h("div", { class: "break" }, because(entry)),
    h("div", { class: "meta" }, at(entry.at), entry.source && h("span", {}, SOURCES[entry.source] ?? entry.source), entry.lagMs !== undefined && h("span", { title: "from the platform's stamp to ours" }, `${length(entry.lagMs)} after it happened`), entry.cause && h("span", { class: "break", title: entry.cause }, cause(entry.cause))));
}

/** What caused a fact, as short as it can be told; the title says all of it. */
function cause(text) {
  const delivery = text.match(/^https?:\/\/(\S+) ([0-9a-f]{8})[0-9a-f-]*$/);
  if (delivery) return `delivery ${delivery[2]} of ${delivery[1].split("/").slice(1).join("/")}`;
  if (text.startsWith("ctrlplane.command.")) return "by its command";
  return text.replace(/([0-9a-f]{8})-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/g, "$1");
}

function facts(job, said, run, known, trace) {
  const row = (name, value) => value !== undefined && value !== null && value !== "" && [h("dt", {}, name), h("dd", {}, value)];
  return h("dl", { class: "facts" },
    ofWorkflow(job) ? row("Workflow", h("a", { class: "link", href: to("workflows", job.purpose.workflow) }, run?.workflowName ?? job.purpose.workflow.slice(0, 8))) : row("Version", h("span", {}, version(job.version), said?.metadata?.message ? ` ${said.metadata.message}` : "")),
    ofWorkflow(job) ? row("Run", h("a", { class: "link mono", href: to("workflows", `runs/${job.purpose.run}`) }, job.purpose.run.slice(0, 8))) : row("Target", h("a", { class: "link", href: to("why", keyOf(job.target)) }, `${job.environment} / ${known.name(job.target.resource)}`)),
    row("Agent", job.jobAgent && h("a", { class: "link", href: to("agents") }, job.jobAgent)),
    row("Run", job.external && h("span", { class: "mono" }, `${job.external.scope} ${job.external.id}${job.external.attempt > 1 ? ` (attempt ${job.external.attempt})` : ""}`)),
    row("Asked for", at(job.createdAt)), row("Started", job.startedAt && at(job.startedAt)), row("Ended", job.completedAt && at(job.completedAt)),
    row("Confirmed", job.confirmedAt && h("span", { title: "when the platform last confirmed the status" }, ago(job.confirmedAt))),
    row("Trace", trace && h("span", { class: "mono" }, trace)), row("Job", h("span", { class: "mono" }, job.id)));
}

function code(id, label, value) {
  if (!value || Object.keys(value).length === 0) return undefined;
  return h("details", { class: "card", key: id }, h("summary", { class: "in" }, icon("more"), h("span", { class: "strong" }, label)), h("pre", { class: "code", tabindex: "0", "aria-label": label }, JSON.stringify(value, undefined, 2)));
}
