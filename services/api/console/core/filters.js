// Filters of a view, kept in its address.
import { h } from "/console/static/core/dom.js";
import { filter } from "/console/static/core/router.js";

const PAUSE_MS = 250;
const FROM_THE_START = { before: undefined, cursor: undefined, offset: undefined };

/** `fields` are `{ name, label, options }` to choose from or `{ name, label, hint }` to write into. */
export function filters(query, fields) {
  const set = fields.some((field) => query[field.name]);
  const none = Object.fromEntries(fields.map((field) => [field.name, undefined]));
  return h("div", { class: "filters", role: "search", "aria-label": "Filters" }, fields.map((field) => one(query, field)),
    set && h("button", { class: "button bare", type: "button", onclick: () => filter({ ...none, ...FROM_THE_START }) }, "Clear"));
}

function one(query, { name, label, options, hint }) {
  const id = `filter-${name}`;
  const value = query[name] ?? "";
  const change = (event) => filter({ [name]: event.target.value, ...FROM_THE_START });
  if (!options) {
    let timer;
    const typed = (event) => { clearTimeout(timer); timer = setTimeout(change, PAUSE_MS, { target: event.target }); };
    return h("div", { class: "field grow" }, h("label", { for: id }, label), h("input", { id, class: "input search", type: "search", value, placeholder: hint, oninput: typed, autocomplete: "off", spellcheck: "false" }));
  }
  const known = options.some((option) => option.value === value) || value === "" ? options : [...options, { value, label: value }];
  return h("div", { class: "field" }, h("label", { for: id }, label), h("select", { id, onchange: change },
    [{ value: "", label: "All" }, ...known].map((option) => h("option", { value: option.value, selected: option.value === value }, option.label))));
}
