// Workflows: all of them, one with its runs and the button that begins another, and one run with its jobs in the order of
// what they need. Addresses: workflows, workflows/<id>, workflows/runs/<id>.
import { all, get, of, post } from "/console/static/core/api.js";
import { ask } from "/console/static/core/dialog.js";
import { h } from "/console/static/core/dom.js";
import { filters } from "/console/static/core/filters.js";
import { icon } from "/console/static/core/icons.js";
import { deepLinks } from "/console/static/core/jobs.js";
import { empty, head, pages } from "/console/static/core/page.js";
import { go, to } from "/console/static/core/router.js";
import { RUN_STATUSES, because, jobStatus, platformMark, platformName, runStatus } from "/console/static/core/status.js";
import { table } from "/console/static/core/table.js";
import { ago, at, between, length, running } from "/console/static/core/time.js";

const RUNS = "runs/";
const SHOWN = 50;

/** The view that the address means. */
export const workflows = ({ what }) => (!what ? list : what.startsWith(RUNS) ? run : one);

const UNDER_WAY = { value: "pending,inProgress,cancelling", label: "On the way" };

const asked = ({ status, offset }) => ({ status, offset });
const runLink = (id) => to("workflows", `${RUNS}${id}`);
const begunBy = (run) => run.begunBy?.user ?? (run.begunBy?.trigger ? `trigger ${run.begunBy.trigger.name}` : "");
const is_over = (run) => run.completedAt !== undefined;

const list = {
  title: "Workflows",
  follows: true,
  async load({ query }, signal) {
    const [found, runs] = await Promise.all([all(of("/workflows"), {}, signal), get(of("/workflow-runs"), { ...asked(query), limit: SHOWN }, signal)]);
    return { found: found.items, runs };
  },
  draw({ found, runs }, { query }, again) {
    return [
      head("Workflows", "Jobs that run after one another, on any platform. Each run is begun by a person, by CI, or by a trigger."),
      h("div", { class: "stack", key: "stack" },
        found.length === 0 ? h("div", { class: "card", key: "none" }, empty("workflows", "No workflow is declared", "Declare one (kind: Workflow) and apply it. docs/catalog.md shows how.", h("pre", { class: "code" }, "ctrlplane apply -f workflow.yaml")))
          : table({ label: "Workflows", rows: found, key: (workflow) => workflow.id, columns: [
            { name: "Workflow", cell: (workflow) => h("div", {}, h("a", { class: "strong", href: to("workflows", workflow.id) }, workflow.name), workflow.description && h("div", { class: "soft small" }, workflow.description)) },
            { name: "Inputs", cell: (workflow) => workflow.inputs.map((input) => input.key).join(", ") || undefined },
            { name: "Jobs", cell: (workflow) => String(workflow.jobs.length) },
            { name: "Run", unseen: true, end: true, cell: (workflow) => h("button", { class: "button", type: "button", onclick: () => begin(workflow, again), "aria-label": `Run ${workflow.name}` }, icon("arrow"), "Run") },
          ] }),
        runsOf(runs, true, query)),
    ];
  },
};

const one = {
  title: "Workflow",
  follows: true,
  async load({ what, query }, signal) {
    const [workflow, runs] = await Promise.all([get(of(`/workflows/${encodeURIComponent(what)}`), {}, signal), get(of("/workflow-runs"), { ...asked(query), workflow: what, limit: SHOWN }, signal)]);
    return { workflow, runs };
  },
  draw({ workflow, runs }, { query }, again) {
    const needs = (name) => workflow.jobs.find((job) => job.name === name)?.needs ?? [];
    const jobs = workflow.jobs.map((job) => ({ key: job.name, of: job.name, body: declared(job) }));
    return [
      head(workflow.name, workflow.description, h("button", { class: "button main-action", type: "button", onclick: () => begin(workflow, again) }, icon("arrow"), "Run"), h("a", { href: to("workflows") }, "Workflows")),
      h("div", { class: "stack", key: "stack" },
        workflow.inputs.length > 0 && table({ label: "Inputs", rows: workflow.inputs, key: (input) => input.key, columns: [
          { name: "Input", cell: (input) => h("div", {}, h("span", { class: "strong" }, input.key), input.description && h("div", { class: "soft small" }, input.description)) },
          { name: "Type", cell: (input) => input.type },
          { name: "Default", cell: (input) => (input.default === undefined ? undefined : h("span", { class: "mono break" }, JSON.stringify(input.default))) },
          { name: "Must be given", cell: (input) => (input.required && input.default === undefined ? "yes" : "no") },
        ] }),
        stages(jobs, needs), runsOf(runs, false, query)),
    ];
  },
};

