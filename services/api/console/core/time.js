// Instants and lengths in the words people use. Shown times follow the reader's own clock and zone; titles are exact.
import { h } from "/console/static/core/dom.js";

const UNITS = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];

/** A length in ms, by its two largest units at most. */
export function length(ms) {
  if (ms === undefined || ms === null || Number.isNaN(ms)) return "–";
  const sign = ms < 0 ? "−" : "";
  const whole = Math.abs(ms);
  if (whole < 1000) return `${sign}${Math.round(whole)} ms`;
  if (whole < 10_000) return `${sign}${(whole / 1000).toFixed(1)} s`;
  let seconds = Math.round(whole / 1000);
  const parts = [];
  for (const [size, unit] of UNITS) {
    const count = Math.floor(seconds / size);
    if (count > 0) parts.push(`${count} ${unit}`);
    else if (parts.length > 0) break;
    seconds -= count * size;
    if (parts.length === 2) break;
  }
  return sign + (parts.join(" ") || "0 s");
}

/** A sentence of the API with its instants as the reader's clock shows them. */
export const localised = (text) => text?.replace(/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z/g, clock);

/** From then till now, or till then. */
export function since(at, now = Date.now()) {
  if (!at) return "–";
  const ms = now - Date.parse(at);
  if (ms < 0) return `in ${coarse(-ms)}`;
  return ms < 1000 ? "just now" : `${coarse(ms)} ago`;
}

export function coarse(ms) {
  const seconds = Math.round(ms / 1000);
  for (const [size, unit] of UNITS) if (seconds >= size) return `${Math.floor(seconds / size)} ${unit}`;
  return "0 s";
}

export const between = (from, to) => (from && to ? Date.parse(to) - Date.parse(from) : undefined);

const CLOCK = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false });
const DAY = new Intl.DateTimeFormat(undefined, { weekday: "short", day: "numeric", month: "short", hour: "2-digit", minute: "2-digit", hour12: false });

export function clock(at) {
  const date = new Date(at);
  return Math.abs(Date.now() - date) < 43_200_000 ? CLOCK.format(date) : DAY.format(date);
}

/** An instant; by itself it keeps saying how long ago that was. */
export function ago(at, words = since) {
  if (!at) return h("span", { class: "soft" }, "–");
  return h("time", { datetime: at, title: new Date(at).toString(), class: "nowrap", "data-words": words === running ? "running" : "since" }, words(at));
}

/** How long something runs already. */
export function running(at) {
  return length(Math.max(0, Math.round((Date.now() - Date.parse(at)) / 1000) * 1000) || 1000);
}

/** An instant on the clock. */
export function at(instant) {
  if (!instant) return h("span", { class: "soft" }, "–");
  return h("time", { datetime: instant, title: new Date(instant).toString(), class: "nowrap" }, clock(instant));
}

/** Lets every shown age grow. */
export function tick() {
  for (const element of document.querySelectorAll("time[data-words]")) {
    const words = element.dataset.words === "running" ? running : since;
    const text = words(element.dateTime);
    if (element.textContent !== text) element.textContent = text;
  }
}
