// Keeps one view on the page: loads what it shows, draws it, and draws it anew when there is news. What was there stays
// until something newer is, also while the API is away.
import { Problem } from "/console/static/core/api.js";
import { h, show } from "/console/static/core/dom.js";
import { icon } from "/console/static/core/icons.js";
import { listen } from "/console/static/core/live.js";
import { route, to } from "/console/static/core/router.js";

const NEWS_FIRST_MS = 120;
const NEWS_AGAIN_MS = 900;
let current;

/** Shows `view` in `outlet`: `{ title, follows, every, load(route, signal), draw(data, route, again) }`. */
export function open(view, route, outlet, { kept = false } = {}) {
  current?.close();
  current = run(view, route, outlet, kept);
}

/** Loads the view that is shown once more. */
export const again = () => current?.load();

function run(view, route, outlet, kept) {
  const end = new AbortController();
  let data;
  let loading = false;
  let wanted = false;
  let loaded_at = 0;
  let timer;

  async function load() {
    if (end.signal.aborted) return;
    if (loading) {
      wanted = true;
      return;
    }
    loading = true;
    try {
      const found = await view.load(route, end.signal);
      if (end.signal.aborted) return;
      data = { found };
      draw();
    } catch (error) {
      if (end.signal.aborted || error.name === "AbortError") return;
      if (data === undefined || !(error instanceof Problem)) show(outlet, failed(view, error, load));
      else draw(error);
    } finally {
      loading = false;
      loaded_at = Date.now();
      outlet.removeAttribute("aria-busy");
    }
    if (wanted) {
      wanted = false;
      soon();
    }
  }

  function draw(trouble) {
    show(outlet, trouble && lost(trouble), view.draw(data.found, route, load));
  }

  // Much news in a short time is one look.
  function soon() {
    if (timer !== undefined) return;
    const pause = Math.max(NEWS_FIRST_MS, NEWS_AGAIN_MS - (Date.now() - loaded_at));
    timer = setTimeout(() => {
      timer = undefined;
      load();
    }, pause);
  }

  const deaf = listen((news) => {
    if (news.kind === "reset" || (news.kind === "job" && view.follows) || (news.kind === "line" && news.was === "offline")) soon();
  });
  const clock = setInterval(() => { if (!document.hidden) load(); }, view.every ?? 10_000);
  const seen = () => { if (!document.hidden) load(); };
  document.addEventListener("visibilitychange", seen);
  if (!kept) {
    outlet.setAttribute("aria-busy", "true");
    show(outlet, bones(view));
  }
  load();
  return {
    load,
    close() {
      end.abort();
      deaf();
      clearInterval(clock);
      clearTimeout(timer);
      document.removeEventListener("visibilitychange", seen);
    },
  };
}

const bones = (view) => h("div", { class: "bones", key: "bones" }, h("h1", { class: "unseen" }, view.title), h("div", { class: "bone short" }), [1, 2, 3, 4].map(() => h("div", { class: "bone" })));

const lost = (error) => h("div", { class: "note wait", role: "status", key: "lost" }, icon("warn", "wait"), h("div", { class: "grow" }, h("span", { class: "strong" }, "This may be old. "), error.message));

function failed(view, error, load) {
  const gone = error.status === 404;
  // What is asked for in vain stays so however often it is tried.
  const { view: name, what, query } = route();
  const is_filtered = error.status >= 400 && error.status < 500 && Object.keys(query).length > 0;
  const faults = (error.faults ?? []).filter((fault) => !error.message.includes(fault.message));
  return h("div", { class: "card", key: "failed" }, h("div", { class: "empty", role: "alert" }, icon(gone ? "none" : "warn"), h("h1", {}, gone ? "Not found" : `${view.title} cannot be shown`),
    h("p", {}, error.message), faults.map((fault) => h("p", { class: "small" }, [fault.field, fault.message, fault.hint].filter(Boolean).join(": "))),
    is_filtered ? h("a", { class: "button", href: to(name, what) }, "Show it without filters") : h("button", { class: "button", type: "button", onclick: load }, icon("retry"), "Try again")));
}

/** The head of a view: what it is, in one sentence, and what can be done. */
export function head(title, text, actions, crumb) {
  return h("div", { class: "head", key: "head" }, h("div", {}, crumb && h("div", { class: "crumb" }, crumb), h("h1", {}, title), text && h("p", {}, text)), actions && h("div", { class: "row actions" }, actions));
}

/** Of a list that is cut: that it is, and how the rest is seen. */
export const part = (shown, total, what, ...rest) => total > shown && h("p", { class: "soft small", key: `part-${what}` }, `The first ${shown} of ${total} ${what}. `, rest);

/** The way through a list whose page is named by `offset` in the address. */
export function pages({ size, shown, total, back = "Newer", on = "Older" }) {
  const { view, what, query } = route();
  const offset = Number(query.offset ?? 0);
  if (offset === 0 && total <= shown) return undefined;
  const link = (from, label, mark) => h("a", { class: "button", href: to(view, what, { ...query, offset: from || undefined }) }, label, mark);
  return h("nav", { class: "row", "aria-label": "Pages", key: "pages" }, offset > 0 && link(Math.max(0, offset - size), back), offset + shown < total && link(offset + size, on, icon("more")),
    shown > 0 && h("span", { class: "soft small" }, `${offset + 1} to ${offset + shown} of ${total}`));
}

/** Nothing is there, and what brings something. */
export function empty(drawing, title, ...text) {
  return h("div", { class: "empty" }, icon(drawing), h("p", { class: "strong" }, title), text.map((part) => (typeof part === "string" ? h("p", {}, part) : part)));
}
