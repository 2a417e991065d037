// The emergency brake: one switch, where it applies, and until when.
import { all, of, post, remove } from "/console/static/core/api.js";
import { ask } from "/console/static/core/dialog.js";
import { h, say } from "/console/static/core/dom.js";
import { isOn } from "/console/static/core/freezes.js";
import { icon } from "/console/static/core/icons.js";
import { names } from "/console/static/core/names.js";
import { head, part } from "/console/static/core/page.js";
import { to } from "/console/static/core/router.js";
import { ago, at, since } from "/console/static/core/time.js";

const LENGTHS = [["1800", "30 minutes"], ["3600", "1 hour"], ["14400", "4 hours"], ["86400", "1 day"], ["", "until thawed"]];
const NAME = "console";
// So many that are over are shown.
const SHOWN = 10;
// The place that is chosen in the form.
let chosen;

export default {
  title: "Freeze",
  follows: false,
  every: 4_000,
  async load(_, signal) {
    const [known, freezes] = await Promise.all([names(signal), all(of("/freezes"), {}, signal)]);
    return { known, freezes: freezes.items };
  },
  draw({ known, freezes }, _, again) {
    const now = Date.now();
    const over = (freeze) => freeze.until && Date.parse(freeze.until) <= now;
    const later = (freeze) => freeze.from && Date.parse(freeze.from) > now;
    const on = freezes.filter(isOn);
    const planned = freezes.filter((freeze) => later(freeze) && !over(freeze));
    const gone = freezes.filter(over);
    const past = [...gone].sort((one, other) => Date.parse(other.until) - Date.parse(one.until)).slice(0, SHOWN);
    const everywhere = on.filter((freeze) => freeze.selector === "true");
    const is_on = everywhere.length > 0;
    const where = on.length > 0 && !is_on ? `${on.length} ${on.length === 1 ? "freeze is" : "freezes are"} on for part of the system.` : "";
    return [
      head("Freeze", "Nothing new starts where a freeze is on: not even what is dispatched already and has not begun. What runs goes on."),
      h("div", { class: "stack", key: "stack" },
        h("section", { class: "card freeze-switch", key: "switch", "aria-labelledby": "switch-label" },
          h("button", { class: "switch", type: "button", role: "switch", "aria-checked": String(is_on), "aria-labelledby": "switch-label", onclick: () => (is_on ? thawAll(everywhere, again) : freezeAll(again)) }, h("span", {}, icon("freeze"))),
          h("div", { class: "grow" }, h("h2", { id: "switch-label" }, is_on ? "Everything is frozen" : "Freeze everything"), h("p", { class: "soft" }, is_on ? [`${everywhere[0].reason} (${everywhere[0].owner}). `, everywhere[0].until ? ["It thaws by itself ", h("time", { datetime: everywhere[0].until, "data-words": "since" }, since(everywhere[0].until)), "."] : "It lasts until somebody thaws it."] : [where, " One press, a reason, and no new job starts in this workspace."]))),
        on.length + planned.length > 0 && h("section", { class: "card", key: "on", "aria-labelledby": "on" }, h("header", {}, icon("freeze", "cold"), h("h2", { id: "on" }, planned.length > 0 ? "Freezes that are on or planned" : "Freezes that are on")), h("ul", { class: "lines" }, [...on, ...planned].map((freeze) => line(freeze, later(freeze), again)))),
        form(known, again),
        past.length > 0 && h("section", { class: "card", key: "over", "aria-labelledby": "over" }, h("header", {}, h("h2", { id: "over" }, "Freezes that are over")), h("ul", { class: "lines" }, past.map(ended)),
          gone.length > past.length && h("div", { class: "in" }, part(past.length, gone.length, "freezes, the last first", h("a", { class: "link", href: to("audit", undefined, { text: "freeze" }) }, "All of them are in the audit"))))),
    ];
  },
};

function line(freeze, is_planned, again) {
  return h("li", { key: freeze.id, "data-row": true }, h("div", { class: "what" }, h("div", { class: "strong" }, freeze.reason), h("div", { class: "sub" }, freeze.selector === "true" ? "everywhere" : ["where ", h("code", {}, freeze.selector)], ` · by ${freeze.owner}, `, ago(freeze.createdAt))),
    h("div", { class: "aside" }, is_planned ? h("span", {}, "from ", at(freeze.from)) : h("span", { class: "pill cold" }, icon("freeze"), "On"), freeze.until ? h("span", {}, "until ", at(freeze.until)) : h("span", {}, "until thawed"),
      h("button", { class: "button", type: "button", onclick: () => thaw(freeze, again), "aria-label": `Thaw ${freeze.reason}` }, "Thaw")));
}

