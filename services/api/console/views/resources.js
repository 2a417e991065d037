// What is deployed to: resources, and how everything on one of them stands.
import { all, get, jobsOf, of, post } from "/console/static/core/api.js";
import { parts } from "/console/static/core/chart.js";
import { h } from "/console/static/core/dom.js";
import { filters } from "/console/static/core/filters.js";
import { keyOf, title, version } from "/console/static/core/jobs.js";
import { names } from "/console/static/core/names.js";
import { empty, head, pages, part } from "/console/static/core/page.js";
import { to } from "/console/static/core/router.js";
import { STATES, jobStatus, targetState, toneOfState } from "/console/static/core/status.js";
import { table } from "/console/static/core/table.js";
import { ago, localised } from "/console/static/core/time.js";

const PAGE = 100;
// So many targets of the resources of a page are counted.
const TARGETS_MAX = 20_000;

export default {
  title: "Resources",
  follows: true,
  async load({ what, query }, signal) {
    if (what) {
      const [one, targets, jobs, known] = await Promise.all([get(of(`/resources/${encodeURIComponent(what)}`), {}, signal), all(of("/release-targets"), { resource: what }, signal, 500), jobsOf({ resource: what, limit: 12 }, signal), names(signal)]);
      return { one, targets: targets.items, jobs: jobs.items, known };
    }
    const known = await names(signal);
    const resources = await page(query, signal);
    const ids = resources.items.map(({ id }) => id);
    const targets = ids.length > 0 ? await all(of("/release-targets"), { resources: ids.join(",") }, signal, TARGETS_MAX) : { items: [], total: 0 };
    return { resources, targets, known };
  },
  draw(data, { query }) {
    return data.one ? one(data) : list(data, query);
  },
};

/** A page of those that fit. */
function page({ name, type, cel, offset }, signal) {
  if (!cel) return post(of("/resources/search"), { query: name || undefined, kinds: type ? [type] : undefined, limit: PAGE, offset: Number(offset ?? 0) });
  const text = JSON.stringify(name ?? "");
  const parts = [`(${cel})`, type && `resource.kind == ${JSON.stringify(type)}`, name && `(resource.name.contains(${text}) || resource.identifier.contains(${text}))`];
  return get(of("/resources"), { cel: parts.filter(Boolean).join(" && "), limit: PAGE, offset }, signal);
}

function list({ resources, targets, known }, query) {
  const types = [...new Set(known.resources.map((resource) => resource.kind).filter(Boolean))].sort();
  const is_filtered = query.name || query.type || query.cel;
  const by = new Map();
  for (const target of targets.items) by.set(target.resource.id, [...(by.get(target.resource.id) ?? []), target]);
  return [
    head("Resources", `${resources.total} ${resources.total === 1 ? "resource" : "resources"}${is_filtered ? " fit the filters" : ""}: clusters, accounts, machines, whatever versions are brought to.`),
    filters(query, [{ name: "name", label: "Name", hint: "part of a name" }, { name: "type", label: "Type", options: types.map((value) => ({ value, label: value })) }, { name: "cel", label: "Expression (CEL)", hint: "resource.metadata.region == \"eu\"" }]),
    resources.items.length === 0 ? h("div", { class: "card" }, empty("resources", is_filtered ? "No resource fits" : "No resources yet", !is_filtered ? "Declare one (kind: Resource) or let a provider set them over the API." : query.cel ? "Change the filters to see others. A resource without a field that the expression asks for does not fit." : "Change the filters to see others."))
      : table({ label: "Resources", rows: resources.items, key: (resource) => resource.id, columns: [
        { name: "Resource", cell: (resource) => h("div", {}, h("a", { class: "strong", href: to("resources", resource.id) }, resource.name), resource.identifier !== resource.name && h("div", { class: "soft small mono" }, resource.identifier)) },
        { name: "Type", cell: (resource) => resource.kind },
        { name: "Labels", cell: (resource) => labels(resource.metadata) },
        { name: "Environments", cell: (resource) => [...new Set((by.get(resource.id) ?? []).map((target) => target.environment.name))].join(", ") || undefined },
        { name: "Targets", cell: (resource) => standing(resource.name, by.get(resource.id) ?? []) },
      ] }),
    part(targets.items.length, targets.total, "targets of these resources are counted"),
    pages({ size: PAGE, shown: resources.items.length, total: resources.total, back: "Those before", on: "Those after" }),
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