const run = {
  title: "Run of a workflow",
  follows: true,
  every: 5_000,
  load: ({ what }, signal) => get(of(`/workflow-runs/${encodeURIComponent(what.slice(RUNS.length))}`), {}, signal),
  draw(run, _, again) {
    const needs = (name) => run.jobs.find((job) => job.job === name)?.needs.map((need) => need.name) ?? [];
    const jobs = run.jobs.map((job) => ({ key: job.id, of: job.job, body: ofRun(job) }));
    const took = is_over(run) ? h("span", { class: "soft" }, "took ", length(between(run.at, run.completedAt))) : h("span", { class: "soft" }, "for ", ago(run.at, running));
    return [
      head(h("span", {}, run.workflowName, h("span", { class: "soft" }, ` ${run.id.slice(0, 8)}`)), undefined,
        !is_over(run) && !run.cancel && h("button", { class: "button danger", type: "button", onclick: () => end(run, again) }, icon("stopped"), "Cancel"),
        [h("a", { href: to("workflows") }, "Workflows"), " / ", h("a", { href: to("workflows", run.workflowId) }, run.workflowName)]),
      h("div", { class: "stack", key: "stack" },
        h("div", { class: "row", key: "now" }, runStatus(run.status, "pill"), took, h("span", { class: "soft" }, `${run.jobsOver} of ${run.jobCount} jobs over`)),
        run.cancel && h("div", { class: "note idle", key: "cancel" }, icon("stopped", "idle"), h("div", { class: "grow" }, h("span", { class: "strong" }, `Cancelled by ${run.cancel.by}. `), run.cancel.reason)),
        stages(jobs, needs),
        h("section", { class: "card", key: "facts", "aria-labelledby": "run-facts" }, h("header", {}, h("h2", { id: "run-facts" }, "Facts")), h("div", { class: "in" }, h("dl", { class: "facts" },
          h("dt", {}, "Begun by"), h("dd", {}, begunBy(run)), h("dt", {}, "Begun"), h("dd", {}, at(run.at)),
          is_over(run) && [h("dt", {}, "Ended"), h("dd", {}, at(run.completedAt))],
          Object.entries(run.inputs).map(([key, value]) => [h("dt", {}, key), h("dd", { class: "mono" }, typeof value === "string" ? value : JSON.stringify(value))]))))),
    ];
  },
};

/** Jobs by how many stages stand before them: beside one another on a wide screen, below one another on a narrow one. */
function stages(jobs, needs) {
  const depths = new Map();
  const depth = (name, seen = []) => {
    if (!depths.has(name)) depths.set(name, seen.includes(name) ? 0 : Math.max(-1, ...needs(name).map((need) => depth(need, [...seen, name]))) + 1);
    return depths.get(name);
  };
  const rows = [];
  for (const job of jobs) (rows[depth(job.of)] ??= []).push(job);
  return h("section", { class: "card", key: "stages", "aria-labelledby": "stages" }, h("header", {}, h("h2", { id: "stages" }, "Jobs"), h("span", { class: "soft small" }, "each after what it needs")),
    h("div", { class: "in" }, h("ol", { class: "stages" }, rows.map((row, n) => h("li", { key: `stage-${n}` }, h("h3", { class: "soft small" }, `Stage ${n + 1}`), h("ul", {}, row.map((job) => h("li", { key: job.key, class: "stage-job", "data-row": true }, job.body))))))));
}

function declared(job) {
  const by = job.agent.ref ?? job.agent.selector;
  return [h("div", { class: "strong" }, job.name, job.forEach !== undefined && h("span", { class: "soft" }, typeof job.forEach === "string" ? ` for each of ${job.forEach}` : ` × ${job.forEach.length}`)),
    h("div", { class: "soft small break" }, `on ${by}`), wants(job.needs), job.if && h("div", { class: "soft small mono break" }, `if ${job.if}`)];
}

