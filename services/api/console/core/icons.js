// Small drawings on a grid of 16, one stroke wide. Decoration: what they mean is always written beside them.
import { s } from "/console/static/core/dom.js";

const PATHS = {
  overview: ["M2.5 9.5h3l2-6 3 9 1.5-3h1.5"],
  matrix: ["M2.5 2.5h4.5v4.5H2.5zM9 2.5h4.5v4.5H9zM2.5 9h4.5v4.5H2.5zM9 9h4.5v4.5H9z"],
  jobs: ["M3 4h10M3 8h10M3 12h6"],
  workflows: ["M2 6h3.5v4H2zM10.5 2.5H14v4h-3.5zM10.5 9.5H14v4h-3.5z", "M5.5 8h2.5M8 4.5v7M8 4.5h2.5M8 11.5h2.5"],
  why: ["M8 14.2A6.2 6.2 0 1 0 8 1.8a6.2 6.2 0 0 0 0 12.4z", "M6.3 6.3c0-1 .8-1.7 1.8-1.7s1.7.7 1.7 1.6c0 1.4-1.8 1.5-1.8 2.8", "M8 11.3v.1"],
  approvals: ["M5.2 8.2 7.3 10.3 11 6", "M8 14.2A6.2 6.2 0 1 0 8 1.8a6.2 6.2 0 0 0 0 12.4z"],
  resources: ["M2.5 5 8 2l5.5 3v6L8 14l-5.5-3z", "M2.5 5 8 8l5.5-3M8 8v6"],
  policies: ["M8 1.8 13 3.6v4c0 3.2-2.1 5.4-5 6.6-2.9-1.2-5-3.4-5-6.6v-4z"],
  agents: ["M3 3h10v4H3zM3 9h10v4H3zM5.3 5h.1M5.3 11h.1"],
  triggers: ["M9 1.8 3.5 9H8l-1 5.2L12.5 7H8z"],
  freeze: ["M8 1.8v12.4M2.6 4.9l10.8 6.2M13.4 4.9 2.6 11.1", "M6.3 2.8 8 4.4l1.7-1.6M6.3 13.2 8 11.6l1.7 1.6"],
  dead: ["M2.5 4h11v8.5h-11z", "m2.5 4.5 5.5 4 5.5-4"],
  audit: ["M4 1.8h5.5L12.5 5v9.2H4z", "M6.3 8h4M6.3 10.8h4M9.3 2v3.3h3"],
  ok: ["M8 14.2A6.2 6.2 0 1 0 8 1.8a6.2 6.2 0 0 0 0 12.4z", "m5.3 8.2 1.9 1.9 3.6-4"],
  bad: ["M8 14.2A6.2 6.2 0 1 0 8 1.8a6.2 6.2 0 0 0 0 12.4z", "m6 6 4 4m0-4-4 4"],
  run: ["M8 1.8a6.2 6.2 0 1 1-6.2 6.2"],
  queued: ["M8 14.2A6.2 6.2 0 1 0 8 1.8a6.2 6.2 0 0 0 0 12.4z", "M8 4.8V8l2.2 1.5"],
  pending: ["M8 14.2A6.2 6.2 0 1 0 8 1.8a6.2 6.2 0 0 0 0 12.4z", "M5.4 8h.1M8 8h.1M10.6 8h.1"],
  person: ["M8 7.6a2.7 2.7 0 1 0 0-5.4 2.7 2.7 0 0 0 0 5.4z", "M2.8 13.8c.5-2.6 2.6-4 5.2-4s4.7 1.4 5.2 4"],
  stopped: ["M8 14.2A6.2 6.2 0 1 0 8 1.8a6.2 6.2 0 0 0 0 12.4z", "M4 12 12 4"],
  skipped: ["m3 4 4 4-4 4m6-8 4 4-4 4"],
  warn: ["M8 2 14.4 13.4H1.6z", "M8 6.4v3.2M8 11.4v.1"],
  link: ["M6.5 3H3v10h10V9.5", "M9 3h4v4M13 3 7.5 8.5"],
  arrow: ["M3 8h10M9 4l4 4-4 4"],
  more: ["m6 3.5 4.5 4.5L6 12.5"],
  menu: ["M2.5 4h11M2.5 8h11M2.5 12h11"],
  theme: ["M8 14.2A6.2 6.2 0 1 0 8 1.8a6.2 6.2 0 0 0 0 12.4z", "M8 1.8v12.4M8 5h5M8 8h6M8 11h5"],
  keys: ["M1.8 4h12.4v8H1.8zM4.3 6.6h.1M7 6.6h.1M9.6 6.6h.1M12 6.6h.1M5 9.6h6"],
  out: ["M6 2.5H3v11h3M10.5 5l3 3-3 3M13.3 8H6.5"],
  retry: ["M13 3v3.5H9.5M13 6.3A5.6 5.6 0 1 0 13.4 9"],
  none: ["M3 8h10"],
  push: ["M8 13V3M4 7l4-4 4 4"],
  gone: ["M3 4.5h10M6 4.5v-2h4v2M4.5 4.5l.6 9h5.8l.6-9"],
};

/** The drawing of that name. */
export function icon(name, more = "") {
  const paths = (PATHS[name] ?? PATHS.none).map((d) => s("path", { d }));
  return s("svg", { class: `icon ${more}`.trim(), viewBox: "0 0 16 16", "aria-hidden": "true", focusable: "false" }, paths);
}
