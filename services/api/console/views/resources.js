// What is deployed to: resources, and how everything on one of them stands.
import { all, get, jobsOf, of } from "/console/static/core/api.js";
import { parts } from "/console/static/core/chart.js";
import { h } from "/console/static/core/dom.js";
import { filters } from "/console/static/core/filters.js";
import { keyOf, title, version } from "/console/static/core/jobs.js";
import { names } from "/console/static/core/names.js";
import { empty, head } from "/console/static/core/page.js";
import { to } from "/console/static/core/router.js";
import { STATES, jobStatus, targetState, toneOfState } from "/console/static/core/status.js";
import { table } from "/console/static/core/table.js";
import { ago, localised } from "/console/static/core/time.js";

const SHOWN = 300;

export default {
  title: "Resources",
  follows: true,
  async load({ what, query }, signal) {
    if (what) {
      const [one, targets, jobs, known] = await Promise.all([get(of(`/resources/${encodeURIComponent(what)}`), {}, signal), all(of("/release-targets"), { resource: what }, signal, 500), jobsOf({ resource: what, limit: 12 }, signal), names(signal)]);
      return { one, targets: targets.items, jobs: jobs.items, known };
    }
    const [resources, targets] = await Promise.all([all(of("/resources"), { cel: query.cel }, signal, 2000), all(of("/release-targets"), {}, signal, 5000)]);
    return { resources, targets: targets.items };
  },
  draw(data, { query }) {
    return data.one ? one(data) : list(data, query);
  },
};

function list({ resources, targets }, query) {
  const types = [...new Set(resources.items.map((resource) => resource.kind).filter(Boolean))].sort();
  const text = (query.name ?? "").toLowerCase();
  const shown = resources.items.filter((resource) => (!query.type || resource.kind === query.type) && (!text || `${resource.name} ${resource.identifier}`.toLowerCase().includes(text)));
  const by = new Map();
  for (const target of targets) by.set(target.resource.id, [...(by.get(target.resource.id) ?? []), target]);
  return [
    head("Resources", `${resources.total} ${resources.total === 1 ? "resource" : "resources"}: clusters, accounts, machines, whatever versions are brought to.`),
    filters(query, [{ name: "name", label: "Name", hint: "part of a name" }, { name: "type", label: "Type", options: types.map((value) => ({ value, label: value })) }, { name: "cel", label: "Expression (CEL)", hint: "resource.metadata.region == \"eu\"" }]),
    shown.length === 0 ? h("div", { class: "card" }, empty("resources", resources.total === 0 && !query.cel ? "No resources yet" : "No resource fits", resources.total === 0 && !query.cel ? "Declare one (kind: Resource) or let a provider set them over the API." : "Change the filters to see others."))
      : table({ label: "Resources", rows: shown.slice(0, SHOWN), key: (resource) => resource.id, columns: [
        { name: "Resource", cell: (resource) => h("div", {}, h("a", { class: "strong", href: to("resources", resource.id) }, resource.name), resource.identifier !== resource.name && h("div", { class: "soft small mono" }, resource.identifier)) },
        { name: "Type", cell: (resource) => resource.kind },
        { name: "Labels", cell: (resource) => labels(resource.metadata) },
        { name: "Environments", cell: (resource) => [...new Set((by.get(resource.id) ?? []).map((target) => target.environment.name))].join(", ") || undefined },
        { name: "Targets", cell: (resource) => standing(resource.name, by.get(resource.id) ?? []) },
      ] }),
    shown.length > SHOWN && h("p", { class: "soft small" }, `The first ${SHOWN} of ${shown.length}; filter to see others.`),
  ];
}

const labels = (metadata) => {
  const entries = Object.entries(metadata ?? {}).filter(([name]) => !name.startsWith("ctrlplane/"));
  return entries.length > 0 && h("span", { class: "row" }, entries.slice(0, 4).map(([name, value]) => h("span", { class: "tag", title: `${name}: ${value}` }, `${name}=${value}`)));
};

function standing(name, targets) {
  if (targets.length === 0) return h("span", { class: "soft" }, "none");
  return h("div", { class: "row nowrap" }, h("span", {}, String(targets.length)), h("span", { class: "grow" }, parts(name, STATES.map(({ value, label }) => ({ name: label.toLowerCase(), fill: `fill-${toneOfState(value)}`, count: targets.filter((target) => target.state === value).length })))));
}

function one({ one: resource, targets, jobs, known }) {
  const shown = { ...resource.config };
  return [
    head(resource.name, [resource.kind, resource.identifier].filter(Boolean).join(" · "), undefined, h("a", { href: to("resources") }, "Resources")),
    h("div", { class: "stack", key: "stack" },
      h("section", { class: "section", "aria-labelledby": "here" }, h("header", {}, h("h2", { id: "here" }, "What is deployed here")),
        targets.length === 0 ? h("div", { class: "card" }, empty("resources", "Nothing is deployed here", "No environment selects this resource, or no deployment of its systems does."))
          : table({ label: "Release targets of this resource", rows: targets, key: (target) => target.key, columns: [
            { name: "Deployment", cell: (target) => h("a", { class: "strong", href: to("why", keyOf(target)) }, target.deployment.name) }, { name: "Environment", cell: (target) => target.environment.name },
            { name: "State", cell: (target) => targetState(target.state) }, { name: "Runs", cell: (target) => target.current && version(target.current.tag) }, { name: "Why", cell: (target) => h("span", { class: "soft" }, localised(target.summary)) }] })),
      h("div", { class: "columns" },
        h("section", { class: "card", "aria-labelledby": "about" }, h("header", {}, h("h2", { id: "about" }, "Facts")), h("div", { class: "in tight" }, h("dl", { class: "facts" }, [...Object.entries(resource.metadata ?? {}), ["Declared", ago(resource.createdAt)], ["Changed", ago(resource.updatedAt)]].map(([name, value]) => [h("dt", {}, name), h("dd", {}, value)])),
          Object.keys(shown).length > 0 && h("pre", { class: "code", tabindex: "0", "aria-label": "Configuration" }, JSON.stringify(shown, undefined, 2)))),
        h("section", { class: "card", "aria-labelledby": "lately" }, h("header", {}, h("h2", { id: "lately" }, "Jobs lately"), h("a", { class: "link small", href: to("jobs", undefined, { resource: resource.id }) }, "All")),
          jobs.length === 0 ? empty("jobs", "No jobs yet") : h("ul", { class: "lines" }, jobs.map((job) => h("li", { key: job.id, "data-row": true }, h("div", { class: "what" }, title(job, known)), h("div", { class: "aside" }, jobStatus(job), ago(job.createdAt)))))))),
  ];
}
