// Questions before a deed: a modal of the browser's own, which keeps the focus and ends with Escape.
import { h, say } from "/console/static/core/dom.js";

let count = 0;

/**
 * Asks, does, and says what came of it. `fields` are `{ name, label, kind, required, value, hint }`; `act` is given what was
 * filled in and answers what to say. What the API refuses is shown where it was asked.
 */
export function ask({ title, text, fields = [], action, danger = false, act, then = () => {} }) {
  const id = `ask-${++count}`;
  const fault = h("p", { class: "bad", role: "alert", hidden: true });
  const submit = h("button", { class: `button ${danger ? "danger" : "main-action"}`, type: "submit" }, action);
  const inputs = fields.map((field) => input(field, `${id}-${field.name}`));
  const form = h("form", {
    onsubmit: async (event) => {
      event.preventDefault();
      submit.disabled = true;
      try {
        const said = await act(Object.fromEntries(new FormData(form)));
        dialog.close();
        if (said) say(said);
        then();
      } catch (error) {
        fault.hidden = false;
        fault.textContent = error.message;
        submit.disabled = false;
      }
    },
  },
  h("h2", { id }, title), text && h("p", { class: "soft" }, text), inputs, fault,
  h("div", { class: "foot" }, h("button", { class: "button", type: "button", onclick: () => dialog.close() }, "Leave it"), submit));
  const dialog = open(id, form);
  (form.querySelector("input, textarea, select") ?? submit).focus();
}

function input({ name, label, kind = "text", required = false, value = "", hint, options }, id) {
  const common = { id, name, required, class: "input", value };
  let control = h("input", { ...common, type: kind, autocomplete: "off" });
  if (kind === "long") control = h("textarea", { ...common, rows: 3 });
  if (options) control = h("select", { ...common, class: undefined }, options.map((option) => h("option", { value: option.value }, option.label)));
  return h("div", { class: "field" }, h("label", { for: id }, label), control, hint && h("span", {}, hint));
}

/** Something to read. */
export function tell(title, ...content) {
  const id = `tell-${++count}`;
  const close = h("button", { class: "button", type: "button", onclick: () => dialog.close() }, "Close");
  const dialog = open(id, h("div", { class: "in" }, h("h2", { id }, title), content, h("div", { class: "foot" }, close)));
  close.focus();
}

function open(label, content) {
  const dialog = h("dialog", { "aria-labelledby": label, onclose: () => dialog.remove(), onclick: (event) => { if (event.target === dialog) dialog.close(); } }, content);
  document.body.append(dialog);
  dialog.showModal();
  return dialog;
}
