// The keyboard: one key for what is done often, `g` and a letter to go somewhere, arrows or j and k through rows, ? for all.
import { h } from "/console/static/core/dom.js";

const WAIT_MS = 1200;
const bound = [];
let led = 0;

/** Binds keys: `{ keys: "g o", label, act }`. */
export function bind(...bindings) {
  bound.push(...bindings);
}

export function start(help) {
  bind(
    { keys: "?", label: "Show this help", act: help },
    { keys: "/", label: "Go to the filter", act: () => document.querySelector(".main .filters input, .main .filters select")?.focus() },
    { keys: "j", label: "Next row", act: () => step(1) },
    { keys: "k", label: "Previous row", act: () => step(-1) },
  );
  document.addEventListener("keydown", pressed);
}

function pressed(event) {
  if (event.metaKey || event.ctrlKey || event.altKey || event.defaultPrevented) return;
  if (event.target.closest?.("input, textarea, select, [contenteditable], dialog")) {
    if (event.key === "Escape" && !event.target.closest("dialog")) event.target.blur();
    return;
  }
  const keys = Date.now() - led < WAIT_MS ? `g ${event.key}` : event.key;
  led = 0;
  if (event.key === "g" && keys === "g") {
    led = Date.now();
    return;
  }
  const binding = bound.find((binding) => binding.keys === keys);
  if (binding) {
    event.preventDefault();
    binding.act();
  }
}

/** Moves through what rows link to. */
function step(by) {
  const rows = [...document.querySelectorAll(".main [data-row] a[href], .main [data-row] button")].filter((link) => link === link.closest("[data-row]").querySelector("a[href], button"));
  const at = rows.findIndex((link) => link.closest("[data-row]").contains(document.activeElement));
  const next = rows[Math.min(Math.max(at + by, 0), rows.length - 1)];
  next?.focus();
  next?.scrollIntoView({ block: "nearest" });
}

/** All of them, for people. */
export function list() {
  return h("div", { class: "keys" }, bound.map(({ keys, label }) => [h("span", {}, keys.split(" ").map((key) => [h("kbd", {}, key), " "])), h("span", {}, label)]));
}
