// Versions that wait for somebody to say yes, and what was said before.
import { all, of } from "/console/static/core/api.js";
import { h } from "/console/static/core/dom.js";
import { icon } from "/console/static/core/icons.js";
import { approvals, keyOf, ruleName, speak, version } from "/console/static/core/jobs.js";
import { names } from "/console/static/core/names.js";
import { empty, head, part } from "/console/static/core/page.js";
import { to } from "/console/static/core/router.js";
import { table } from "/console/static/core/table.js";
import { ago, since } from "/console/static/core/time.js";

const SAID_MAX = 50;
const OLDER_SHOWN = 20;

export default {
  title: "Approvals",
  follows: true,
  every: 5_000,
  async load(_, signal) {
    const [known, waiting, said] = await Promise.all([names(signal), all(of("/waiting/versions"), { rule: "anyApproval" }, signal), all(of("/catalog/Approval"), {}, signal)]);
    return { known, waiting: approvals(waiting.items), said: said.items.sort((one, other) => other.spec.at.localeCompare(one.spec.at)).slice(0, SAID_MAX), total: said.total };
  },
  draw({ known, waiting, said, total }, { query }, again) {
    const newest = waiting.filter((entry) => entry.newest);
    const older = waiting.filter((entry) => !entry.newest);
    const listed = query.older === "all" ? older : older.slice(0, OLDER_SHOWN);
    return [
      head("Approvals", newest.length > 0 ? `${newest.length} ${newest.length === 1 ? "version waits" : "versions wait"} for a yes.` : "Nobody waits for you."),
      h("div", { class: "stack", key: "stack" },
        newest.length > 0 ? h("div", { class: "columns wide", key: "newest" }, newest.map((entry) => card(entry, again))) : h("div", { class: "card", key: "none" }, empty("approvals", "Nothing waits for an approval", "When a policy with anyApproval holds a version back, it appears here, with a button to let it go.")),
        older.length > 0 && h("section", { class: "card", key: "older", "aria-labelledby": "older" }, h("header", {}, h("h2", { id: "older" }, "Older versions that wait too"), h("span", { class: "soft small" }, "a newer one would take their place")),
          h("ul", { class: "lines" }, listed.map((entry) => h("li", { key: entry.key, "data-row": true }, h("div", { class: "what" }, entry.deployment.name, " ", version(entry.version.tag), h("span", { class: "soft" }, ` → ${entry.environment.name}`)), h("div", { class: "aside" }, ago(entry.version.createdAt),
            h("button", { class: "button", type: "button", onclick: () => speak("approved", entry, again), "aria-label": `Approve ${entry.version.tag} for ${entry.environment.name}` }, "Approve"))))),
          older.length > listed.length && h("div", { class: "in" }, part(listed.length, older.length, "versions", h("a", { class: "link", href: to("approvals", undefined, { older: "all" }) }, "Show all")))),
        said.length > 0 && h("section", { class: "section", key: "said", "aria-labelledby": "said-before" }, h("header", {}, h("h2", { id: "said-before" }, "Said before")),
          table({ label: "What was said", rows: said, key: (word) => word.meta.id, columns: [
            { name: "What", cell: (word) => h("span", {}, word.meta.name.split(" by ")[0]) },
            { name: "Word", cell: (word) => h("span", { class: `status ${word.spec.status === "approved" ? "ok" : "bad"}` }, icon(word.spec.status === "approved" ? "ok" : "bad"), word.spec.status === "approved" ? "Approved" : "Rejected") },
            { name: "Who", cell: (word) => word.spec.user }, { name: "Where", cell: (word) => known.name(word.spec.environment) },
            { name: "Reason", cell: (word) => word.spec.reason && h("span", { class: "soft" }, word.spec.reason) }, { name: "When", cell: (word) => ago(word.spec.at) },
          ] }),
          part(said.length, total, "words, the newest first", h("a", { class: "link", href: to("audit", undefined, { text: "approval" }) }, "All that was said is in the audit")))),
    ];
  },
};

function card(entry, again) {
  const id = `approve-${entry.key}`;
  const inputs = entry.rule.inputs;
  const message = entry.version.metadata?.message;
  return h("article", { class: "card", key: entry.key, "data-row": true, "aria-labelledby": id },
    h("header", {}, h("h2", { id }, entry.deployment.name, " ", version(entry.version.tag), h("span", { class: "soft" }, ` → ${entry.environment.name}`)), h("span", { class: "pill wait" }, icon("person"), inputs ? `${inputs.approved.length} of ${inputs.needed}` : "Waits")),
    h("div", { class: "in tight" }, message && h("p", {}, `“${message}”`),
      h("dl", { class: "facts" }, [["Published", [since(entry.version.createdAt), entry.version.createdBy && ` by ${entry.version.createdBy}`]], ["Targets", [`${entry.targets}: `, entry.named.map((target, index) => [index > 0 && ", ", h("a", { class: "link", href: to("why", keyOf(target)) }, target.resource.name)]), entry.targets > entry.named.length && " and more"]],
        ["Policy", `${entry.rule.policyName}: ${entry.rule.reason}`], inputs?.approved.length > 0 && ["Yes of", inputs.approved.map((word) => word.user).join(", ")],
        ["Also held by", entry.others.size > 0 ? [...entry.others].map(ruleName).join(", ") : "nothing else"]].filter(Boolean).map(([name, value]) => [h("dt", {}, name), h("dd", {}, value)])),
      h("div", { class: "row" }, h("button", { class: "button main-action", type: "button", onclick: () => speak("approved", entry, again), "aria-label": `Approve ${entry.version.tag} for ${entry.environment.name}` }, icon("approvals"), "Approve"),
        h("button", { class: "button danger", type: "button", onclick: () => speak("rejected", entry, again), "aria-label": `Reject ${entry.version.tag} for ${entry.environment.name}` }, "Reject"), h("a", { class: "button bare", href: to("why", keyOf(entry.named[0])) }, "What else holds it"))));
}
