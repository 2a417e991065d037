// Who did what, newest first.
import { get, of } from "/console/static/core/api.js";
import { h } from "/console/static/core/dom.js";
import { filters } from "/console/static/core/filters.js";
import { icon } from "/console/static/core/icons.js";
import { empty, head, pages } from "/console/static/core/page.js";
import { to } from "/console/static/core/router.js";
import { table } from "/console/static/core/table.js";
import { ago } from "/console/static/core/time.js";

const PAGE = 100;

export default {
  title: "Audit",
  follows: false,
  async load({ query }, signal) {
    try {
      return await get(of("/audit"), { limit: PAGE, offset: query.offset, text: query.text, action: query.action }, signal);
    } catch (error) {
      if (error.status === 404) return { missing: true };
      throw error;
    }
  },
  draw({ items = [], total, missing }, { query }) {
    const actions = [...new Set(items.map((item) => item.action))].sort();
    return [
      head("Audit", "Every write through the API: who, what, when, and what it was before."),
      missing ? h("div", { class: "card" }, empty("audit", "This API does not list its audit yet", "Every write is recorded all the same, on the stream AUDIT of the bus.", h("pre", { class: "code" }, "nats stream view AUDIT"))) : [
        filters(query, [{ name: "text", label: "Who or what", hint: "a name" }, { name: "action", label: "Deed", options: actions.map((value) => ({ value, label: value })) }]),
        items.length === 0 ? h("div", { class: "card" }, query.text || query.action ? empty("audit", "Nothing fits", "Clear a filter to see more.") : empty("audit", "Nothing was written yet", "The first apply, approval or freeze appears here."))
          : table({ label: "Audit", rows: items, key: (item) => String(item.id), columns: [
            { name: "Deed", cell: (item) => h("span", {}, h("span", { class: "strong" }, item.action), " ", item.object.kind) },
            { name: "What", cell: (item) => (item.object.kind === "Job" ? h("a", { class: "link", href: to("jobs", item.object.id) }, item.object.name || item.object.id) : item.object.name || h("span", { class: "mono" }, item.object.id)) },
            { name: "Who", cell: (item) => h("span", {}, item.actor.key, h("span", { class: "soft" }, ` ${item.actor.role}`)) },
            { name: "Before and after", cell: (item) => change(item) },
            { name: "When", cell: (item) => ago(item.at) },
          ] }),
        pages({ size: PAGE, shown: items.length, total }),
      ],
    ];
  },
};

function change({ before, after }) {
  if (typeof before !== "object" && typeof after !== "object") return h("span", { class: "soft" }, `${before ?? "nothing"} → ${after ?? "nothing"}`);
  return h("details", {}, h("summary", {}, icon("more"), "Show"), h("pre", { class: "code", tabindex: "0", "aria-label": "Before and after" }, JSON.stringify({ before, after }, undefined, 2)));
}
