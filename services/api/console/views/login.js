// Signing in.
import { h } from "/console/static/core/dom.js";
import { signIn, ways } from "/console/static/core/session.js";

/** Asks who it is, then goes on with `then`. */
export async function login(app, then) {
  document.title = "Sign in · Ctrlplane";
  const fault = h("p", { class: "fault", role: "alert", id: "key-fault" });
  const key = h("input", { id: "key", class: "input mono", type: "password", autocomplete: "current-password", required: true, "aria-describedby": "key-hint key-fault", spellcheck: "false" });
  const submit = h("button", { class: "button main-action", type: "submit" }, "Sign in");
  const other = h("div", { class: "form", hidden: true });
  const form = h("form", {
    class: "form",
    onsubmit: async (event) => {
      event.preventDefault();
      submit.disabled = true;
      fault.textContent = "";
      try {
        await signIn(key.value.trim());
        app.replaceChildren();
        then();
      } catch (error) {
        fault.textContent = error.message;
        submit.disabled = false;
        key.focus();
      }
    },
  }, h("div", { class: "field" }, h("label", { for: "key" }, "API key"), key, h("span", { id: "key-hint" }, "On your own machine: ctrlplane dev and ctrlplane demo print the file that has it."), fault), submit);
  app.replaceChildren(h("main", { class: "login", id: "main" }, h("div", { class: "card" }, h("img", { src: "/console/static/icon.svg", alt: "" }),
    h("h1", {}, "Ctrlplane"), h("p", { class: "soft" }, "What runs, what waits, and why."), other, form)));
  key.focus();
  const { oidc, name } = await ways();
  if (oidc) {
    other.hidden = false;
    other.append(h("a", { class: "button main-action", href: "/api/v1/login/oidc" }, `Sign in with ${name ?? "your organisation"}`));
    submit.className = "button";
  }
}
