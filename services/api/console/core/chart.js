// Charts, drawn as SVG. Each says in words what it shows, and has its numbers as a table for those who do not see it.
import { h, s } from "/console/static/core/dom.js";
import { length } from "/console/static/core/time.js";

const WIDTH = Math.min(440, Math.max(300, innerWidth - 70));
const HOUR = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", hour12: false });
const SECOND = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false });
const HOUR_MS = 3_600_000;

/** The last `count` hours, each with those of `items` whose `at(item)` falls into it. */
export function hours(items, at, count = 24, now = Date.now()) {
  const first = Math.floor(now / HOUR_MS) * HOUR_MS - (count - 1) * HOUR_MS;
  const slots = Array.from({ length: count }, (_, index) => ({ from: first + index * HOUR_MS, items: [] }));
  for (const item of items) slots[Math.floor((Date.parse(at(item)) - first) / HOUR_MS)]?.items.push(item);
  return slots;
}

function figure(label, drawing, legend, columns, rows) {
  return h("figure", { class: "chart" },
    h("div", { role: "img", "aria-label": label }, drawing),
    legend.length > 0 && h("div", { class: "legend", "aria-hidden": "true" }, legend.map(({ fill, name }) => h("span", {}, h("i", { class: fill }), name))),
    h("div", { class: "unseen" }, h("table", {}, h("caption", {}, label), h("thead", {}, h("tr", {}, columns.map((name) => h("th", { scope: "col" }, name)))),
      h("tbody", {}, rows.map((cells) => h("tr", {}, cells.map((cell) => h("td", {}, cell))))))));
}

function scale(most) {
  const step = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000].find((step) => most / step <= 4) ?? Math.ceil(most / 4);
  return { step, top: Math.max(step, Math.ceil(most / step) * step) };
}

/** Stacked bars: `slots` of `hours`, and `series` of `{ name, fill, count(items) }`. */
export function bars(label, slots, series) {
  const [height, left, bottom, top] = [190, 30, 22, 8];
  const sums = slots.map((slot) => series.reduce((sum, one) => sum + one.count(slot.items), 0));
  const { step, top: most } = scale(Math.max(1, ...sums));
  const wide = (WIDTH - left) / slots.length;
  const y = (value) => height - bottom - (value / most) * (height - bottom - top);
  const lines = [];
  for (let value = 0; value <= most; value += step) {
    lines.push(s("line", { class: "axis", x1: left, x2: WIDTH, y1: y(value), y2: y(value) }), s("text", { x: left - 8, y: y(value) + 4, "text-anchor": "end" }, String(value)));
  }
  const columns = slots.map((slot, index) => {
    let below = 0;
    const x = left + index * wide + wide * 0.16;
    const parts = series.filter((one) => one.count(slot.items) > 0).map((one) => {
      const count = one.count(slot.items);
      const from = y(below + count);
      const part = s("rect", { class: one.fill, x, y: from, width: wide * 0.68, height: Math.max(1.5, y(below) - from - 0.75), rx: 2 }, s("title", {}, `${HOUR.format(slot.from)}: ${count} ${one.name}`));
      below += count;
      return part;
    });
    const hour = new Date(slot.from).getHours();
    return [parts, hour % 6 === 0 && s("text", { x: left + index * wide + wide / 2, y: height - 5, "text-anchor": "middle" }, HOUR.format(slot.from))];
  });
  const drawing = s("svg", { viewBox: `0 0 ${WIDTH} ${height}`, "aria-hidden": "true" }, lines, columns.flat(Infinity).filter(Boolean));
  const used = series.filter((one) => slots.some((slot) => one.count(slot.items) > 0));
  return figure(label, drawing, used, ["Hour", ...used.map((one) => one.name)], slots.map((slot) => [HOUR.format(slot.from), ...used.map((one) => String(one.count(slot.items)))]));
}

const quantile = (sorted, share) => sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))];