function ofRun(job) {
  const was_asked = job.createdAt !== undefined;
  return [h("div", { class: "row" }, was_asked ? h("a", { class: "strong", href: to("jobs", job.id) }, job.name) : h("span", { class: "strong" }, job.name), jobStatus(job)),
    job.item !== undefined && h("div", { class: "soft small mono break" }, typeof job.item === "string" ? job.item : JSON.stringify(job.item)),
    job.platform && h("div", { class: "row soft small" }, platformMark(job.platform), platformName(job.platform)),
    (job.why || job.message || job.reason) && h("div", { class: "soft small break" }, job.why ?? because(job)),
    was_asked && job.startedAt && h("div", { class: "soft small" }, job.completedAt ? length(between(job.startedAt, job.completedAt)) : ago(job.startedAt, running)),
    wants(job.needs?.map((need) => need.name)), was_asked && h("div", { class: "row" }, deepLinks(job, "button bare").slice(0, 1))];
}

const wants = (needs) => needs?.length > 0 && h("div", { class: "soft small" }, `after ${needs.join(", ")}`);

function runsOf(runs, of_any, query) {
  return h("section", { class: "section", key: "runs", "aria-labelledby": "runs" }, h("header", {}, h("h2", { id: "runs" }, "Runs"), h("span", { class: "soft small" }, `${runs.total} ${query.status ? "of that status" : "in all"}, newest first`)),
    filters(query, [{ name: "status", label: "Status", options: [UNDER_WAY, ...RUN_STATUSES] }]),
    runs.items.length === 0 ? h("div", { class: "card" }, query.status ? empty("jobs", "No run has that status", "Clear the filter to see the others.") : empty("jobs", "Nothing has run yet"))
      : table({ label: "Runs", rows: runs.items, key: (run) => run.id, columns: [
        { name: "Run", cell: (run) => h("a", { class: "strong", href: runLink(run.id) }, of_any && `${run.workflowName} `, h("span", { class: "mono" }, run.id.slice(0, 8))) },
        { name: "Status", cell: (run) => runStatus(run.status) },
        { name: "Jobs", cell: (run) => `${run.jobsOver} of ${run.jobCount}` },
        { name: "Begun by", cell: (run) => begunBy(run) },
        { name: "Took", cell: (run) => (is_over(run) ? h("span", { class: "nowrap" }, length(between(run.at, run.completedAt))) : ago(run.at, running)) },
        { name: "Begun", cell: (run) => ago(run.at) },
      ] }),
    pages({ size: SHOWN, shown: runs.items.length, total: runs.total }));
}

const TEXTS = ["array", "object"];

/** Asks for the inputs, and begins a run. */
function begin(workflow, then) {
  const field = (input) => {
    const options = input.type === "boolean" ? [true, false] : input.options;
    const given = input.default === undefined ? "" : input.type === "string" ? input.default : JSON.stringify(input.default);
    const chosen = (option) => (typeof option === "string" ? option : JSON.stringify(option));
    return {
      name: input.key, label: input.key, required: Boolean(input.required) && input.default === undefined, value: given,
      kind: TEXTS.includes(input.type) ? "long" : "text",
      hint: [input.description, TEXTS.includes(input.type) && `JSON, an ${input.type}`, input.type === "number" && "a number"].filter(Boolean).join("; ") || undefined,
      options: options?.length > 0 ? [...(input.default === undefined ? [{ value: "", label: "–" }] : []), ...options.map((option) => ({ value: chosen(option), label: chosen(option) }))] : undefined,
    };
  };
  return ask({
    title: `Run ${workflow.name}?`, text: workflow.description, fields: workflow.inputs.map(field), action: "Run the workflow", then,
    act: async (given) => {
      const inputs = {};
      for (const input of workflow.inputs) {
        const text = given[input.key] ?? "";
        if (text !== "") inputs[input.key] = input.type === "string" ? text : parsed(input, text);
      }
      const begun = await post(of(`/workflows/${workflow.id}/runs`), { inputs });
      go(runLink(begun.id));
      return `${workflow.name} runs`;
    },
  });
}

function parsed(input, text) {
  try {
    return JSON.parse(text);
  } catch {
    throw new Error(`${input.key}: this is no ${input.type} in JSON`);
  }
}

const end = (run, then) => ask({
  title: `Cancel this run of ${run.workflowName}?`,
  text: "Jobs that are on their way are cancelled; the others never start.",
  fields: [{ name: "reason", label: "Reason", kind: "text" }],
  action: "Cancel the run", danger: true, then,
  act: async ({ reason }) => (await post(of(`/workflow-runs/${run.id}/cancel`), reason ? { reason } : {})).message,
});