function ended(freeze) {
  return h("li", { key: freeze.id, "data-row": true }, h("div", { class: "what" }, h("div", {}, freeze.reason), h("div", { class: "sub" }, freeze.selector === "true" ? "everywhere" : ["where ", h("code", {}, freeze.selector)], ` · by ${freeze.owner}`)),
    h("div", { class: "aside" }, h("span", {}, freeze.thawedBy ? `thawed by ${freeze.thawedBy} ` : "over ", ago(freeze.until))));
}

const freezeAll = (again) => ask({
  title: "Freeze everything?", text: "No new job starts in this workspace, on any platform, until it thaws.",
  fields: [{ name: "reason", label: "Reason", required: true, kind: "long" }, { name: "for", label: "For", options: [...LENGTHS].reverse().map(([value, label]) => ({ value, label })) }],
  action: "Freeze", danger: true, then: again,
  act: async (given) => {
    await post(of("/freezes"), { name: `${NAME}-everything`, reason: given.reason, forSeconds: given.for ? Number(given.for) : undefined });
    return "Everything is frozen.";
  },
});

const thawAll = (freezes, again) => ask({
  title: "Thaw everything?", text: "What was held back starts at once, as far as policies allow it.", action: "Thaw", then: again,
  act: async () => {
    for (const freeze of freezes) await remove(of(`/freezes/${freeze.id}`));
    return "Thawed.";
  },
});

const thaw = (freeze, again) => ask({
  title: "Thaw this freeze?", text: `${freeze.reason} (${freeze.owner}). What it held back starts at once, as far as policies allow it.`, action: "Thaw", then: again,
  act: async () => {
    await remove(of(`/freezes/${freeze.id}`));
    return "Thawed.";
  },
});

function form(known, again) {
  const fault = h("p", { class: "bad", role: "alert", id: "freeze-fault" });
  const by_expression = chosen === "" || known.environments.length === 0;
  const scope = h("select", { id: "freeze-scope", name: "scope", onchange: (event) => { chosen = event.target.value; again(); } },
    known.environments.map((environment) => h("option", { value: environment.name, selected: environment.name === chosen }, `Environment ${environment.name}`)), h("option", { value: "", selected: by_expression }, "Where an expression is true"));
  const node = h("form", {
    class: "in form", id: "freeze-form",
    onsubmit: async (event) => {
      event.preventDefault();
      const given = Object.fromEntries(new FormData(event.target));
      const place = document.getElementById("freeze-fault");
      place.textContent = "";
      try {
        const where = given.scope ? { environment: given.scope } : { selector: given.selector };
        await post(of("/freezes"), { ...where, reason: given.reason, forSeconds: given.for ? Number(given.for) : undefined });
        event.target.reset();
        say("Frozen.");
        again();
      } catch (error) {
        place.textContent = error.message;
      }
    },
  },
  h("div", { class: "columns" }, h("div", { class: "field" }, h("label", { for: "freeze-scope" }, "Where"), scope), h("div", { class: "field", hidden: !by_expression }, h("label", { for: "freeze-selector" }, "Expression (CEL)"), h("input", { id: "freeze-selector", name: "selector", class: "input mono", placeholder: "deployment.name == \"web\"", autocomplete: "off", spellcheck: "false" }))),
  h("div", { class: "field" }, h("label", { for: "freeze-reason" }, "Reason"), h("input", { id: "freeze-reason", name: "reason", class: "input", required: true, autocomplete: "off", placeholder: "What is going on, for those who wait" })),
  h("fieldset", {}, h("legend", {}, "How long"), h("div", { class: "choices" }, LENGTHS.map(([value, label]) => h("label", {}, h("input", { type: "radio", name: "for", value, checked: value === "3600" }), label)))),
  fault, h("div", {}, h("button", { class: "button", type: "submit" }, icon("freeze"), "Freeze this part")));
  return h("section", { class: "card", key: "form", "aria-labelledby": "freeze-part" }, h("header", {}, h("h2", { id: "freeze-part" }, "Freeze a part")), node);
}
