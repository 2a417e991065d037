// What came in from outside, and what it caused.
import { all, get, of } from "/console/static/core/api.js";
import { h } from "/console/static/core/dom.js";
import { filters } from "/console/static/core/filters.js";
import { icon } from "/console/static/core/icons.js";
import { version } from "/console/static/core/jobs.js";
import { options } from "/console/static/core/names.js";
import { empty, head } from "/console/static/core/page.js";
import { to } from "/console/static/core/router.js";
import { table } from "/console/static/core/table.js";
import { ago } from "/console/static/core/time.js";

export default {
  title: "Triggers",
  follows: true,
  every: 5_000,
  async load({ query }, signal) {
    const [page, sources, rules] = await Promise.all([get(of("/triggers"), { source: query.source, type: query.type, before: query.before, limit: 100 }, signal), all(of("/catalog/TriggerSource"), {}, signal, 500), all(of("/catalog/Trigger"), {}, signal, 500)]);
    return { page, sources: sources.items.map((source) => ({ name: source.meta.name, sender: source.spec.sender?.type })), rules: rules.items };
  },
  draw({ page, sources, rules }, { query }) {
    const shown = page.items.filter((item) => query.effect !== "made" || item.caused?.length > 0);
    const types = [...new Set(page.items.map((item) => item.type).filter(Boolean))].sort();
    const of_type = (item) => rules.filter((rule) => rule.spec.source === item.triggerSource && rule.spec.event === item.type);
    return [
      head("Triggers", "Everything that came in from outside, and what became of it. Each stays for 30 days, untouched."),
      filters(query, [{ name: "source", label: "Source", options: options(sources) }, { name: "type", label: "Event", options: types.map((value) => ({ value, label: value })) }, { name: "effect", label: "Effect", options: [{ value: "made", label: "Made a version or a run" }] }]),
      shown.length === 0 ? h("div", { class: "card" }, page.items.length > 0 ? empty("triggers", "Nothing fits these filters", "Clear one of them, or look at older events.") : empty("triggers", "Nothing came in", sources.length === 0 ? "Declare a trigger source (kind: TriggerSource), then let its sender post to /webhooks/<workspace>/<source>." : `Let the sender post to /webhooks/<workspace>/${sources[0].name}. docs/ingest.md says what the answers mean.`))
        : table({ label: "Trigger events", rows: shown, key: (item) => String(item.sequence), columns: [
          { name: "Event", cell: (item) => h("div", {}, h("span", { class: "strong" }, item.type ?? "unreadable"), item.subject && h("span", { class: "soft break" }, ` ${item.subject}`), h("div", { class: "soft small mono break" }, item.id ?? item.unreadable)) },
          { name: "From", cell: (item) => h("div", {}, item.triggerSource, h("div", { class: "soft small break" }, item.source)) },
          { name: "What it caused", cell: (item) => effect(item, of_type(item)) },
          { name: "Size", end: true, cell: (item) => h("span", { class: "nowrap" }, size(item.sizeBytes)) },
          { name: "Came", cell: (item) => ago(item.at) },
        ] }),
      h("nav", { class: "row", "aria-label": "Pages", key: "pages" }, query.before && h("a", { class: "button", href: to("triggers", undefined, { ...query, before: undefined }) }, "Newest"), page.next && h("a", { class: "button", href: to("triggers", undefined, { ...query, before: page.next }) }, "Older", icon("more"))),
    ];
  },
};

function effect(item, rules) {
  if (item.caused?.length > 0) return h("div", { class: "row" }, item.caused.map((made) => made.kind === "WorkflowRun" ? h("a", { class: "row nowrap link", href: to("workflows", `runs/${made.id}`) }, icon("workflows"), `run of ${made.workflow.name}`) : h("a", { class: "row nowrap link", href: to("jobs", undefined, { deployment: made.deployment.name, version: made.tag }) }, icon("push"), made.deployment.name, " ", version(made.tag))));
  if (item.unreadable) return h("span", { class: "soft" }, "it cannot be read: see ", h("a", { class: "link", href: to("dead-letters") }, "dead letters"));
  if (["workflow_run", "workflow_job", "Pipeline Hook", "pipeline", "Job Hook"].includes(item.type)) return h("span", { class: "soft" }, "news of runs");
  return h("span", { class: "soft" }, rules.length === 0 ? "no rule is about it" : "its rules made nothing new");
}

const size = (bytes) => (bytes < 1024 ? `${bytes} B` : bytes < 1_048_576 ? `${(bytes / 1024).toFixed(1)} KiB` : `${(bytes / 1_048_576).toFixed(1)} MiB`);