/** Median and 90th percentile of lengths in ms per hour. */
export function lengths(label, slots, of) {
  const [height, left, bottom, top] = [190, 46, 22, 10];
  const points = slots.map((slot) => {
    const sorted = slot.items.map(of).filter((ms) => ms !== undefined).sort((one, other) => one - other);
    return { from: slot.from, count: sorted.length, half: quantile(sorted, 0.5), most: quantile(sorted, 0.9) };
  });
  const highest = Math.max(1000, ...points.map((point) => point.most ?? 0)) * 1.1;
  const wide = (WIDTH - left) / slots.length;
  const x = (index) => left + index * wide + wide / 2;
  const y = (value) => height - bottom - (value / highest) * (height - bottom - top);
  const lines = [0, 0.5, 1].map((share) => [s("line", { class: "axis", x1: left, x2: WIDTH, y1: y(highest * share), y2: y(highest * share) }),
    s("text", { x: left - 8, y: y(highest * share) + 4, "text-anchor": "end" }, share === 0 ? "0" : length(highest * share))]);
  const path = (name, kind) => {
    let pen = "M";
    const d = points.map((point, index) => {
      if (point[name] === undefined) return "";
      const part = `${pen}${x(index).toFixed(1)} ${y(point[name]).toFixed(1)}`;
      pen = "L";
      return part;
    }).join("");
    return d && s("path", { class: kind, d });
  };
  const dots = points.map((point, index) => point.half !== undefined && [["most", "fill-wait"], ["half", "fill-p0"]].map(([name, fill]) =>
    s("circle", { class: fill, cx: x(index), cy: y(point[name]), r: 3.2 }, s("title", {}, `${HOUR.format(point.from)}: ${name === "half" ? "half within" : "nine of ten within"} ${length(point[name])} (${point.count} jobs)`))));
  const marks = slots.map((slot, index) => new Date(slot.from).getHours() % 6 === 0 && s("text", { x: x(index), y: height - 5, "text-anchor": "middle" }, HOUR.format(slot.from)));
  const parts = [lines, path("most", "line second"), path("half", "line"), dots, marks].flat(Infinity).filter(Boolean);
  const drawing = s("svg", { viewBox: `0 0 ${WIDTH} ${height}`, "aria-hidden": "true" }, parts);
  const legend = [{ fill: "fill-p0", name: "half of the jobs within" }, { fill: "fill-wait", name: "nine of ten within" }];
  return figure(label, drawing, legend, ["Hour", "Jobs", "Half within", "Nine of ten within"], points.filter((point) => point.count > 0).map((point) => [HOUR.format(point.from), String(point.count), length(point.half), length(point.most)]));
}

/** A rollout over time: one mark per target at its instant, in waves. `targets` are `{ name, at, fill, said }`. */
export function waves(label, targets, legend, is_over, now = Date.now()) {
  const known = targets.filter((target) => target.at);
  const instants = known.map((target) => Date.parse(target.at));
  const first = Math.min(...(instants.length > 0 ? instants : [now]));
  const last = Math.max(...instants, is_over ? first : now);
  const span = Math.max(1000, last - first);
  const [left, right, line] = [14, 14, 26];
  const rows = targets.length;
  const height = rows * line + 34;
  const label_wide = 128;
  const x = (at) => left + label_wide + ((Date.parse(at) - first) / span) * (WIDTH - left - right - label_wide - 20) + 10;
  const nowX = x(new Date(now).toISOString());
  const parts = targets.map((target, row) => {
    const y = 18 + row * line;
    return [s("line", { class: "axis", x1: left + label_wide, x2: WIDTH - right, y1: y, y2: y }),
      s("text", { x: left, y: y + 4 }, target.name.length > 20 ? `${target.name.slice(0, 19)}…` : target.name),
      target.at && s("circle", { class: target.fill, cx: x(target.at), cy: y, r: 6 }, s("title", {}, `${target.name}: ${target.said}`))];
  });
  const axis = [[first, "start"], [last, "end"]].map(([at, anchor]) => s("text", { x: x(new Date(at).toISOString()), y: height - 4, "text-anchor": anchor }, (span < 600_000 ? SECOND : HOUR).format(at)));
  const drawing = s("svg", { viewBox: `0 0 ${WIDTH} ${height}`, "aria-hidden": "true" }, parts.flat().filter(Boolean),
    !is_over && s("line", { class: "now", x1: nowX, x2: nowX, y1: 4, y2: height - 18 }), !is_over && last - first > 60_000 && Math.abs(nowX - x(new Date(first).toISOString())) > 70 && Math.abs(nowX - x(new Date(last).toISOString())) > 70 ? s("text", { x: nowX, y: height - 4, "text-anchor": "middle" }, "now") : null, axis);
  return figure(label, drawing, legend, ["Target", "At", "State"], targets.map((target) => [target.name, target.at ? new Date(target.at).toLocaleString() : "–", target.said]));
}

/** One bar in parts: `parts` are `{ name, count, fill }`. */
export function parts(label, list) {
  const there = list.filter((part) => part.count > 0);
  const total = there.reduce((sum, part) => sum + part.count, 0);
  return h("div", { class: "bar", role: "img", "aria-label": `${label}: ${there.map((part) => `${part.count} ${part.name}`).join(", ") || "nothing"}` },
    there.map((part) => h("i", { class: part.fill, style: { width: `${(100 * part.count) / total}%` }, title: `${part.count} ${part.name}` })));
}
