// Addresses: /console/<workspace>/<view>/<what>?filters. Whatever is shown can be sent to somebody as its address.
import { place } from "/console/static/core/api.js";

const ROOT = "/console/";
let onChange = () => {};

/** What the address says. */
export function route() {
  const [workspace, view, ...rest] = location.pathname.slice(ROOT.length).split("/").map(decodeURIComponent);
  return { workspace: workspace || undefined, view: view || "overview", what: rest.join("/") || undefined, query: Object.fromEntries(new URLSearchParams(location.search)) };
}

/** The address of a view. */
export function to(view, what, query) {
  const parts = [place.workspace, view, what].filter((part) => part !== undefined && part !== null).map(encodeURIComponent);
  const given = Object.entries(query ?? {}).filter(([, value]) => value !== undefined && value !== null && value !== "");
  return `${ROOT}${parts.join("/")}${given.length > 0 ? `?${new URLSearchParams(given)}` : ""}`;
}

export function go(address, { replace = false } = {}) {
  history[replace ? "replaceState" : "pushState"](null, "", address);
  onChange({ kept: replace });
}

/** The same view with other filters. */
export function filter(change) {
  const { view, what, query } = route();
  go(to(view, what, { ...query, ...change }), { replace: true });
}

/** Follows links without loading the page anew. */
export function start(changed) {
  onChange = changed;
  addEventListener("popstate", () => changed({ kept: false }));
  document.addEventListener("click", (event) => {
    const link = event.target.closest?.("a[href]");
    if (!link || event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    if (link.target || link.origin !== location.origin || !link.pathname.startsWith(ROOT)) return;
    event.preventDefault();
    go(link.pathname + link.search);
  });
}
